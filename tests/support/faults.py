"""Errors of a database as its driver raises them, at chosen moments."""

import sqlite3
from contextlib import contextmanager
from unittest import mock

from django.db import connection

WRITES = ("INSERT", "UPDATE", "DELETE")


def _errors():
    """Return the errors of this database: those of a rollback, and those of a lost connection."""
    if connection.vendor == "postgresql":
        from psycopg import OperationalError, errors

        rolled_back = (
            errors.DeadlockDetected,
            errors.SerializationFailure,
            errors.LockNotAvailable,
        )
        lost = {
            "AdminShutdown": lambda: errors.AdminShutdown("terminating connection"),
            "closed": lambda: OperationalError("the connection is closed"),
        }
        return {error.__name__: lambda error=error: error("fault") for error in rolled_back}, lost
    if connection.vendor == "mysql":
        from MySQLdb import OperationalError

        def errors_of(*codes):
            return {str(code): lambda code=code: OperationalError(code, "fault") for code in codes}

        return errors_of(1020, 1047, 1205, 1213), errors_of(2006, 2013)

    def busy(code):
        error = sqlite3.OperationalError("fault")
        error.sqlite_errorcode = code
        return error

    # SQLite loses no connection, but a commit may be in doubt with any database of Django's.
    codes = {"busy": sqlite3.SQLITE_BUSY, "busy_snapshot": sqlite3.SQLITE_BUSY_SNAPSHOT}
    rolled_back = {name: lambda code=code: busy(code) for name, code in codes.items()}
    return rolled_back, {"lost": lambda: sqlite3.OperationalError("fault")}


ROLLED_BACK, LOST = _errors()


class Fault:
    """Raises an error when a write is committed, once, before or after it is done.

    Args:
        make: makes the error of the driver.
        done: whether the write is done all the same.
        times: how often the error is raised.
        after: so many commits succeed before that.
    """

    def __init__(self, make, *, done=False, times=1, after=0):
        self.make = make
        self.done = done
        self.left = self.times = times
        self.spared = after
        self.raised = 0

    def anew(self, after=0):
        """Return a context in which the same error is raised once more."""
        return Fault(self.make, done=self.done, times=self.times, after=after)()

    @contextmanager
    def __call__(self):
        # The methods of the class: connections are made anew.
        with connection.execute_wrapper(self._execute):
            commit = connection._commit
            with mock.patch.object(connection, "_commit", lambda: self._around(commit)):
                yield self

    def _execute(self, execute, sql, params, many, context):
        def run():
            return execute(sql, params, many, context)

        # Others are committed with their transaction.
        is_commit = sql.startswith(WRITES) and not connection.in_atomic_block
        return self._around(run) if is_commit else run()

    def _around(self, run):
        if self.spared or not self.left:
            self.spared -= bool(self.spared)
            return run()
        self.left -= 1
        self.raised += 1
        if self.done:
            run()
        with connection.wrap_database_errors:
            raise self.make()
