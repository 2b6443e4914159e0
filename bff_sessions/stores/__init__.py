"""The stores, and the one that BFF_SESSIONS["STORE"] names."""

from __future__ import annotations

import inspect
import threading
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from bff_sessions import conf
from bff_sessions.conf.rules import SettingInvalid, SettingNotImportable
from bff_sessions.contract import UserSessionStore, UserSessionStoreTransactions

__all__ = ["database_of_store", "get_store", "load_store_class"]

_lock = threading.Lock()
_store: UserSessionStore | None = None


def get_store() -> UserSessionStore:
    """Return the store that BFF_SESSIONS["STORE"] names: one instance for the whole process.

    Raises:
        SettingInvalid: if it cannot be imported or is not a complete `UserSessionStore`.
    """
    global _store
    store = _store
    if store is None:
        with _lock:
            # Not "if not": a store with a length of 0 is falsy.
            if _store is None:
                _store = load_store_class(conf.STORE)()
            store = _store
    return store


def database_of_store() -> str | None:
    """Return the alias of the database that holds the sessions; None if the store has none.

    Raises:
        ImproperlyConfigured: as get_store().
    """
    transactions = get_store().get_ability(UserSessionStoreTransactions)
    return None if transactions is None else transactions.using


def load_store_class(path: str, setting: str = "STORE") -> type[UserSessionStore]:
    """Return the store class at the dotted `path`, the value of `setting`.

    Raises:
        SettingInvalid: as get_store().
    """
    name = conf.place_of(setting)
    try:
        store_class = import_string(path)
    except Exception as error:
        raise SettingNotImportable(name, path, error) from error
    if not (isinstance(store_class, type) and issubclass(store_class, UserSessionStore)):
        raise SettingInvalid(name, f"must be a subclass of UserSessionStore; it is {path!r:.120}")
    if inspect.isabstract(store_class):
        missing = ", ".join(sorted(store_class.__abstractmethods__))
        raise SettingInvalid(name, f"must have the methods {missing}; it is {path!r:.120}")
    try:
        inspect.signature(store_class).bind()
    except TypeError as error:
        raise SettingInvalid(
            name, f"must need no arguments ({error}); it is {path!r:.120}"
        ) from None
    return store_class


def _forget_store(*, setting: str, **kwargs: Any) -> None:
    global _store
    if setting == "BFF_SESSIONS":
        _store = None


setting_changed.connect(_forget_store, dispatch_uid="bff_sessions.stores")
