"""Views that commit what they write, whatever ATOMIC_REQUESTS says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections, transaction

_View = TypeVar("_View", bound=Callable[..., Any])


def non_atomic_requests(view: _View) -> _View:
    """Run `view` without a transaction on any database.

    Django's decorator of this name is for one database.
    """
    for alias in connections:
        transaction.non_atomic_requests(alias)(view)
    return view
