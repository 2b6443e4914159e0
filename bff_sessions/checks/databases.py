"""System checks of the databases that hold sessions, and the tokens of ended ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseProblem
from django.db import connections, router, transaction

from bff_sessions import conf
from bff_sessions._compat.django_db import in_atomic_block
from bff_sessions.checks.settings import is_dictionary
from bff_sessions.checks.take_over import check_left_behind
from bff_sessions.conf.faults import Fault
from bff_sessions.oidc.models import TokenRevocation
from bff_sessions.stores import database_of_store

# The statement that returns names and values of variables, by the vendor of the database. SQLite
# needs no check: it refuses to write in a transaction that reads old data.
_VARIABLES: Final = {
    "postgresql": ("SELECT name, setting FROM pg_settings WHERE name = 'transaction_isolation'"),
    # tx_isolation is MariaDB's older name. Those of Galera exist only where it was compiled in.
    "mysql": (
        "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation', "
        "'wsrep_on', 'wsrep_sync_wait')"
    ),
}

_NO_AUTOCOMMIT = Fault(
    "W007",
    "AUTOCOMMIT of the database {alias!r} is False, so Django does not announce commits: a sign-in "
    "may escape its logout, and a cache may miss writes.",
    "Leave AUTOCOMMIT of the database of sessions at its default, True.",
)
_ISOLATED = Fault(
    "W004",
    "Transactions on the database {alias!r} are {level}: a session that another transaction has "
    "just written may escape a revocation in such a transaction.",
    "Keep sessions in a database whose transactions are READ COMMITTED. The level is set in "
    "OPTIONS, or is a default of the server, the role or the database.",
)
_READS_LATE = Fault(
    "W048",
    "The database {alias!r} is a node of a Galera Cluster whose reads do not wait for the other "
    "nodes: it may serve a session that another node has revoked, and may not find a session that "
    "another node has just created.",
    "Set OPTIONS['init_command'] of the database to 'SET SESSION wsrep_sync_wait = 1', or set "
    "wsrep_sync_wait on all nodes.",
)
_TWO_DATABASES = Fault(
    "W047",
    "Sessions are in the database {sessions!r}, and refresh tokens of ended sessions in "
    "{tokens!r}: a crash or a rollback can revoke the token of a session that lives on.",
    "Use a router in DATABASE_ROUTERS that returns the same database for the models Session and "
    "TokenRevocation of bff_sessions.",
)


def check_database(databases: Sequence[str]) -> Iterator[CheckMessage]:
    """Ask the database of sessions for its variables, and for sessions left behind.

    Settings are not enough: a server, a role or a database may have other defaults.
    """
    alias = _find_database() if is_dictionary() else None
    if alias is None or alias not in databases:
        return
    try:
        commits, variables = _ask_database(alias)
        left_behind = list(check_left_behind(alias))
    except (DatabaseProblem, ImproperlyConfigured):
        return  # Every other use of the database reports that it cannot be reached.
    if not commits:
        yield _NO_AUTOCOMMIT(alias=alias)
    level = variables.get("transaction_isolation", variables.get("tx_isolation", ""))
    level = level.lower().replace("-", " ")
    if level in ("repeatable read", "serializable"):
        yield _ISOLATED(alias=alias, level=level)
    # The lowest bit of wsrep_sync_wait: SELECT waits.
    if variables.get("wsrep_on") == "ON" and not int(variables["wsrep_sync_wait"]) & 1:
        yield _READS_LATE(alias=alias)
    yield from left_behind


def check_outbox() -> Iterator[CheckMessage]:
    """Check that a session and its refresh token are in one database."""
    if conf.TOKEN_REVOCATION is None or not conf.PROVIDERS:
        return
    sessions, tokens = _find_database(), router.db_for_write(TokenRevocation)
    if sessions is not None and tokens != sessions:
        yield _TWO_DATABASES(sessions=sessions, tokens=tokens)


def _find_database() -> str | None:
    """Return the alias of the database of sessions; None if there is none."""
    try:
        return database_of_store()
    except ImproperlyConfigured:
        return None  # check_stores() reports the store.


def _ask_database(alias: str) -> tuple[bool, dict[str, str]]:
    """Return whether each statement is committed, and the variables of a transaction.

    Raises:
        DatabaseProblem: if the database cannot be reached.
    """
    connection = connections[alias]
    commits = connection.get_autocommit() or in_atomic_block(alias)
    question = _VARIABLES.get(connection.vendor)
    if question is None:
        return commits, {}
    # In a transaction, because some drivers set the level when they begin one.
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(question)
        return commits, dict(cursor.fetchall())
