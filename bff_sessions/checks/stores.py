"""System checks of the store, and of the cache in front of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import Final

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.rules import SettingInvalid
from bff_sessions.contract import UserSessionStore
from bff_sessions.stores import load_store_class
from bff_sessions.stores.cached import CachedUserSessionStore, load_inner_class
from bff_sessions.stores.memory import InMemoryUserSessionStore

CACHE_SETTINGS: Final = ("CACHED_STORE", "CACHE", "MAX_STALE")
"""Settings that only the cached store reads."""

_NO_CACHE = Fault(
    "W013",
    "{place} has no effect: no cache is in front of the store {store!r:.120}.",
    "Set BFF_SESSIONS['STORE'] = 'bff_sessions.stores.cached.CachedUserSessionStore', or leave "
    "the setting out.",
)
_MEMORY = Fault(
    "W002",
    "{place} stores sessions in memory: each process has its own, and a restart signs out all "
    "users.",
    "Use {default!r} where DEBUG is False.",
)
_ONE_PROCESS = Fault(
    "W005",
    "The cache {alias!r} belongs to one process: for up to MAX_STALE seconds, it may serve a "
    "session that another process has revoked.",
    "Set BFF_SESSIONS['CACHE'] to a cache that all processes share, for example Redis.",
)
_REPLICAS = Fault(
    "W006",
    "The cache {alias!r} may read from replicas, which receive a revocation late.",
    "Give one LOCATION: the server that accepts writes.",
)


def check_stores() -> Iterator[CheckMessage]:
    store_class = yield from _load("STORE", load_store_class)
    if store_class is not None and issubclass(store_class, CachedUserSessionStore):
        yield from _load("CACHED_STORE", load_inner_class)
        yield from conf.SETTINGS["MAX_STALE"].find_faults(
            conf.place_of("MAX_STALE"), conf.MAX_STALE
        )
        yield from _check_cache(conf.CACHE)
    elif store_class is not None:
        for name in CACHE_SETTINGS:
            if name in getattr(settings, "BFF_SESSIONS", {}):
                yield _NO_CACHE(place=conf.place_of(name), store=conf.STORE)


def _load(
    name: str, load: Callable[[str], type[UserSessionStore]]
) -> Generator[CheckMessage, None, type[UserSessionStore] | None]:
    try:
        store_class = load(getattr(conf, name))
    except SettingInvalid as error:
        yield conf.SETTINGS[name].to_message(error)
        return None
    if issubclass(store_class, InMemoryUserSessionStore) and not settings.DEBUG:
        yield _MEMORY(place=conf.place_of(name), default=conf.SETTINGS["STORE"].default)
    return store_class


def _check_cache(alias: str) -> Iterator[CheckMessage]:
    try:
        cache = caches[alias]
    except Exception:
        yield conf.SETTINGS["CACHE"].refuse(conf.place_of("CACHE"), alias)
        return
    if isinstance(cache, (LocMemCache, DummyCache)) and not settings.DEBUG:
        yield _ONE_PROCESS(alias=alias)
    if getattr(cache, "is_redis_cluster", False):
        return  # It reads from the nodes that it writes to.
    location = settings.CACHES[alias].get("LOCATION", "")
    is_list = isinstance(location, (list, tuple))
    servers = list(map(str, location)) if is_list else re.split("[;,]", str(location))
    # Servers like Redis have URLs, and more than one means replicas. Memcached servers share keys.
    if len(servers) > 1 and all("://" in server for server in servers):
        yield _REPLICAS(alias=alias)
