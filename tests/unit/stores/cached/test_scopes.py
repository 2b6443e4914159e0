"""Tenants: one store in several places behind one cache."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from django.db import connection, connections

from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.databases import scopes
from bff_sessions.stores.databases.scopes import scope_of
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from tests.support.caches import entries, is_warm, update_of
from tests.support.processes import ROOT


class TenantStore(InMemoryUserSessionStore):
    """Keeps the sessions of each tenant apart; `tenant` says whose turn it is."""

    def __init__(self):
        super().__init__()
        self._tenants = {}
        self.switch("a")

    @property
    def scope(self):
        return self.tenant

    def switch(self, tenant):
        self.tenant = tenant
        self._sessions, self._leases = self._tenants.setdefault(tenant, ({}, {}))


@pytest.fixture
def inner():
    return TenantStore()


def test_session_of_another_tenant_is_absent(ours, warm, inner):
    inner.switch("b")
    assert ours.get_user_session(warm.key) is None
    inner.switch("a")
    assert is_warm(ours, warm.key)


def test_entry_of_another_tenant_is_replaced(ours, warm, inner, cache):
    inner.switch("b")
    ours.create_user_session(copy := replace(warm, ticket=b"copy"))
    assert ours.get_user_session(warm.key) == copy
    assert is_warm(ours, warm.key)
    assert len(entries(cache)) == 1
    inner.switch("a")
    assert ours.get_user_session(warm.key) == warm


@pytest.mark.parametrize(
    "change",
    [
        lambda store, session: store.delete_user_session(session.key),
        lambda store, session: store.update_user_session(session.key, update_of(session)),
    ],
    ids=["delete", "update"],
)
def test_invalidation_reaches_copies_of_all_tenants(ours, theirs, warm, inner, change):
    inner.switch("b")
    ours.create_user_session(warm)
    change(ours, warm)
    inner.switch("a")
    assert not is_warm(theirs, warm.key)
    assert theirs.get_user_session(warm.key) == warm


def test_entry_is_bound_to_the_scope_in_which_it_was_read(ours, warm, inner, cache, monkeypatch):
    cache.clear()
    late = []
    monkeypatch.setattr(inner, "on_commit", late.append)
    assert ours.get_user_session(warm.key) == warm
    inner.switch("b")
    for fill in late:
        fill()
    assert entries(cache)
    assert not is_warm(ours, warm.key)
    inner.switch("a")
    assert is_warm(ours, warm.key)


def test_lease_that_ends_leaves_those_of_other_tenants(ours, warm, inner):
    inner.switch("b")
    ours.create_user_session(warm)
    ours.acquire_lease(warm.key, "one", 60)
    inner.switch("a")
    ours.get_user_session(warm.key)
    ours.acquire_lease(warm.key, "two", 60)
    assert ours.release_lease(warm.key, "two")
    inner.switch("b")
    assert not is_warm(ours, warm.key)


def test_scope_is_that_of_the_store_behind(ours, inner):
    inner.switch("b")
    assert ours.scope == "b"
    assert CachedUserSessionStore(InMemoryUserSessionStore()).scope == ""


# What tells the places of the ORM store apart


def test_scope_names_alias_database_and_schema(monkeypatch):
    def scope(alias, name, **attributes):
        connection = SimpleNamespace(settings_dict={"NAME": name}, **attributes)
        monkeypatch.setattr(scopes, "connections", {alias: connection})
        return OrmUserSessionStore(alias).scope

    places = {
        scope("default", "one", schema_name="a"),
        scope("default", "one", schema_name="b"),
        scope("default", "two", schema_name="a"),
        scope("other", "one", schema_name="a"),
        scope("default", "one"),
    }
    assert len(places) == 5
    # Before django-tenants has chosen one.
    assert scope("default", "one", schema_name=None) == scope("default", "one")


def test_scope_connects_to_no_database():
    assert OrmUserSessionStore().scope == scope_of("default")  # The database is blocked here.


@pytest.fixture
def schemas(transactional_db):
    """Switches between schemas as django-tenants does, "a" and "b"."""
    if connection.vendor != "postgresql":
        pytest.skip("Other databases have no schemas.")

    def switch(name):
        wrapper.schema_name = name
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', %s, false)", [name])

    wrapper = connections["default"]
    with connection.cursor() as cursor:
        for name in ("a", "b"):
            cursor.execute(
                f"CREATE SCHEMA {name}; CREATE TABLE {name}.bff_sessions_session "
                "(LIKE public.bff_sessions_session INCLUDING ALL)"
            )
    yield switch
    switch("public")
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA a CASCADE; DROP SCHEMA b CASCADE")
    del wrapper.schema_name


def test_schemas_do_not_share_cached_sessions(cache, schemas, django_assert_num_queries):
    store, session = CachedUserSessionStore(OrmUserSessionStore()), make_session()
    other = replace(session, ticket=b"of another tenant")
    schemas("a")
    store.create_user_session(session)
    assert store.get_user_session(session.key) == session
    with django_assert_num_queries(0):
        assert store.get_user_session(session.key) == session
    schemas("b")
    assert store.get_user_session(session.key) is None
    store.create_user_session(other)
    assert store.get_user_session(session.key) == other
    with django_assert_num_queries(0):
        assert store.get_user_session(session.key) == other
    assert store.delete_user_session(session.key)
    schemas("a")
    assert store.get_user_session(session.key) == session


_ROUTED = """
import sys
from contextvars import ContextVar
from django.conf import settings

tenant = ContextVar("tenant", default="default")
sys.modules["routers"] = module = type(sys)("routers")
class Router:
    def db_for_read(self, model, **hints): return tenant.get()
    db_for_write = db_for_read
module.Router = Router
settings.configure(
    SECRET_KEY="only for tests, and long enough for it", USE_TZ=True,
    INSTALLED_APPS=["bff_sessions"],
    DATABASES={
        alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{sys.argv[1]}/{alias}.sqlite3"}
        for alias in ("default", "other")
    },
    DATABASE_ROUTERS=["routers.Router"], SESSION_ENGINE="bff_sessions.engine",
    BFF_SESSIONS={"STORE": "bff_sessions.stores.cached.CachedUserSessionStore"},
)
import django
django.setup()
from django.core.management import call_command
for alias in settings.DATABASES: call_command("migrate", database=alias, verbosity=0)
from bff_sessions.engine import SessionStore

def load(name):
    tenant.set(name)
    return SessionStore(session.session_key).get("cart")

session = SessionStore()
session["cart"] = [1]
session.save()
print(load("default"), load("default"), load("other"), load("default"))
"""


def test_databases_of_a_router_do_not_share_cached_sessions(tmp_path):
    command = [sys.executable, "-c", _ROUTED, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[1] [1] None [1]\n"
