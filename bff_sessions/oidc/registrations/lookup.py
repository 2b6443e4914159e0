"""Find the registrations of this site at its providers: BFF_SESSIONS["PROVIDERS"].

A callable of the project may return them, and what it has returned is remembered for some time.

Imports no optional dependency.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS

from bff_sessions import conf
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.options.addresses import is_issuer
from bff_sessions.oidc.registrations.registration import Registration, clients_of, find_faults
from bff_sessions.secret import hidden_frames
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.containing import savepoints
from bff_sessions.stores.databases.scopes import scope_of

logger = logging.getLogger("bff_sessions.oidc")

# Registrations that a process remembers of those that a callable has returned.
_MAX: Final = 1_000


class RegistrationInvalid(ProviderUnavailable, ImproperlyConfigured):
    """The options of a provider that a callable has returned are not valid.

    No system check finds them, so they must not fail more than a provider that does not answer.
    """


@dataclass(frozen=True, slots=True)
class _Entry:
    registration: Registration
    expires: float
    """By time.monotonic()."""


# By scope and issuer. With a schema for each tenant, one issuer may have other clients in each.
_entries: dict[tuple[str, str], _Entry] = {}
_lock = threading.Lock()
# Counts what is forgotten: what a callable returned before must not be remembered afterwards.
_forgotten = 0


def are_looked_up() -> bool:
    """Return whether a callable returns the providers, so that they cannot be listed."""
    return isinstance(conf.PROVIDERS, str)


@hidden_frames()
def find_registration(issuer: str) -> Registration | None:
    """Return the clients of this site at the provider of exactly this issuer; None without one.

    What a callable has returned is remembered for BFF_SESSIONS["PROVIDERS_MAX_AGE"] seconds.

    Raises:
        ImproperlyConfigured: if the options are not valid.
        ProviderUnavailable: if the callable raises an error, or returns options that are not valid.
    """
    key, now = (_scope(), issuer), time.monotonic()
    entry = _entries.get(key)
    if entry is not None and now < entry.expires:
        return entry.registration
    before = _forgotten
    clients = _look_up(issuer) if are_looked_up() else _read(issuer)
    if clients is None:
        with _lock:
            _entries.pop(key, None)
        return None
    # The same object, as long as nothing changes: the keys of the provider belong to it.
    if entry is None or entry.registration.clients != clients:
        entry = _Entry(Registration(issuer=issuer, clients=clients), 0)
    expires = now + conf.PROVIDERS_MAX_AGE if are_looked_up() else math.inf
    with _lock:
        if before == _forgotten:
            _remember(key, _Entry(entry.registration, expires))
    return entry.registration


def known_registrations() -> Sequence[Registration]:
    """Return all registrations; with a callable, those that this process has used lately.

    Raises:
        ImproperlyConfigured: if the options of one of them are not valid.
    """
    conf.check("PROVIDERS", conf.PROVIDERS)
    if are_looked_up():
        scope, now = _scope(), time.monotonic()
        with _lock:
            # Not those that are too old: the callable may have no such provider any more.
            return [
                each.registration
                for key, each in _entries.items()
                if key[0] == scope and now < each.expires
            ]
    found = (find_registration(issuer) for issuer in conf.PROVIDERS)
    return [each for each in found if each is not None]


def known_issuers() -> Collection[str]:
    """Return the issuers in BFF_SESSIONS["PROVIDERS"]; none if a callable returns them."""
    return () if isinstance(conf.PROVIDERS, str) else conf.PROVIDERS.keys()


def may_receive_signals() -> bool:
    """Return whether a provider has SIGNALS, or a callable may return one that has."""
    conf.check("PROVIDERS", conf.PROVIDERS)
    if isinstance(conf.PROVIDERS, str):
        return True
    clients = (each for given in conf.PROVIDERS.values() for each in clients_of(given))
    return any(each.get("SIGNALS") is not None for each in clients)


def forget_providers(issuer: str | None = None) -> None:
    """Ask the callable in BFF_SESSIONS["PROVIDERS"] again, for `issuer` or for all issuers.

    Call it after the commit that changes or removes a provider. Other processes ask the callable
    when BFF_SESSIONS["PROVIDERS_MAX_AGE"] has passed. A provider whose options have not changed
    keeps its keys.
    """
    global _forgotten
    with _lock:
        _forgotten += 1
        for key, entry in list(_entries.items()):
            if issuer in (None, key[1]):
                _entries[key] = replace(entry, expires=-math.inf)


def warn_of_unknown_client(issuer: str) -> None:
    """Log that the tokens of a session cannot be used. Nothing else would report it."""
    log_once(
        logger,
        logging.ERROR,
        "unknown client",
        f"{issuer!a:.120}",
        "Tokens of %s in a session are neither refreshed nor revoked: their ID token names none of "
        "the clients in BFF_SESSIONS['PROVIDERS'].",
    )


def _read(issuer: str) -> tuple[Mapping[str, Any], ...] | None:
    conf.check("PROVIDERS", conf.PROVIDERS)
    given = None if isinstance(conf.PROVIDERS, str) else conf.PROVIDERS.get(issuer)
    if given is None:
        return None
    for text in _faults(issuer, given):
        raise ImproperlyConfigured(text)
    return tuple(map(dict, clients_of(given)))


def _look_up(issuer: str) -> tuple[Mapping[str, Any], ...] | None:
    # Anybody can name an issuer. What cannot be one is not worth a query, and NUL breaks some.
    if not is_issuer(issuer):
        return None
    function = conf.load_callable("PROVIDERS")
    try:
        with savepoints():
            given = function(issuer)
            if given is None:
                return None
            # Here, because lazy values are evaluated. Copied, because a list may change later.
            faults = list(_faults(issuer, given))
            clients = [
                {name: copy(value) for name, value in each.items()} for each in clients_of(given)
            ]
    except Exception as error:
        # The first sentence names the fault for error_level(), and anybody can name issuers.
        raise ProviderUnavailable(
            f"The callable in BFF_SESSIONS['PROVIDERS'] failed: {type(error).__name__}. It was "
            f"asked for {issuer!a:.120}."
        ) from error
    for text in faults:
        raise RegistrationInvalid(text)
    return tuple(clients)


def _faults(issuer: str, given: Any) -> Iterator[str]:
    for message in find_faults(issuer, given):
        if message.is_serious():
            yield f"{message.msg} {message.hint}"


def _remember(key: tuple[str, str], entry: _Entry) -> None:
    _entries.pop(key, None)
    while are_looked_up() and len(_entries) >= _MAX:
        del _entries[next(iter(_entries))]
    _entries[key] = entry


def _scope() -> str:
    # The callable may read the default database, or that of the sessions, as a router chooses it.
    return f"{scope_of(DEFAULT_DB_ALIAS)}\0{get_store().scope}" if are_looked_up() else ""


def _forget(*, setting: str, **kwargs: Any) -> None:
    global _forgotten
    if setting == "BFF_SESSIONS":
        with _lock:
            _forgotten += 1
            _entries.clear()


setting_changed.connect(_forget, dispatch_uid="bff_sessions.oidc.registrations.lookup")
