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

# The statement that returns the isolation level, by the vendor of the database. SQLite needs no
# check: it refuses to write in a transaction that reads old data.
_ISOLATION: Final = {
    "postgresql": "SHOW transaction_isolation",
    # The second name is MySQL's. MariaDB has it since 11.1.
    "mysql": (
        "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
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
_TWO_DATABASES = Fault(
    "W047",
    "Sessions are in the database {sessions!r}, and refresh tokens of ended sessions in "
    "{tokens!r}: a crash or a rollback can revoke the token of a session that lives on.",
    "Use a router in DATABASE_ROUTERS that returns the same database for the models Session and "
    "TokenRevocation of bff_sessions.",
)


def check_database(databases: Sequence[str]) -> Iterator[CheckMessage]:
    """Ask the database of sessions for autocommit, isolation level and sessions left behind.

    Settings are not enough: a server, a role or a database may have other defaults.
    """
    alias = _find_database() if is_dictionary() else None
    if alias is None or alias not in databases:
        return
    try:
        commits, level = _ask_database(alias)
        left_behind = list(check_left_behind(alias))
    except (DatabaseProblem, ImproperlyConfigured):
        return  # Every other use of the database reports that it cannot be reached.
    if not commits:
        yield _NO_AUTOCOMMIT(alias=alias)
    if level in ("repeatable read", "serializable"):
        yield _ISOLATED(alias=alias, level=level)
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


def _ask_database(alias: str) -> tuple[bool, str | None]:
    """Return whether each statement is committed, and the isolation level of transactions.

    Raises:
        DatabaseProblem: if the database cannot be reached.
    """
    connection = connections[alias]
    commits = connection.get_autocommit() or in_atomic_block(alias)
    question = _ISOLATION.get(connection.vendor)
    if question is None:
        return commits, None
    # In a transaction, because some drivers set the level when they begin one.
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute(question)
        row = cursor.fetchone()
    return commits, row[-1].lower().replace("-", " ")
