"""The statements of every request."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, Final, cast

from django.db.models import Field
from django.db.models.sql import DeleteQuery, InsertQuery, Query, UpdateQuery

from bff_sessions.contract import UPDATED, DeletedSession, UserSession
from bff_sessions.stores.compiled import KeySlot, Slot, Statement
from bff_sessions.stores.orm.models import Session

__all__ = ["CREATE", "DELETE", "DELETED", "DELETE_ROW", "GET", "LOCK", "SESSION", "update"]

SESSION: Final = tuple(f.name for f in fields(UserSession))
"""Columns of a session."""

DELETED: Final = tuple(f.name for f in fields(DeletedSession))
"""Columns of what is left of a deleted session."""


def _field(name: str) -> Field[Any, Any]:
    return cast("Field[Any, Any]", Session._meta.get_field(name))


def _slot(field: str, name: str | None = None) -> Slot:
    return Slot(name or field, _field(field))


_KEY: Final = KeySlot("key", _field("key"))


def _matching_rows(**slots: Slot) -> Query:
    return Session._base_manager.filter(**slots).query


def _create() -> Query:
    query = InsertQuery(Session)
    row = Session(**{name: _slot(name) for name in SESSION})
    query.insert_values([_field(name) for name in SESSION], [row], raw=True)
    return query


@cache
def update(unchanged: frozenset[str] = frozenset(), *, move: bool = False) -> Statement:
    """The UPDATE that leaves these columns alone, and perhaps moves the row to another key.

    SQLite writes to the index of each column that an UPDATE names, whether its value changes or
    not.
    """
    names = [name for name in (*UPDATED, "version") if name not in unchanged]

    def build() -> Query:
        rows = _matching_rows(key=_KEY, version=_slot("version", "if_version"))
        query = cast(UpdateQuery, rows.chain(UpdateQuery))
        new_key = {"key": _slot("key", "new_key")} if move else {}
        query.add_update_values({name: _slot(name) for name in names} | new_key)
        return query

    return Statement(build)


GET = Statement(lambda: Session._base_manager.filter(key=_KEY).values(*SESSION).query)
CREATE = Statement(_create)
DELETE = Statement(lambda: _matching_rows(key=_KEY).chain(DeleteQuery))
LOCK = Statement(
    lambda: Session._base_manager.filter(key=_KEY).values("id", *DELETED).select_for_update().query
)
DELETE_ROW = Statement(lambda: _matching_rows(id=_slot("id")).chain(DeleteQuery))
