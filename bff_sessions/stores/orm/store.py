"""The default store: sessions in a database, through Django's ORM."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from typing import Final

from django.db.models import Q, QuerySet

from bff_sessions.contract import (
    Paging,
    UserSession,
    UserSessionsFilter,
    UserSessionsPage,
    UserSessionStore,
)
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.databases.scopes import scope_of
from bff_sessions.stores.orm.cleanup import OrmCleanup
from bff_sessions.stores.orm.deletes import OrmDeletes
from bff_sessions.stores.orm.leases import OrmLeases
from bff_sessions.stores.orm.models import Session, unexpired_sessions
from bff_sessions.stores.orm.notices import OrmNotices
from bff_sessions.stores.orm.rows import (
    LISTED,
    fetch,
    matching,
    newest_first,
    position_of,
    to_listed,
    to_session,
)
from bff_sessions.stores.orm.statements import SESSION
from bff_sessions.stores.orm.writes import OrmWrites

# The most keys in one statement. Databases accept more parameters: SQLite 32,766 (since 3.32),
# PostgreSQL 65,535 with server-side binding.
_MOST_KEYS: Final = 10_000


class OrmUserSessionStore(
    OrmWrites, OrmDeletes, OrmLeases, OrmCleanup, OrmNotices, UserSessionStore
):
    """Stores sessions as rows of `bff_sessions.stores.orm.models.Session`.

    It reads and writes the database that the routers name for writing. A replica that lags behind
    would serve revoked sessions.

    Outside a transaction of the caller, each verb is repeated after a transient error, see
    `bff_sessions.stores.databases.retrying`. After a lost connection, the repetition first looks
    for the result of the earlier try. Only then it reports a session as missing, changed or taken.

    Args:
        using: the alias of a database; None means that of the routers.
    """

    @property
    def scope(self) -> str:
        """The alias, database and schema of the present connection."""
        return scope_of(self.using)

    def get_user_session(self, key: str) -> UserSession | None:
        using = self.using
        session = retry(using, lambda: fetch(using, key))
        if session is None:
            return None
        # Decided here and not in SQL, so that the statement is always the same.
        return None if session.has_expired(datetime.now(UTC)) else session

    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        rows = self._matching(filter).order_by("-renewed", "-id")
        found = map(to_session, retry(rows.db, lambda: list(rows.values(*SESSION))))
        return [session for session in found if session is not None]

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        paging = Paging(f"orm:{self.using}", cursor, limit)
        rows = self._matching(filter).order_by(*newest_first(filter))
        if (after := paging.after) is not None:
            is_older = Q(created__lt=after.created) | Q(id__lt=int.from_bytes(after.tie))
            rows = rows.filter(is_older, created__lte=after.created)
        page = rows.values("id", *LISTED)[: paging.rows]
        found = retry(rows.db, lambda: list(page))
        listed = ((position_of(row), to_listed(row)) for row in found)
        return paging.page(listed)

    def peek_user_sessions(self, keys: Collection[str]) -> dict[str, UserSession]:
        rows, wanted = self._rows(), list(keys)
        found: list[UserSession | None] = []
        for start in range(0, len(wanted), _MOST_KEYS):
            some = rows.filter(key__in=wanted[start : start + _MOST_KEYS]).values(*LISTED)
            found += map(to_session, retry(rows.db, partial(list, some)))
        now = datetime.now(UTC)
        return {each.key: each for each in found if each is not None and not each.has_expired(now)}

    def _matching(self, filter: UserSessionsFilter) -> QuerySet[Session]:
        return self._rows().filter(unexpired_sessions(datetime.now(UTC)), matching(filter))
