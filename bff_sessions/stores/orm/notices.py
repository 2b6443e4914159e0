"""Notices between processes that share a PostgreSQL database: LISTEN and NOTIFY."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from django.db import connections

from bff_sessions.contract import UserSessionStoreNotices
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm.transactions import OrmTransactions

_Ability = TypeVar("_Ability")

_CHANNEL: Final = "bff_sessions_ended"


class OrmNotices(OrmTransactions, UserSessionStoreNotices):
    """Has the ability on PostgreSQL with psycopg 3, whose connections can wait for a notice."""

    def get_ability(self, ability: type[_Ability]) -> _Ability | None:
        if ability is UserSessionStoreNotices and not self._can_listen():
            return None
        return self if isinstance(self, ability) else None

    def send_notice(self) -> None:
        using = self.using

        def notify() -> None:
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, '')", [_CHANNEL])

        retry(using, notify)

    @contextmanager
    def listen_for_notices(self) -> Iterator[Callable[[float], bool]]:
        # A connection of its own, and not one of a pool, which others would lack.
        connection: Any = connections.create_connection(self.using)
        options = {name: value for name, value in _options_of(connection) if name != "pool"}
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {_CHANNEL}")
            driver = connection.connection

            def wait(seconds: float) -> bool:
                return bool(list(driver.notifies(timeout=seconds, stop_after=1)))

            yield wait
        finally:
            connection.close()

    def _can_listen(self) -> bool:
        connection: Any = connections[self.using]
        return bool(connection.vendor == "postgresql" and connection.Database.__name__ == "psycopg")


def _options_of(connection: Any) -> Any:
    return connection.settings_dict["OPTIONS"].items()
