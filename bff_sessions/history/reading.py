"""Find and prune entries of the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.apps import apps
from django.db import router
from django.db.models import Q, QuerySet

from bff_sessions import conf
from bff_sessions._compat.django_db import delete_rows
from bff_sessions.contract import ANY, AnyType, can_be_kept
from bff_sessions.stores.databases.retrying import retry

if TYPE_CHECKING:
    from bff_sessions.history.models import Event

APP = "bff_sessions.history"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

WINDOW: Final = 20_000
"""A page without a subject or a user searches this many events: no index finds those of an issuer.
Without a limit the database would read the whole table to find a few."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsFilter:
    """Which events. A text that no session can have matches nothing."""

    subject_id: str | None = None
    user_ids: Sequence[str] = ()
    """The IDs of users, one of which must match; none for all users."""
    issuer: str | AnyType | None = ANY
    """A provider's issuer; None for sessions without a provider."""
    partition: str | AnyType = ANY

    @property
    def reads_much(self) -> bool:
        """True if few events may match, and no index finds them."""
        narrows = self.issuer is not ANY or self.partition is not ANY
        return narrows and self.subject_id is None and not self.user_ids

    def to_query(self) -> Q | None:
        """Return the condition; None if nothing can match."""
        wanted: dict[str, str | None] = {}
        if self.subject_id is not None:
            wanted["subject_id"] = self.subject_id
        if not isinstance(self.issuer, AnyType):
            wanted["issuer"] = self.issuer
        if not isinstance(self.partition, AnyType):
            wanted["partition"] = self.partition
        if not all(value is None or can_be_kept(value) for value in wanted.values()):
            return None
        return Q(**wanted) & (Q(user_id__in=self.user_ids) if self.user_ids else Q())


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsPage:
    """A page of events, newest first."""

    events: Sequence[Event]
    next_cursor: str | None
    is_cut: bool = False
    """True if older events may match, but were not searched: see `WINDOW`."""


def is_installed() -> bool:
    """Return whether the app is in INSTALLED_APPS."""
    return apps.is_installed(APP)


def read_page(filter: EventsFilter, *, cursor: str | None = None, limit: int) -> EventsPage:
    """Return a page of the events that match. A malformed `cursor` has nothing after it."""
    query, begin = filter.to_query(), _parse(cursor)
    if query is None or (cursor is not None and begin is None):
        return EventsPage(events=[], next_cursor=None)
    every = _rows().order_by("-moment", "-id")
    if begin is not None:
        moment, pk = begin
        # Together they mean "(moment, id) < begin". With the second condition databases start at
        # the right place of the index.
        every = every.filter(Q(moment__lt=moment) | Q(id__lt=pk), moment__lte=moment)
    edge = _edge(every) if filter.reads_much else None
    rows = every.filter(query) if edge is None else every.filter(query, moment__gte=edge)
    found = retry(rows.db, lambda: list(rows[: limit + 1]))
    shown = found[:limit]
    if len(found) > limit:
        return EventsPage(events=shown, next_cursor=_cursor(shown[-1].moment, shown[-1].pk))
    if edge is not None:
        return EventsPage(events=shown, next_cursor=_cursor(edge, 0), is_cut=True)
    return EventsPage(events=shown, next_cursor=None)


def iterate_events(filter: EventsFilter) -> Iterator[Event]:
    """Yield all events that match, newest first, in bounded memory."""
    cursor = None
    while True:
        page = read_page(filter, cursor=cursor, limit=500)
        yield from page.events
        cursor = page.next_cursor
        if cursor is None:
            return


def delete_old(size: int) -> int:
    """Delete up to `size` events that are older than HISTORY_LIFETIME. Return how many."""
    if conf.HISTORY_LIFETIME is None:
        return 0
    rows = _rows()
    old = rows.filter(moment__lte=datetime.now(UTC) - conf.HISTORY_LIFETIME).order_by("moment")

    def delete() -> int:
        keys = list(old.values_list("pk", flat=True)[:size])
        return delete_rows(rows.filter(pk__in=keys)) if keys else 0

    return retry(rows.db, delete)


def database() -> str:
    """Return the alias of the database for writing: a replica may lag behind."""
    return router.db_for_write(_model())


def _rows() -> QuerySet[Event]:
    return _model()._base_manager.using(database())


def _model() -> type[Event]:
    # By name, because the app is optional.
    return apps.get_model("bff_sessions_history", "Event")


def _edge(events: QuerySet[Event]) -> datetime | None:
    """Return the time of the last event to search; None if all may be searched."""
    moments = events.values_list("moment", flat=True)[WINDOW : WINDOW + 1]
    # Reads only the index.
    return retry(events.db, lambda: next(iter(moments), None))


def _cursor(moment: datetime, pk: int) -> str:
    return f"{(moment - _EPOCH) // timedelta(microseconds=1)}-{pk}"


def _parse(cursor: str | None) -> tuple[datetime, int] | None:
    microseconds, _dash, pk = (cursor or "").partition("-")
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds)), min(int(pk), 2**63 - 1)
    except (ValueError, OverflowError):
        return None
