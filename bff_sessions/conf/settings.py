"""The settings in settings.BFF_SESSIONS: one table, from which checks and documentation derive.

``conf.STORE`` is the value of a setting; `STORE` here declares it. Options inside a setting are
declared in `bff_sessions.oidc.options` and `bff_sessions.device.options`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from bff_sessions.conf.options import Option, declared, option
from bff_sessions.conf.rules import (
    BOOLEAN,
    CALLABLE,
    DAY,
    DICTIONARY,
    MAX_SECONDS,
    POSITIVE_TIMEDELTA,
    Rule,
    checked_elsewhere,
    is_list,
    is_number,
    is_text,
    one_of,
    or_none,
    some_of,
)
from bff_sessions.conf.rules import ENCRYPTION_KEYS as KEYS
from bff_sessions.conf.rules import PROVIDERS as PROVIDERS_RULE
from bff_sessions.contract import check_text, is_moment

DEACTIVATED: Final = "deactivated"
DELETED: Final = "deleted"
PASSWORD_CHANGED: Final = "password_changed"  # noqa: S105
_USER_CHANGES: Final = (DEACTIVATED, DELETED, PASSWORD_CHANGED)
_ENDPOINTS: Final = ("user", "sessions", "login", "logout", "my-sessions", "health", "events")


def _is_partition(value: object) -> bool:
    try:
        check_text("PARTITION", value, max_length=100)
    except (TypeError, ValueError):
        return False
    return value is not None


STORE: str = option(
    "bff_sessions.stores.orm.OrmUserSessionStore",
    checked_elsewhere("the dotted path of a UserSessionStore subclass"),
    check="E005",
    import_check="E004",
    hint="Give the dotted path of a UserSessionStore subclass.",
    doc="The `UserSessionStore` that stores the sessions",
)
PARTITION: str = option(
    "default",
    Rule("a name of 1 to 100 characters", _is_partition),
    check="E007",
    hint="Give the name of the application.",
    doc=(
        "Name of this application among those that share the store. Other applications do not "
        "see its sessions"
    ),
)
ENCRYPTION_KEYS: Sequence[str | bytes] | None = option(
    None,
    KEYS,
    check="E008",
    hint=(
        "Give random strings, newest first; "
        'python -c "import secrets; print(secrets.token_urlsafe(48))" makes one.'
    ),
    doc=(
        "Encryption keys, newest first: the first encrypts, all decrypt. `None` uses "
        "`SECRET_KEY` and `SECRET_KEY_FALLBACKS`"
    ),
)
RENEW_AFTER: float | None = option(
    None,
    or_none(Rule("a number between 0 and 1", lambda value: is_number(value) and 0 < value < 1)),
    check="E013",
    hint="Give the fraction of the lifetime after which to renew, for example 0.5.",
    doc=(
        "Fraction of the lifetime after which a request that only reads renews session and "
        "cookie. `None`: only a save renews them, as in Django"
    ),
)
ABSOLUTE_LIFETIME: timedelta | None = option(
    None,
    or_none(POSITIVE_TIMEDELTA),
    check="E014",
    hint="Give a timedelta, for example timedelta(hours=12), or None.",
    doc="The longest time that a session lives after sign-in, however often it is renewed",
)
HISTORY_LIFETIME: timedelta | None = option(
    timedelta(days=90),
    or_none(POSITIVE_TIMEDELTA),
    check="E110",
    hint="Give a timedelta, for example timedelta(days=90), or None.",
    doc=(
        "How long `bff_sessions.history` keeps events, until `cleanup_sessions` deletes them; "
        "`None`: forever"
    ),
)
MAX_SESSIONS_PER_SUBJECT: int | None = option(
    None,
    or_none(
        Rule(
            "a whole number, 1 or more",
            lambda value: is_number(value) and isinstance(value, int) and value > 0,
        )
    ),
    check="E015",
    hint="Give a whole number, 1 or more, or None.",
    doc=(
        "The most live sessions of a subject of one issuer in this partition. Another sign-in "
        "ends the session with the oldest sign-in, by the clocks of your hosts"
    ),
)
END_WITH_USER: Collection[str] = option(
    list(_USER_CHANGES),
    some_of(_USER_CHANGES, "a list of changes of a user", may_be_empty=True),
    check="E018",
    hint=f"Give some of {', '.join(_USER_CHANGES)}, or an empty list.",
    doc=(
        "The changes of Django's user that end the user's sessions in this partition, when they "
        "are committed. The session that changes the password lives on"
    ),
)
IDENTITY_RESOLVER: str = option(
    "bff_sessions.identity.resolve_identity",
    CALLABLE,
    check="E006",
    hint="Give the dotted path of a callable from session data to an Identity.",
    doc="A callable from session data (a dictionary) to `bff_sessions.Identity`",
)
CLAIMS_KEY: str = option(
    "oidc",
    checked_elsewhere("a key of session data that nothing else uses"),
    check="E016",
    hint="Name the key of session data that holds iss, sub and sid, for example 'oidc'.",
    doc="Key of session data for a mapping with `iss`, `sub` and, if the provider sends it, `sid`",
)
ATOMIC_KEYS: Collection[str] = option(
    [],
    Rule(
        "a list of keys of session data",
        lambda value: is_list(value) and all(isinstance(key, str) and key for key in value),
    ),
    check="E017",
    hint="Name the keys as text, for example ['tokens'].",
    doc=(
        "Keys of session data whose dictionaries are never merged: the last writer's dictionary "
        "replaces the other. Claims and tokens under `CLAIMS_KEY` and those of "
        "mozilla-django-oidc are never merged either"
    ),
)
CACHED_STORE: str = option(
    "bff_sessions.stores.orm.OrmUserSessionStore",
    checked_elsewhere("the dotted path of a UserSessionStore subclass without a cache"),
    check="E010",
    import_check="E009",
    hint="Give the dotted path of a UserSessionStore subclass without a cache.",
    doc="The store behind the cache, if `STORE` is the cached one",
)
CACHE: str = option(
    "default",
    checked_elsewhere("an alias in CACHES"),
    check="E011",
    hint="Name a cache that is in CACHES.",
    doc="The cache in front of that store",
)
MAX_STALE: float = option(
    30,
    Rule(
        "a number of seconds, 1 or more",
        lambda value: is_number(value) and 1 <= value < math.inf,
    ),
    check="E012",
    hint="Give the seconds for which the cache may serve an ended session, for example 30.",
    doc="Seconds after which a cached session is read from the store again",
)
REDIS: dict[str, Any] = option(
    {},
    replace(DICTIONARY, is_secret=True),  # A URL in its place may have a password.
    check="E080",
    hint="Write {'URL': 'redis://cache.example:6379/0'}, for example.",
    doc="Where and how the Redis store stores the sessions",
)
TAKE_OVER: str | None = option(
    None,
    checked_elsewhere("the dotted path of a session engine with a table of its own, or None"),
    check="E060",
    import_check="E061",
    hint="Give the engine that was in SESSION_ENGINE before, and keep its app installed.",
    doc=(
        "The previous session engine. A session moves here when its browser sends its cookie, "
        "unless a ban matches it"
    ),
)
PROVIDERS: dict[str, Any] | str = option(
    {},
    PROVIDERS_RULE,
    check="E020",
    import_check="E065",
    hint="Write {'https://idp.example': {'CLIENT_ID': 'shop'}}, for example.",
    doc=(
        "The OpenID Providers by their issuers, or the dotted path of a callable from an issuer to "
        "the options of its provider"
    ),
)
PROVIDERS_MAX_AGE: float = option(
    60,
    DAY,
    check="E066",
    hint=f"Give a number of seconds from 0 to {MAX_SECONDS}, for example 60.",
    doc="Seconds after which the callable in `PROVIDERS` is asked again for an issuer",
)
BACKCHANNEL_LOGOUT: dict[str, Any] = option(
    {},
    DICTIONARY,
    check="E031",
    hint="Write {'STRICT_TYP': True}, for example.",
    doc="How providers may end sessions",
)
TOKENS: str = option(
    "bff_sessions.oidc.tokens.keep_tokens",
    CALLABLE,
    check="E041",
    import_check="E040",
    hint="Give the dotted path of a function like bff_sessions.oidc.tokens.keep_tokens.",
    doc="A callable that reads and writes the tokens in session data",
)
ACCESS_TOKEN_MARGIN: float = option(
    60,
    Rule("a number of seconds, 0 or more", is_moment),
    check="E042",
    hint="Give the seconds for which an access token must still be valid, for example 60.",
    doc=(
        "An access token is refreshed when it is valid for fewer seconds than this, or for less "
        "than a fifth of its lifetime if that is shorter"
    ),
)
TOKEN_REVOCATION: dict[str, Any] | None = option(
    {},
    or_none(DICTIONARY),
    check="E043",
    hint="Write {'EXPIRED_SESSIONS': True}, for example; None revokes no tokens.",
    doc="How tokens of ended sessions are revoked; `None`: they are not revoked",
)
ENDPOINTS: Collection[str] = option(
    list(_ENDPOINTS),
    some_of(_ENDPOINTS, "a list of endpoints", may_be_empty=True),
    check="E050",
    hint=f"Give some of {', '.join(_ENDPOINTS)}, or an empty list.",
    doc=(
        "The endpoints that are switched on if the URLs are included. By default, all are: each "
        "endpoint protects itself"
    ),
)
DEVICE: dict[str, Any] | None = option(
    None,
    or_none(DICTIONARY),
    check="E070",
    hint="Write {'USER_AGENT': True, 'ADDRESS': 'truncated'}, for example.",
    doc="What to store about the device that uses a session; `None`: nothing",
)
EVENTS_EVERY: float = option(
    1,
    Rule(
        "a number of seconds from 0.1 to 60", lambda value: is_number(value) and 0.1 <= value <= 60
    ),
    check="E057",
    hint="Give the seconds between two looks at the sessions of open pages, for example 1.",
    doc=(
        "Seconds after which a process looks again whether the sessions of its open pages are live"
    ),
)
EVENTS_NOTICES: bool = option(
    False,
    BOOLEAN,
    check="E059",
    hint="Give True or False.",
    doc=(
        "Whether processes notify each other, by Redis or by PostgreSQL, so that open pages learn "
        "of the end of their session at once, and not only after `EVENTS_EVERY`"
    ),
)
EVENTS_THREADS: int = option(
    0,
    Rule(
        "a whole number, 0 or more",
        lambda value: is_number(value) and isinstance(value, int) and value >= 0,
    ),
    check="E058",
    hint="Give the number of threads in which one process of your WSGI server answers requests.",
    doc=(
        "The threads in which one process of a WSGI server answers requests. At most a quarter of "
        "them waits for `GET events`. An ASGI server needs no threads for it"
    ),
)
ANONYMOUS_STATUS: int = option(
    401,
    one_of(401, 200),
    check="E051",
    hint="Give 401, or 200 to answer null.",
    doc="What `GET user` answers while no user is signed in; with 200 the answer is `null`",
)
USER_CLAIMS: str = option(
    "bff_sessions.claims.standard_claims",
    CALLABLE,
    check="E052",
    hint="Give the dotted path of a callable from a request to a dictionary.",
    doc="A callable from the request to the claims that `GET user` shows",
)
LOGIN_URL: str | None = option(
    None,
    checked_elsewhere("a URL or the name of one, or None"),
    check="E054",
    hint="Give the URL, or the name of the URL, at which the login library begins.",
    doc="The URL at which your login library begins; `None` uses Django's `LOGIN_URL`",
)
LOGIN_NEXT_PARAMETER: str = option(
    "next",
    Rule("the name of a parameter", is_text),
    check="E053",
    hint="Give the parameter that the login library reads, for example 'next'.",
    doc="The login library's parameter for the URL to redirect to after sign-in",
)

SETTINGS: Final[Mapping[str, Option]] = declared(globals())
"""The table: the declaration of each setting, by its name."""
