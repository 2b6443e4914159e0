"""System checks that ask the database of sessions."""

import io

import pytest
from django.contrib.sessions.models import Session as OldSession
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.db.utils import OperationalError

from bff_sessions.checks import check_databases
from bff_sessions.checks import databases as database_checks
from bff_sessions.stores.orm import OrmUserSessionStore
from tests.support.factories import ago
from tests.support.old_sessions import OLD, OldStore, old_session
from tests.support.stores import CACHED, MEMORY

LEVELS = ["repeatable read", "serializable"]
only_on = {
    vendor: pytest.mark.skipif(connection.vendor != vendor, reason=f"for {vendor}")
    for vendor in ("sqlite", "postgresql", "mysql")
}


@pytest.fixture
def connect(transactional_db, monkeypatch):
    """Connects to the database of the tests with other settings."""

    def connect(**changes):
        connection.close()
        for name, value in changes.items():
            monkeypatch.setitem(connection.settings_dict, name, value)

    yield connect
    monkeypatch.undo()
    connection.close()


def with_options(**options):
    return {"OPTIONS": {**connection.settings_dict["OPTIONS"], **options}}


def found(databases=("default",)):
    """The ids of what the checks of this package say."""
    return [m.id.removeprefix("bff_sessions.") for m in run_checks(databases=databases)]


def test_database_as_django_sets_it_up_is_right(connect):
    connect()
    assert found() == []


@pytest.fixture
def asked(monkeypatch):
    """The databases that are asked."""
    asked = []

    def ask(alias):
        asked.append(alias)
        return True, {}

    monkeypatch.setattr(database_checks, "_ask_database", ask)
    monkeypatch.setattr(database_checks, "check_left_behind", lambda alias: [])
    return asked


def ask(databases):
    assert list(check_databases(databases=databases)) == []


def test_database_is_not_asked_unless_it_is_named(asked):
    for databases in (None, [], ["other"]):
        ask(databases)
    assert asked == []


def test_only_the_database_of_sessions_is_asked(asked, settings):
    ask(["default", "other"])
    for store in ("tests.unit.checks.test_databases.ElsewhereStore", CACHED, MEMORY):
        settings.BFF_SESSIONS = {"STORE": store}
        ask(["default", "other"])
    assert asked == ["default", "other", "default"]


@pytest.mark.parametrize("given", [7, {"STORE": "no.such.store"}])
def test_database_is_not_asked_where_the_settings_are_wrong(asked, settings, given):
    settings.BFF_SESSIONS = given
    ask(["default"])
    assert asked == []


@pytest.mark.parametrize(
    ("is_node", "wait", "expected"),
    [
        ("ON", "0", ["W048"]),
        # Writes wait, reads do not.
        ("ON", "6", ["W048"]),
        ("ON", "1", []),
        ("ON", "15", []),
        ("OFF", "0", []),
    ],
)
def test_galera_node_whose_reads_do_not_wait_is_w048(asked, monkeypatch, is_node, wait, expected):
    variables = {"wsrep_on": is_node, "wsrep_sync_wait": wait}
    monkeypatch.setattr(database_checks, "_ask_database", lambda alias: (True, variables))
    assert found() == expected


@only_on["mysql"]
@pytest.mark.parametrize("level", LEVELS)
def test_isolation_level_of_options_is_w004_on_mysql(connect, level):
    connect(**with_options(isolation_level=level))
    (message,) = run_checks(databases=["default"])
    assert message.id == "bff_sessions.W004"
    assert f"'default' are {level}" in message.msg
    assert message.hint


@only_on["mysql"]
def test_default_of_the_server_is_w004_on_mysql(connect):
    """It is REPEATABLE READ, unless it is set up otherwise."""
    connect(**with_options(isolation_level=None))
    assert found() == ["W004"]


@only_on["mysql"]
def test_init_command_is_w004_on_mysql(connect):
    command = "SET SESSION TRANSACTION ISOLATION LEVEL {}"
    connect(**with_options(isolation_level=None, init_command=command.format("SERIALIZABLE")))
    assert found() == ["W004"]
    connect(**with_options(isolation_level=None, init_command=command.format("READ COMMITTED")))
    assert found() == []


@only_on["postgresql"]
def test_isolation_level_of_options_is_w004_on_postgresql(connect):
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    for level in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE):
        connect(**with_options(isolation_level=level))
        assert found() == ["W004"]
    connect(**with_options(isolation_level=IsolationLevel.READ_COMMITTED))
    assert found() == []


@only_on["postgresql"]
@pytest.mark.parametrize("level", LEVELS)
def test_default_of_the_connection_is_w004_on_postgresql(connect, level):
    setting = f"-c default_transaction_isolation={level}".replace(" read", "\\ read")
    connect(**with_options(options=setting))
    (message,) = run_checks(databases=["default"])
    assert message.id == "bff_sessions.W004"
    assert f"'default' are {level}" in message.msg


@only_on["postgresql"]
@pytest.mark.parametrize("owner", ["DATABASE", "ROLE"])
def test_default_of_database_or_role_is_w004_on_postgresql(connect, owner):
    quote = connection.ops.quote_name
    role = "bff_sessions_check"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} SUPERUSER LOGIN")
        name = quote(connection.settings_dict["NAME"]) if owner == "DATABASE" else role
        altered = f"ALTER {owner} {name}"
        cursor.execute(f"{altered} SET default_transaction_isolation = 'repeatable read'")
    try:
        connect(USER=role)
        assert found() == ["W004"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"{altered} RESET default_transaction_isolation")
        connect(USER="postgres")
        with connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE {role}")


def test_database_that_does_not_commit_by_itself_is_w007(connect):
    connect(AUTOCOMMIT=False)
    assert found() == ["W007"]
    connection.rollback()


@only_on["mysql"]
def test_server_that_does_not_commit_by_itself_is_told_to(connect):
    connect(**with_options(init_command="SET autocommit = 0"))
    assert found() == []


def test_transaction_is_not_taken_for_a_lack_of_commits(db):
    assert found() == []


@only_on["sqlite"]
def test_isolation_of_sqlite_is_right(connect):
    for mode in (None, "DEFERRED", "IMMEDIATE", "EXCLUSIVE"):
        connect(**with_options(transaction_mode=mode))
        assert found() == []


def test_database_that_is_down_is_not_reported(connect, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("no connection")

    connect()
    monkeypatch.setattr(connection, "ensure_connection", refuse)
    monkeypatch.setattr(connection, "connect", refuse)
    monkeypatch.setattr(
        "django.db.backends.mysql.validation.DatabaseValidation.check", lambda *a, **k: []
    )
    assert found() == []


class ElsewhereStore(OrmUserSessionStore):
    using = "other"


@pytest.mark.parametrize(
    ("command", "options"),
    [("check", {"databases": ["default"]}), ("migrate", {"plan": True, "skip_checks": False})],
)
def test_command_asks_the_database(connect, command, options):
    connect(AUTOCOMMIT=False)
    err = io.StringIO()
    call_command(command, stdout=io.StringIO(), stderr=err, **options)
    assert "bff_sessions.W007" in err.getvalue()
    connection.rollback()


@pytest.fixture
def left_behind(connect):
    connect()
    OldStore().save()
    key = old_session(a=1)
    yield key
    OldSession.objects.all().delete()


@pytest.mark.parametrize("settings_", [{}, {"STORE": CACHED}])
def test_live_sessions_of_djangos_engine_are_w060(left_behind, settings, settings_):
    settings.BFF_SESSIONS = settings_
    (message,) = [m for m in run_checks(databases=["default"]) if m.id.endswith("W060")]
    assert "'django_session' in the database 'default' has live sessions (2)," in message.msg
    assert f"BFF_SESSIONS['TAKE_OVER'] = {OLD!r}" in message.hint


def test_sessions_that_are_not_lost_are_not_w060(left_behind, settings):
    settings.BFF_SESSIONS = {"TAKE_OVER": OLD}
    assert found() == []
    settings.BFF_SESSIONS = {}
    settings.SESSION_ENGINE = OLD
    assert found() == ["W001"]
    settings.SESSION_ENGINE = "bff_sessions.engine"
    OldSession.objects.update(expire_date=ago(seconds=1))
    assert found() == []


def test_database_without_the_table_of_djangos_engine_is_good(connect, monkeypatch):
    connect()
    monkeypatch.setattr(connection.introspection, "table_names", lambda cursor: ["auth_user"])
    assert found() == []
