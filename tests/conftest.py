import contextvars
import logging
import os
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from django.core.management.color import no_style
from django.db import DatabaseError, connection, connections
from django.test import AsyncClient, TransactionTestCase
from hypothesis import settings as hypothesis_settings

from bff_sessions import events, repeats
from bff_sessions.engine import SessionStore
from bff_sessions.history import reading
from bff_sessions.history.apps import HistoryConfig
from bff_sessions.signals import session_started, sessions_ended
from tests.support.calls import Calls
from tests.support.middleware import DJANGOS, OURS
from tests.support.stores import CACHED, MEMORY, MINIMAL, NATIVE_EXPIRY, ORM

pytest_plugins = [
    "tests.support.clusters",
    "tests.support.redis_fixtures",
    "tests.support.watching",
]

# In development mode asyncio warns of steps that took longer than 0.1 s, as they do on a slow
# machine; that is no record of ours.
logging.getLogger("asyncio").setLevel(logging.ERROR)

# Of `python -m tests`; all else takes the 100 examples of Hypothesis.
hypothesis_settings.register_profile("quick", max_examples=25)

# Tests empty the cache, so each worker of pytest-xdist uses a number of its own.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
if os.environ.get("TEST_REDIS_URL"):
    url, _, number = os.environ["TEST_REDIS_URL"].rpartition("/")
    os.environ["TEST_REDIS_URL"] = f"{url}/{int(number) + WORKER}"


@pytest.fixture(autouse=True)
def no_fault_is_known(monkeypatch):
    """No other test has met a fault."""
    monkeypatch.setattr(repeats, "_known", {})


# Migrations fill these tables, and no test changes what they hold.
FILLED_BY_MIGRATIONS = {"django_content_type", "auth_permission"}


@cache
def statements_that_empty(alias):
    connection = connections[alias]
    tables = set(connection.introspection.django_table_names(include_views=False))
    tables = sorted(tables - FILLED_BY_MIGRATIONS)
    if connection.vendor == "postgresql":
        # Far quicker than TRUNCATE for a few rows. Foreign keys are checked at the commit.
        return [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]
    return connection.ops.sql_flush(no_style(), tables)


def empty_tables(test_case):
    """Empty the tables after a test that commits.

    Django's own flush also writes all permissions anew. That takes longer than most tests.
    """
    for alias in test_case._databases_names(include_mirrors=False):
        connections[alias].ops.execute_sql_flush(statements_that_empty(alias))


TransactionTestCase._fixture_teardown = empty_tables


# Their statements are those of the store and the engine, which are tested on each database.
ANY_DATABASE = (
    "unit/identity/",
    "unit/views/",
    "unit/engine/test_reports.py",
    "unit/engine/test_sansio.py",
    "unit/oidc/test_refused_tokens.py",
    "unit/oidc/test_sign_in.py",
    "unit/test_middleware.py",
    "unit/test_protection.py",
)


def pytest_collection_modifyitems(items):
    """Mark the tests that use the database, and those that repeat others.

    Not those of `any_store` that keep sessions in memory: no database changes what they do.
    """
    for item in items:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        case = getattr(item, "cls", None)
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        store, calls = parameters.get("any_store", ORM), parameters.get("calls", False)
        # Stores do not know who calls the engine: both callers meet the first one only.
        repeats = store not in (ORM, NATIVE_EXPIRY) or (store == NATIVE_EXPIRY and calls)
        # Nor do endpoints know their server: their decorator does.
        repeats |= parameters.get("open_browser") is AsyncClient and not path.endswith(
            "_endpoint.py"
        )
        # The documentation shows its test, which has no marker therefore.
        if repeats or (case and case.__name__ == "TestFileStore"):
            item.add_marker(pytest.mark.thorough)
        if store in (MEMORY, MINIMAL, NATIVE_EXPIRY) or path.startswith(ANY_DATABASE):
            continue
        if item.get_closest_marker("any_database"):
            continue
        if (
            "_django_db_helper" in item.fixturenames
            or item.get_closest_marker("django_db")
            or (case and issubclass(case, TransactionTestCase))
        ):
            item.add_marker(pytest.mark.database)


def pytest_runtest_protocol(item, nextitem):
    """Run each test in a context of its own.

    Each change of CACHES or ROOT_URLCONF makes a context variable, which stays in its context, and
    asgiref copies all of them at each step between synchronous and asynchronous code. In a context
    of all tests, such a step took 100 times as long after 9,000 tests.
    """
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    contextvars.copy_context().run(runtestprotocol, item, nextitem=nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


# Seconds that a provider of the tests has for its answer. With those of the package, a machine that
# is busy with other work fails tests. Tests of the limits set their own.
PATIENCE = 30


@pytest.fixture(scope="session", autouse=True)
def patience():
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "providers.provider._POST_TIMEOUT",
            "refresh.fresh_claims._TIMEOUT",
            "token_revocation.outbox._MAX_SECONDS",
            "transport.http.TIMEOUT",
        ):
            patch.setattr(f"bff_sessions.oidc.{name}", PATIENCE)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings, django_db_blocker):
    """Say once and in plain words, not with an error for every test, that there is no server."""
    if connection.vendor == "sqlite":
        return
    try:
        with django_db_blocker.unblock(), connection._nodb_cursor():
            pass
    except (DatabaseError, RuntimeWarning) as error:
        pytest.exit(f"The database of the tests cannot be reached: {error}", returncode=1)


@pytest.fixture
def djangos_middleware(settings):
    """Django's own session middleware, in the place of that of this package."""
    settings.MIDDLEWARE = [DJANGOS if name == OURS else name for name in settings.MIDDLEWARE]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def calls(request):
    return Calls(request.param)


@pytest.fixture(
    params=[ORM, MEMORY, MINIMAL, NATIVE_EXPIRY, CACHED],
    ids=["orm", "memory", "minimal", "native-expiry", "cached"],
)
def any_store(request, settings, transactional_db):
    """Whichever store is configured."""
    settings.BFF_SESSIONS = {"STORE": request.param}


@pytest.fixture(params=[ORM, MEMORY], ids=["orm", "memory"])
def leasing_store(request, settings, transactional_db):
    settings.BFF_SESSIONS = {"STORE": request.param}


@pytest.fixture
def installed_history(monkeypatch):
    """The history is installed, and records nothing."""
    monkeypatch.setattr(reading, "APP", HistoryConfig.name)


@pytest.fixture
def history(monkeypatch, installed_history):
    """The history is installed."""
    # Its models cannot be imported before Django is ready.
    from bff_sessions.history import recording

    for name in ("_subscribers", "_start_subscribers"):
        monkeypatch.setattr(events, name, list(getattr(events, name)))
    receivers = {signal: list(signal.receivers) for signal in (session_started, sessions_ended)}
    recording.connect()
    yield
    for signal, before in receivers.items():
        signal.receivers = before
        signal.sender_receivers_cache.clear()


@pytest.fixture
def load():
    """Data of the session as the next request sees it; None if there is none."""

    def load(session_key):
        session = SessionStore(session_key)
        data = dict(session.items())
        return data if session.session_key else None

    return load


@pytest.fixture
def small_sample(monkeypatch):
    """Return a function that sets up to how many sessions the figures are exact."""

    def set_sample(number):
        for name in (
            "admin.figures",
            "admin.overview",
            "stores.orm.counting",
            "stores.orm.sampling",
        ):
            # The package has a function that is called like a module.
            monkeypatch.setattr(import_module(f"bff_sessions.{name}"), "SAMPLE", number)

    return set_sample
