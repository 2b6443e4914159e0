"""Pages of a site that has a schema for each tenant, as with django-tenants."""

import threading

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.scopes import differs_in_schema, in_schema, scope_of
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from bff_sessions.watching import News, NewsKind, can_watch, looking, waiting, watching
from bff_sessions.watching.pages import Page

PATIENCE = 30  # Seconds.
ENDED = News(NewsKind.SESSION_ENDED)


@pytest.fixture
def looks(transactional_db, monkeypatch):
    """Let each thread have a schema, which it can switch. Return those of all looks."""
    peek, looks, local = OrmUserSessionStore.peek_user_sessions, [], threading.local()

    def peek_and_note(store, keys):
        looks.append(connection.schema_name)
        return peek(store, keys)

    wrapper = type(connections["default"])
    find = property(lambda connection: getattr(local, "schema", "public"))
    switch = lambda connection, name: setattr(local, "schema", name)  # noqa: E731
    monkeypatch.setattr(wrapper, "schema_name", find, raising=False)
    monkeypatch.setattr(wrapper, "set_schema", switch, raising=False)
    monkeypatch.setattr(OrmUserSessionStore, "peek_user_sessions", peek_and_note)
    monkeypatch.setattr(waiting, "_home", None)
    return looks


def start(schema="public"):
    """Return a new session, and the scope in which it is."""
    connection.set_schema(schema)
    session = make_session()
    get_store().create_user_session(session)
    scope = get_store().scope
    connection.set_schema("public")
    return session, scope


def page_in(schema):
    session, scope = start(schema)
    return Page(session, print, scope)


def end(page):
    revoke_sessions(UserSessionsFilter.of_session(page.session))


def test_look_is_one_statement_in_each_schema(looks, django_assert_num_queries):
    pages = [page_in(name) for name in ("a", "b", "public", "a")]
    with django_assert_num_queries(3):
        assert list(looking.look(pages)) == []
    assert looks == ["a", "b", "public"]
    assert connection.schema_name == "public"


def test_end_is_looked_up_in_the_schema_of_its_page(looks, monkeypatch):
    page, asked = page_in("a"), []
    end(page)
    monkeypatch.setattr(looking, "_NOTE_PAUSE", 0)
    monkeypatch.setattr(
        looking, "read_notes", lambda keys: asked.append(connection.schema_name) or {}
    )
    assert list(looking.look([page])) == [(page, ENDED)]
    # The cache may have names by schema, too.
    assert asked == ["a", "a"]


def test_page_of_a_tenant_is_watched_in_its_schema(looks, watcher, look_every):
    look_every(60)
    session, scope = start("a")
    with watching(session, scope=scope) as wait:
        revoke_sessions(UserSessionsFilter.of_session(session))
        assert wait(PATIENCE) == ENDED
    assert looks == ["a"]


def test_scope_of_a_page_is_that_of_its_thread(looks, watcher):
    session, scope = start("a")
    connection.set_schema("a")
    with watching(session):
        assert [page.scope for page in watcher.pages()] == [scope]


def test_other_schemas_are_looked_at_if_one_is_gone(looks, monkeypatch):
    pages = [page_in(name) for name in ("gone", "b")]
    peek = OrmUserSessionStore.peek_user_sessions

    def fail(store, keys):
        found = peek(store, keys)
        if connection.schema_name == "gone":
            raise ProgrammingError("no such table")
        return found

    monkeypatch.setattr(OrmUserSessionStore, "peek_user_sessions", fail)
    end(pages[1])
    told = []
    with pytest.raises(ProgrammingError):
        told.extend(looking.look(pages))
    assert looks == ["gone", "b"]
    assert connection.schema_name == "public"


def test_lost_connection_ends_the_look(looks, monkeypatch):
    pages = [page_in(name) for name in ("a", "b")]

    def fail(store, keys):
        looks.append(connection.schema_name)
        raise OperationalError from OSError()

    monkeypatch.setattr(OrmUserSessionStore, "peek_user_sessions", fail)
    with pytest.raises(OperationalError):
        list(looking.look(pages))
    assert looks == ["a"]


def test_session_in_a_place_out_of_reach_has_not_ended(looks):
    session, scope = start("a")
    page = Page(session, print, scope.replace("default", "default\0x", 1))
    end(page)
    with pytest.raises(LookupError):
        list(looking.look([page]))
    assert looks == []


def test_tenant_with_a_schema_can_be_watched(looks):
    connection.set_schema("a")
    assert can_watch()


def test_tenant_with_a_database_cannot_be_watched(looks, monkeypatch):
    assert can_watch()
    other = {**connection.settings_dict, "NAME": "other"}
    with monkeypatch.context() as patched:
        patched.setattr(connections["default"], "settings_dict", other)
        assert not can_watch()


@pytest.mark.parametrize(
    ("scope", "other", "expected"),
    [
        (("default", "x", "a"), ("default", "x", "public"), True),
        (("default", "x", "a"), ("default", "y", "public"), False),
        (("default", "x", "a"), ("other", "x", "public"), False),
        # Before a library has chosen a schema, there is none to go back to.
        (("default", "x", "a"), ("default", "x", ""), False),
        (("default", "x", ""), ("default", "x", "public"), False),
        (("of another store",), ("of another one",), False),
    ],
    ids=["schema", "database", "alias", "from none", "to none", "other store"],
)
def test_only_schemas_of_one_database_can_be_switched(looks, scope, other, expected):
    assert differs_in_schema("\0".join(scope), "\0".join(other)) is expected


def test_connection_that_cannot_switch_stays_as_it_is(transactional_db):
    scope = scope_of("default")
    assert not differs_in_schema(f"{scope}a", f"{scope}public")
    for other in (scope, f"{scope}a", "of another store"):
        with in_schema(other):
            assert scope_of("default") == scope


def test_schema_is_restored_after_an_error(looks):
    _, scope = start("a")
    with pytest.raises(ZeroDivisionError), in_schema(scope):
        assert get_store().scope == scope
        raise ZeroDivisionError
    assert connection.schema_name == "public"
