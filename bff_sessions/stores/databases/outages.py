"""Report a database that cannot do its work now in the same way as any other store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import Error

from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.stores.databases.errors import is_lost, is_rolled_back

_T = TypeVar("_T")


def report_outages(work: Callable[[], _T]) -> _T:
    """Return the result of `work`, which may query any database.

    Raises:
        StoreUnavailable: if a connection was lost or could not be made, or if the database has
            undone a transaction and asks to repeat it. `retry()` has tried so before, if it runs in
            `work`. The text names only the class of the driver's error.
        Error: any other error of a database. An operator must act.
    """
    try:
        return work()
    except Error as error:
        if is_lost(error):
            fault = "cannot be reached"
        elif is_rolled_back(error):
            fault = "has undone a transaction"
        else:
            raise
        text = f"The database {fault}: {type(error.__cause__ or error).__name__}."
    # Raised outside the handler: inside, it would refer to the error that quotes values.
    raise StoreUnavailable(text)
