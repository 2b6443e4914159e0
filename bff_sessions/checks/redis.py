"""System checks of BFF_SESSIONS["REDIS"], and of the servers that it names."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from django.core.checks import CheckMessage
from django.utils.module_loading import import_string

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.stores.redis import RedisUserSessionStore
from bff_sessions.stores.redis.options import RedisOptions

_PLACE = conf.place_of("REDIS")
_NOWHERE = Fault(
    "E090",
    f"{_PLACE} does not say where Redis is.",
    "Write {{'URL': 'redis://cache.example:6379/0'}}, for example, or name a CLIENT.",
)
_NO_EXTRA = Fault(
    "E091",
    "The Redis store needs the package redis, which is not installed.",
    "Run pip install 'django-bff-sessions[redis]', or name a CLIENT.",
)
_NO_EFFECT = Fault(
    "W080",
    f"{_PLACE} has no effect: {{store!r:.120}} does not use it.",
    f"Set BFF_SESSIONS['STORE'] = '{RedisUserSessionStore.__module__.rpartition('.')[0]}."
    "RedisUserSessionStore', or leave the setting out.",
)
_UNREACHABLE = Fault(
    "W081",
    "The servers of the sessions cannot be checked. {error}",
    "Start them, and compare URL, password and CLUSTER in BFF_SESSIONS['REDIS'] with them. Then "
    "check again.",
)
_IN_CLUSTER = Fault(
    "W085",
    f"{_PLACE} has no CLUSTER, but the Redis server in use belongs to a Cluster.",
    f"Set {_PLACE}['CLUSTER'] to True.",
)
_EVICTS = Fault(
    "W082",
    "The Redis server {name} deletes sessions and their hints when its memory is full, so that a "
    "revocation may miss a session: its maxmemory-policy is {policy}.",
    "Set maxmemory-policy to noeviction, and give the sessions a server of their own.",
)
_UNKNOWN_POLICY = Fault(
    "W083",
    "The Redis server {name} does not tell its maxmemory-policy.",
    "Make sure that it is noeviction, and silence this warning.",
)
_NO_REPLICAS = Fault(
    "W084",
    "The Redis server {name} has {found} of {wanted} replicas: if it fails, its sessions may be "
    "lost.",
    "Add replicas, or silence this warning if all users may be signed out.",
)
_SNAPSHOTS = Fault(
    "W086",
    "The Redis server {name} restores a snapshot when it restarts, and with it sessions that have "
    "ended since: it has save and no appendonly.",
    "Set appendonly to yes, or save to '' if all users may be signed out.",
)


def check_redis() -> Iterator[CheckMessage]:
    given: object = conf.REDIS
    if not isinstance(given, dict):
        return  # check_settings() reports it.
    yield from RedisOptions.find_faults(_PLACE, given)
    if not _is_used():
        if given:
            yield _NO_EFFECT(store=conf.STORE)
    elif given.get("CLIENT") is None:
        if given.get("URL") is None:
            yield _NOWHERE()
        if find_spec("redis") is None:
            yield _NO_EXTRA()


def check_servers() -> Iterator[CheckMessage]:
    """Yield a warning for each server that may lose sessions or revocations."""
    if not _is_used() or list(check_redis()):
        return
    store = RedisUserSessionStore()
    wanted = store.options.replicas or 1
    try:
        for address, primary in store.find_primaries().items():
            name = address or "in use"
            if primary.is_in_cluster and not store.options.cluster:
                yield _IN_CLUSTER()
            if primary.policy is None:
                yield _UNKNOWN_POLICY(name=name)
            elif primary.policy != "noeviction":
                yield _EVICTS(name=name, policy=primary.policy)
            if primary.restores_snapshots:
                yield _SNAPSHOTS(name=name)
            if primary.replicas < wanted:
                yield _NO_REPLICAS(name=name, found=primary.replicas, wanted=wanted)
    except StoreUnavailable as error:
        yield _UNREACHABLE(error=str(error))


def _is_used() -> bool:
    return any(_is_ours(path) for path in (conf.STORE, conf.CACHED_STORE))


def _is_ours(path: str) -> bool:
    try:
        store_class = import_string(path)
    except Exception:
        return False  # check_stores() reports it.
    return isinstance(store_class, type) and issubclass(store_class, RedisUserSessionStore)
