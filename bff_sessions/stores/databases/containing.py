"""Keep a fault of what is written with a session from the transaction in which it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from django.db import Error, connections, transaction

from bff_sessions._compat.django_db import in_atomic_block
from bff_sessions.stores import database_of_store
from bff_sessions.stores.databases.errors import is_rolled_back


def savepoint(using: str) -> AbstractContextManager[None]:
    """Return a context after whose fault the transaction around it, if any, can go on."""
    return transaction.atomic(using=using) if in_atomic_block(using) else nullcontext()


@contextmanager
def savepoints() -> Iterator[None]:
    """Do what savepoint() does, in every database: around code that may query any of them.

    An error that this code has caught is raised here, if the database has not forgotten it.
    """
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            stack.enter_context(savepoint(connection.alias))
        yield


def is_undone(using: str, error: Exception) -> bool:
    """Return whether the transaction that writes sessions must be undone, and then be repeated.

    After a deadlock, MySQL and MariaDB roll back more than the savepoint. A lost connection has no
    transaction. After another transient error the transaction could go on, but without what was
    to be written.

    Args:
        using: the database in which something is written with the sessions.
        error: the error of that write.
    """
    if using != database_of_store() or not in_atomic_block(using):
        return False
    return transaction.get_rollback(using) or (isinstance(error, Error) and is_rolled_back(error))
