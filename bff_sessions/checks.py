"""System checks of settings.BFF_SESSIONS. One id is one fault, for ever."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseProblem
from django.db import connections, transaction
from django.utils.module_loading import import_string

from bff_sessions import conf
from bff_sessions.adapters.checks import check_adapters
from bff_sessions.contract import UserSessionStore, check_text
from bff_sessions.device.checks import check_device
from bff_sessions.identity import is_claims_key
from bff_sessions.oidc.checks import (
    check_logout,
    check_outbox,
    check_providers,
    check_revocation,
    check_tokens,
)
from bff_sessions.protection import check_keys
from bff_sessions.stores import database_of_store, get_store, load_store_class
from bff_sessions.stores.checks import check_abilities
from bff_sessions.views.checks import check_endpoints

__all__ = [
    "check_cookie",
    "check_database",
    "check_installation",
    "check_middleware",
    "check_settings",
]

ENGINE = "bff_sessions.engine"


@register
def check_installation(**kwargs: Any) -> Iterable[CheckMessage]:
    if not apps.is_installed("bff_sessions"):
        yield Error(
            "'bff_sessions' is not in INSTALLED_APPS.",
            hint="Add it, and run 'manage.py migrate'.",
            id="bff_sessions.E001",
        )
    if not _is_ours(settings.SESSION_ENGINE):
        yield Warning(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}: bff_sessions keeps nothing.",
            hint=f"Set SESSION_ENGINE = {ENGINE!r}.",
            id="bff_sessions.W001",
        )


@register
def check_middleware(**kwargs: Any) -> Iterable[CheckMessage]:
    if not (apps.is_installed("bff_sessions") and _is_ours(settings.SESSION_ENGINE)):
        return
    from bff_sessions.engine.moves import can_follow

    if not can_follow():
        yield Warning(
            "Requests that are in flight while another one moves their session are refused.",
            hint=(
                "Put 'bff_sessions.middleware.SessionMiddleware' into MIDDLEWARE, in the place "
                "of Django's."
            ),
            id="bff_sessions.W008",
        )
    yield from _check_order()


def _check_order() -> Iterable[CheckMessage]:
    """Look at where the session middleware stands, if it is ours."""
    from django.contrib.sessions.middleware import SessionMiddleware as Djangos

    from bff_sessions.middleware import SessionMiddleware

    ours, all_of_sessions = _find_middleware(SessionMiddleware), _find_middleware(Djangos)
    if ours and len(all_of_sessions) > 1:
        yield Warning(
            "MIDDLEWARE has more than one session middleware: each of them loads and saves "
            "the session.",
            hint=f"Keep {ours[0][1]!r} only.",
            id="bff_sessions.W009",
        )
    if not apps.is_installed("django.contrib.auth"):
        return  # Its middleware cannot be imported without its models.
    from django.contrib.auth.middleware import AuthenticationMiddleware

    authentication = _find_middleware(AuthenticationMiddleware)
    if ours and authentication and authentication[0] < ours[0]:
        yield Warning(
            f"{ours[0][1]!r} is below {authentication[0][1]!r} in MIDDLEWARE, which needs the "
            "session.",
            hint=f"Move {ours[0][1]!r} up, above {authentication[0][1]!r}.",
            id="bff_sessions.W010",
        )


def _find_middleware(kind: type) -> list[tuple[int, str]]:
    """Return where in MIDDLEWARE `kind` and its subclasses stand, and their paths."""
    found = []
    for place, path in enumerate(settings.MIDDLEWARE):
        with suppress(Exception):  # Django reports it when the server starts.
            middleware = import_string(path)
            if isinstance(middleware, type) and issubclass(middleware, kind):
                found.append((place, path))
    return found


def _is_ours(path: str) -> bool:
    if path == ENGINE:
        return True
    try:
        store = import_module(path).SessionStore
    except Exception:
        return False  # It is for whoever imports it to say why.
    from bff_sessions.engine import SessionStore

    return isinstance(store, type) and issubclass(store, SessionStore)


@register
def check_settings(**kwargs: Any) -> Iterable[CheckMessage]:
    given = getattr(settings, "BFF_SESSIONS", {})
    if not isinstance(given, dict):
        yield Error(
            f"BFF_SESSIONS is not a dictionary but a {type(given).__name__}.",
            hint="For example BFF_SESSIONS = {'PARTITION': 'shop'}.",
            id="bff_sessions.E002",
        )
        return
    for name in given:
        if name not in conf.DEFAULTS:
            yield Error(
                f"BFF_SESSIONS has no setting {name!r}.",
                hint=f"It has {', '.join(sorted(conf.DEFAULTS))}.",
                id="bff_sessions.E003",
            )
    yield from _check_store()
    yield from check_abilities()
    try:
        conf.load_callable("IDENTITY_RESOLVER")
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Give the dotted path of a callable from session data to an Identity.",
            id="bff_sessions.E006",
        )
    if not is_claims_key(conf.CLAIMS_KEY):
        yield Error(
            "BFF_SESSIONS['CLAIMS_KEY'] must be a session key that nothing else uses; it is "
            f"{conf.CLAIMS_KEY!r:.120}.",
            hint="Name the key of the session that holds iss, sub and sid, for example 'oidc'.",
            id="bff_sessions.E016",
        )
    if not _is_list_of_keys(conf.ATOMIC_KEYS):
        yield Error(
            "BFF_SESSIONS['ATOMIC_KEYS'] must be a list of session keys; it is "
            f"{conf.ATOMIC_KEYS!r:.120}.",
            hint="Name the keys as text, for example ['tokens'].",
            id="bff_sessions.E017",
        )
    yield from _check_partition()
    yield from _check_keys()
    yield from _check_lifetimes()
    if conf.TAKE_OVER is not None:
        yield from _check_take_over()
    yield from check_adapters()
    yield from check_providers(conf.PROVIDERS)
    yield from check_logout(conf.BACKCHANNEL_LOGOUT)
    yield from check_endpoints()
    yield from check_tokens(conf.ACCESS_TOKEN_MARGIN)
    yield from check_revocation(conf.TOKEN_REVOCATION)
    yield from check_outbox()
    yield from check_device(conf.DEVICE)


def _check_store() -> Iterable[CheckMessage]:
    try:
        store_class = load_store_class(conf.STORE)
    except ImproperlyConfigured as error:
        is_import = error.__cause__ is not None
        yield Error(
            str(error),
            hint="Give the dotted path of a UserSessionStore subclass.",
            id="bff_sessions.E004" if is_import else "bff_sessions.E005",
        )
        return
    yield from _check_memory("STORE", store_class)
    from bff_sessions.stores.cached import CachedUserSessionStore

    if issubclass(store_class, CachedUserSessionStore):
        yield from _check_cached_store()
        yield from _check_cache()


def _check_memory(setting: str, store_class: type[UserSessionStore]) -> Iterable[CheckMessage]:
    from bff_sessions.stores.memory import InMemoryUserSessionStore

    if issubclass(store_class, InMemoryUserSessionStore) and not settings.DEBUG:
        yield Warning(
            f"BFF_SESSIONS[{setting!r}] keeps sessions in memory: each process has its own, and a "
            "restart signs everybody out.",
            hint=f"Use {conf.DEFAULTS['STORE']!r} where DEBUG is False.",
            id="bff_sessions.W002",
        )


def _check_cached_store() -> Iterable[CheckMessage]:
    from bff_sessions.stores.cached import load_inner_class

    try:
        store_class = load_inner_class(conf.CACHED_STORE)
    except ImproperlyConfigured as error:
        is_import = error.__cause__ is not None
        yield Error(
            str(error),
            hint="Give the dotted path of a UserSessionStore subclass without a cache.",
            id="bff_sessions.E009" if is_import else "bff_sessions.E010",
        )
    else:
        yield from _check_memory("CACHED_STORE", store_class)


def _check_cache() -> Iterable[CheckMessage]:
    max_stale = conf.MAX_STALE
    is_number = isinstance(max_stale, (int, float)) and not isinstance(max_stale, bool)
    if not (is_number and 1 <= max_stale < math.inf):
        yield Error(
            "BFF_SESSIONS['MAX_STALE'] must be a number of seconds, 1 or more; it is "
            f"{max_stale!r:.120}.",
            hint="Give the seconds for which a lost revocation may go unnoticed, 30 for example.",
            id="bff_sessions.E012",
        )
    try:
        cache = caches[conf.CACHE]
    except Exception:
        yield Error(
            f"BFF_SESSIONS['CACHE'] is not in CACHES: {conf.CACHE!r:.120}.",
            hint=f"Give one of {', '.join(map(repr, settings.CACHES))}.",
            id="bff_sessions.E011",
        )
        return
    if isinstance(cache, (LocMemCache, DummyCache)) and not settings.DEBUG:
        yield Warning(
            f"The cache {conf.CACHE!r} belongs to one process: what another one revokes is "
            "served for up to MAX_STALE seconds.",
            hint="Let BFF_SESSIONS['CACHE'] name one that all processes share, Redis for example.",
            id="bff_sessions.W005",
        )
    location = settings.CACHES[conf.CACHE].get("LOCATION", "")
    is_list = isinstance(location, (list, tuple))
    servers = list(map(str, location)) if is_list else re.split("[;,]", str(location))
    # Only servers like Redis are named by URLs; several of memcached share the keys.
    if len(servers) > 1 and all("://" in server for server in servers):
        yield Warning(
            f"The cache {conf.CACHE!r} may read from replicas, which hear of a revocation late.",
            hint="Give one LOCATION, the server that is written to.",
            id="bff_sessions.W006",
        )


def _check_partition() -> Iterable[CheckMessage]:
    try:
        if conf.PARTITION is None:
            raise TypeError
        check_text("PARTITION", conf.PARTITION, max_length=100)
    except (TypeError, ValueError):
        yield Error(
            "BFF_SESSIONS['PARTITION'] must be a name of 1 to 100 characters; it is "
            f"{conf.PARTITION!r:.120}.",
            hint="Give the name of the application.",
            id="bff_sessions.E007",
        )


def _check_keys() -> Iterable[CheckMessage]:
    try:
        check_keys(conf.ENCRYPTION_KEYS)
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint=(
                "Give random strings, newest first; "
                'python -c "import secrets; print(secrets.token_urlsafe(48))" makes one.'
            ),
            id="bff_sessions.E008",
        )


def _check_lifetimes() -> Iterable[CheckMessage]:
    after, lifetime, limit = (
        conf.RENEW_AFTER,
        conf.ABSOLUTE_LIFETIME,
        conf.MAX_SESSIONS_PER_SUBJECT,
    )
    if after is not None and not (_is_number(after) and 0 < after < 1):
        yield Error(
            "BFF_SESSIONS['RENEW_AFTER'] must be a number between 0 and 1, or None; it is "
            f"{after!r:.120}.",
            hint="Give the fraction of the lifetime after which to renew, for example 0.5.",
            id="bff_sessions.E013",
        )
    if lifetime is not None and not (isinstance(lifetime, timedelta) and lifetime > timedelta()):
        yield Error(
            "BFF_SESSIONS['ABSOLUTE_LIFETIME'] must be a positive timedelta, or None; it is "
            f"{lifetime!r:.120}.",
            hint="Give a timedelta, for example timedelta(hours=12), or None.",
            id="bff_sessions.E014",
        )
    if limit is not None and not (_is_number(limit) and isinstance(limit, int) and limit > 0):
        yield Error(
            "BFF_SESSIONS['MAX_SESSIONS_PER_SUBJECT'] must be a whole number from 1, or None; "
            f"it is {limit!r:.120}.",
            hint="Give a whole number from 1, or None.",
            id="bff_sessions.E015",
        )


def _check_take_over() -> Iterable[CheckMessage]:
    from bff_sessions.engine.take_over import OldEngine

    name, path = "BFF_SESSIONS['TAKE_OVER']", conf.TAKE_OVER or ""
    try:
        module = import_module(path)
    except Exception as error:
        yield Error(
            f"{name} cannot be imported: {path!r:.120} ({error}).",
            hint="Give the dotted path of the engine that was in SESSION_ENGINE before.",
            id="bff_sessions.E061",
        )
        return
    try:
        module.SessionStore.get_model_class()
    except Exception:
        yield Error(
            f"{name} must be a session engine with a table of its own; it is {path!r:.120}.",
            hint="Give the engine that was in SESSION_ENGINE before, and keep its app installed.",
            id="bff_sessions.E060",
        )
        return
    try:
        get_store()
    except ImproperlyConfigured:
        return  # _check_store() reports that.
    try:
        OldEngine(path)
    except ImproperlyConfigured as error:
        yield Error(
            f"{name}: {error}",
            hint="Keep the sessions of both engines in one database.",
            id="bff_sessions.E062",
        )


def _is_list_of_keys(value: object) -> bool:
    if not isinstance(value, (list, tuple, set, frozenset)):
        return False
    return all(isinstance(key, str) and key for key in value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# How to ask in which isolation a transaction runs, by the name of the database's kind. SQLite is
# not among them: it refuses to write in a transaction that shows the past.
_ISOLATION: Final = {
    "postgresql": "SHOW transaction_isolation",
    # The second name is MySQL's. MariaDB knows it since 11.1.
    "mysql": (
        "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
    ),
}


@register(Tags.database)
def check_database(databases: Sequence[str] | None = None, **kwargs: Any) -> Iterable[CheckMessage]:
    """Ask the database of sessions how it runs transactions.

    Settings do not tell: defaults of a server, a role or a database decide, too.
    """
    if not databases or not isinstance(getattr(settings, "BFF_SESSIONS", {}), dict):
        return
    try:
        alias = database_of_store()
    except ImproperlyConfigured:
        return  # check_settings() reports that.
    if alias is None or alias not in databases:
        return
    try:
        commits, level = _ask_database(alias)
    except (DatabaseProblem, ImproperlyConfigured):
        return  # Whoever needs the database reports that it cannot be used.
    if not commits:
        yield Warning(
            f"The database {alias!r} does not commit by itself, and nothing says when that is "
            "done: a sign-in may escape its logout, and a cache is not told of what is written.",
            hint="Leave AUTOCOMMIT of the database of sessions as it is.",
            id="bff_sessions.W007",
        )
    if level in ("repeatable read", "serializable"):
        yield Warning(
            f"Transactions on the database {alias!r} are {level}: a session that another "
            "transaction has just written may escape a revocation in such a transaction.",
            hint=(
                "Keep sessions in a database whose transactions are READ COMMITTED. The level is "
                "set in OPTIONS, or is a default of the server, the role or the database."
            ),
            id="bff_sessions.W004",
        )


def _ask_database(alias: str) -> tuple[bool, str | None]:
    """Return whether each statement is committed, and the isolation level of transactions.

    Raises:
        DatabaseProblem: if the database cannot be reached.
    """
    connection = connections[alias]
    commits = connection.get_autocommit() or connection.in_atomic_block
    question = _ISOLATION.get(connection.vendor)
    if question is None:
        return commits, None
    # In a transaction: some drivers name the level when they begin one.
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(question)
        row = cursor.fetchone()
    return commits, row[-1].lower().replace("-", " ")


@register(Tags.security, deploy=True)
def check_cookie(**kwargs: Any) -> Iterable[CheckMessage]:
    faults = {
        "SESSION_COOKIE_SECURE": "travel in clear text",
        "SESSION_COOKIE_HTTPONLY": "be read by scripts",
    }
    names = [name for name in faults if not getattr(settings, name)]
    if names:
        yield Warning(
            f"The session cookie may {' and '.join(faults[name] for name in names)}.",
            hint=f"Set {' and '.join(names)} to True.",
            id="bff_sessions.W003",
        )
