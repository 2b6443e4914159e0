"""The statements of every request: a load runs `GET`."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, Final, cast

from django.db.models import Field, QuerySet

from bff_sessions._compat.django_db import delete_rows
from bff_sessions._compat.queries import Query, delete_query, insert_query, update_query
from bff_sessions._compat.statements import KeySlot, Slot, Statement
from bff_sessions.contract import DELETED, UPDATED, UserSession
from bff_sessions.stores.orm.models import Session

SESSION: Final = tuple(f.name for f in fields(UserSession))
"""The columns of a session."""


def _field(name: str) -> Field[Any, Any]:
    return cast("Field[Any, Any]", Session._meta.get_field(name))


def _slot(field: str, name: str | None = None) -> Slot:
    return Slot(name or field, _field(field))


_KEY: Final = KeySlot("key", _field("key"))


def _rows(using: str, **values: Any) -> QuerySet[Session]:
    return Session._base_manager.using(using).filter(**values)


def _matching_rows(**slots: Slot) -> Query:
    return Session._base_manager.filter(**slots).query


def _create() -> Query:
    row = Session(**{name: _slot(name) for name in SESSION})
    return insert_query(row, [_field(name) for name in SESSION])


def _plain_create(using: str, **values: Any) -> int:
    return len(Session._base_manager.using(using).bulk_create([Session(**values)]))


@cache
def update_statement(unchanged: frozenset[str] = frozenset(), *, move: bool = False) -> Statement:
    """Return the UPDATE of all columns but the `unchanged` ones; `move` sets a new key, too.

    SQLite writes to the index of each column that an UPDATE names, even if its value is equal.
    """
    names = [name for name in (*UPDATED, "version") if name not in unchanged]

    def build() -> Query:
        rows = _matching_rows(key=_KEY, version=_slot("version", "if_version"))
        new_key = {"key": _slot("key", "new_key")} if move else {}
        return update_query(rows, {name: _slot(name) for name in names} | new_key)

    def plain(using: str, *, key: str, if_version: int, **values: Any) -> int:
        new_key = {"key": values["new_key"]} if move else {}
        written = {name: values[name] for name in names} | new_key
        return _rows(using, key=key, version=if_version).update(**written)

    return Statement(build, plain)


GET: Final = Statement(
    lambda: Session._base_manager.filter(key=_KEY).values(*SESSION).query,
    lambda using, key: next(iter(_rows(using, key=key).values(*SESSION)), None),
)
CREATE: Final = Statement(_create, _plain_create)
DELETE: Final = Statement(
    lambda: delete_query(_matching_rows(key=_KEY)),
    lambda using, key: delete_rows(_rows(using, key=key)),
)
LOCK: Final = Statement(
    lambda: Session._base_manager.filter(key=_KEY).values("id", *DELETED).select_for_update().query,
    lambda using, key: next(
        iter(_rows(using, key=key).values("id", *DELETED).select_for_update()), None
    ),
)
DELETE_ROW: Final = Statement(
    lambda: delete_query(_matching_rows(id=_slot("id"))),
    lambda using, id: delete_rows(_rows(using, id=id)),
)
