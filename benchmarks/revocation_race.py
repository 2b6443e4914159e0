"""Count requests that are served as signed in after their session was revoked.

    python benchmarks/revocation_race.py [--trouble] [--evict POLICY] [--engine NAME]

Reader processes load sessions and sometimes save them, while another process revokes one session
after the other. Some readers pause between database and cache, like a thread that loses the CPU. A
request is a fault if it began after the revocation had returned, and still found a signed-in user.

With --trouble Redis is flushed, stopped, paused, killed and restarted from an old snapshot in the
middle. With --evict its memory is full, so that it evicts by a policy, for example allkeys-lru.
Then the run measures how long a session was served after its revocation. This must not exceed
MAX_STALE, so that requests continue for longer than that after the last revocation.

The run starts a Redis server of its own. It creates a database on the server that --database
names, and drops it afterwards.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

import django
import environ
from django.conf import settings

from tests.support.redis_servers import RedisServer

SPAWN = multiprocessing.get_context("spawn")
ENGINES = {"bff": "bff_sessions.engine", "cached_db": "django.contrib.sessions.backends.cached_db"}


def configure(engine, options, redis, *, fresh=False):
    database = environ.Env.db_url_config(options.database)
    name = f"revocation_race_{options.run}"
    database["TEST"] = {"NAME": name}
    if not fresh:
        database["NAME"] = name
    settings.configure(
        SECRET_KEY="only for this benchmark, and long enough for it",
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "bff_sessions",
        ],
        DATABASES={"default": database},
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": redis,
                "KEY_PREFIX": name,
                "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
            }
        },
        SESSION_ENGINE=ENGINES[engine],
        BFF_SESSIONS={
            "STORE": "bff_sessions.stores.cached.CachedUserSessionStore",
            "MAX_STALE": options.max_stale,
        },
        LOGGING_CONFIG=None,
    )
    django.setup()


def paused(call):
    def slow(*args, **kwargs):
        found = call(*args, **kwargs)
        if random.random() < 0.2:
            time.sleep(random.uniform(0, 0.005))
        return found

    return slow


def load(engine, options, redis, keys, revoked_at, at, stop, results):
    """Send requests with sessions that are about to be revoked or have been: a server process."""
    configure(engine, options, redis)
    from importlib import import_module

    from django.contrib.sessions.backends.base import UpdateError
    from django.contrib.sessions.exceptions import SessionInterrupted

    from bff_sessions.stores.orm import OrmUserSessionStore

    store_class = import_module(settings.SESSION_ENGINE).SessionStore
    if engine == "bff":
        slow = [(OrmUserSessionStore, "get_user_session")]
        slow += [(OrmUserSessionStore, "overwrite_user_session")]
    else:
        slow = [(store_class, "_get_session_from_db"), (store_class.__mro__[1], "save")]
    for owner, verb in slow:
        mock.patch.object(owner, verb, paused(getattr(owner, verb))).start()

    loads = faults = errors = 0
    oldest = 0.0
    while not stop.is_set():
        # Mostly sessions whose revocation is in progress.
        index = at.value + random.randint(-5, 5)
        if random.random() < 0.2 or at.value == len(keys) - 1:
            index = random.randrange(max(at.value, 1))
        index = min(max(index, 0), len(keys) - 1)
        began, revoked = time.monotonic(), revoked_at[index]
        try:
            session = store_class(keys[index])
            is_signed_in = "oidc" in session
            if is_signed_in and random.random() < 0.05:
                session["seen"] = loads
                with suppress(UpdateError, SessionInterrupted):
                    session.save()
        except Exception as error:
            errors += 1
            if errors == 1:
                print(f"  a request: {type(error).__name__}: {error}", flush=True)
            continue
        loads += 1
        if revoked and is_signed_in:
            faults += 1
            oldest = max(oldest, began - revoked)
    results.put((loads, faults, oldest, errors))


def revoke(engine, options, redis, keys, revoked_at, at, results):
    """Revoke one session after the other: the operator's process."""
    configure(engine, options, redis)
    from importlib import import_module

    from bff_sessions.contract import UserSessionsFilter
    from bff_sessions.revocation import revoke_sessions

    store_class = import_module(settings.SESSION_ENGINE).SessionStore
    errors = 0
    pause = options.seconds / len(keys)
    for index, key in enumerate(keys):
        at.value = index
        try:
            if engine == "bff":
                revoke_sessions(UserSessionsFilter(subject_id=f"user {index}"))
            else:
                store_class(key).delete()
        except Exception as error:
            errors += 1  # The caller knows that it has failed, so that it does not count.
            if errors == 1:
                print(f"  a revocation: {type(error).__name__}: {error}", flush=True)
        else:
            revoked_at[index] = time.monotonic()
        time.sleep(pause)
    results.put(errors)


def make_sessions(number):
    from importlib import import_module

    store_class = import_module(settings.SESSION_ENGINE).SessionStore
    keys = []
    for index in range(number):
        session = store_class()
        claims = {"iss": "https://idp.example", "sub": f"user {index}", "sid": f"s{index}"}
        session.update({"oidc": claims, "access_token": "x" * 1000})
        session.save()
        keys.append(session.session_key)
    return keys


def trouble(server, seconds):
    """Flush, stop, pause and kill Redis, and restore an old snapshot, within so many seconds."""
    step = seconds / 8
    time.sleep(step)
    print("  Redis was flushed", flush=True)
    server.ask("FLUSHALL")
    time.sleep(step)
    print("  Redis stands still, and goes on", flush=True)
    server.pause()
    time.sleep(step)
    server.resume()
    time.sleep(step / 2)
    print("  Redis delays writes, but not reads", flush=True)
    server.ask("CLIENT", "PAUSE", int(step * 1000), "WRITE")
    time.sleep(1.5 * step)
    print("  Redis was killed and restarts empty", flush=True)
    server.kill()
    time.sleep(step / 2)
    server.start()
    time.sleep(step / 2)
    server.ask("SAVE")
    time.sleep(step / 4)
    print("  Redis was killed and restarts with an older snapshot", flush=True)
    server.restart()


def fill_memory(server, policy):
    """Leave so little memory that Redis evicts some of the sessions in use."""
    used = int(server.info("memory")["used_memory"])
    server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    server.ask("CONFIG", "SET", "maxmemory", used + 300_000)


def run(engine, options):
    """Measure one engine; exit with 1 if our engine breaks its promise."""
    server = RedisServer()
    is_bounded = options.trouble or options.evict
    configure(engine, options, server.url, fresh=True)
    from django.db import connection, transaction

    evicted = 0
    try:
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        with transaction.atomic():
            keys = make_sessions(options.revocations)
        revoked_at = SPAWN.Array("d", len(keys), lock=False)
        at, stop = SPAWN.Value("i", 0, lock=False), SPAWN.Event()
        results, done = SPAWN.Queue(), SPAWN.Queue()
        server.ask("FLUSHALL")  # Starts with an empty cache.
        shared = (engine, options, server.url, keys, revoked_at, at)
        readers = [
            SPAWN.Process(target=load, args=(*shared, stop, results))
            for _ in range(options.readers)
        ]
        operator = SPAWN.Process(target=revoke, args=(*shared, done))
        if options.evict:
            fill_memory(server, options.evict)
        for process in (*readers, operator):
            process.start()
        if options.trouble:
            trouble(server, options.seconds)
        failed = done.get()
        # All sessions have been revoked; serve requests for longer than a stale copy may live.
        time.sleep(options.max_stale + 2 if is_bounded else 1)
        stop.set()
        evicted = server.info("stats")["evicted_keys"]
        each = [results.get() for _ in readers]
        for process in (*readers, operator):
            process.join()
    finally:
        connection.creation.destroy_test_db(options.database.rpartition("/")[2], verbosity=0)
        server.stop()
    loads, faults, oldest, errors = zip(*each, strict=True)
    print(
        f"{engine}: {len(keys) - failed} revocations, {sum(loads)} requests in {len(each)} "
        f"processes, {sum(faults)} served after the revocation had returned"
        f"{f', the last {max(oldest):.2f} s after it' if sum(faults) else ''}; "
        f"{failed + sum(errors)} errors{f', {evicted} evicted' if options.evict else ''}",
        flush=True,
    )
    is_good = max(oldest) <= options.max_stale if is_bounded else not sum(faults)
    if engine == "bff" and not (is_good and not failed and not sum(errors)):
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = "postgres://postgres@127.0.0.1:5432/postgres"
    parser.add_argument("--database", default=os.environ.get("TEST_POSTGRESQL_URL", default))
    parser.add_argument("--engine", choices=[*ENGINES, "both"], default="both")
    parser.add_argument("--revocations", type=int, default=10_000)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument(
        "--seconds", type=float, default=0, help="duration of the revocations, at least"
    )
    parser.add_argument("--max-stale", type=float, default=30)
    parser.add_argument("--trouble", action="store_true", help="flush, stop and kill Redis")
    parser.add_argument("--evict", metavar="POLICY", help="leave Redis too little memory")
    options = parser.parse_args()
    options.run = os.getpid()
    if options.trouble:
        options.seconds = options.seconds or 12
    print(f"MAX_STALE is {options.max_stale} s", flush=True)
    is_good = True
    for engine in ENGINES if options.engine == "both" else [options.engine]:
        # Each engine needs a process, because Django is set up once in a process.
        process = SPAWN.Process(target=run, args=(engine, options))
        process.start()
        process.join()
        is_good &= process.exitcode == 0
    return not is_good


if __name__ == "__main__":
    sys.exit(main())
