"""One page of the list of sessions, without counts, offsets and orders that have no index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from django.contrib.admin.views.main import PAGE_VAR
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from bff_sessions.admin.charts import grouped
from bff_sessions.admin.filters import SearchForm, SessionFilter, is_selective
from bff_sessions.admin.paging import KeysetChangeList
from bff_sessions.stores.orm.models import Session

# A page whose filter is not selective searches this many sessions. Without a limit the database
# would read the whole table to find a few.
_WINDOW: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SessionChangeList(KeysetChangeList):
    """List the newest sign-in first, and expired sessions by the time at which they expired.

    A page begins after the last session of the page before, by its time and ID.
    """

    search_form_class = SearchForm
    looked_at: str | None = None
    """How many sessions were searched, if this page shows all matches among them and older
    sessions follow."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Session]) -> list[Any]:
        return [f"-{self._time_column}", "-id"]

    @property
    def _time_column(self) -> str:
        """Return the column that orders the list."""
        return "expires" if self.params.get("state") == "expired" else "created"

    def get_results(self, request: HttpRequest) -> None:
        begin = _parse(request.GET.get(PAGE_VAR, ""))
        sessions, size = self._from(self.queryset, begin), self.list_per_page
        edge = self._edge(request, begin)
        if edge is not None:
            sessions = sessions.filter(**{f"{self._time_column}__gte": edge})
        found = list(sessions[: size + 1])
        self.result_list = found[:size]
        if len(found) > size:
            last = self.result_list[-1]
            self.next_page = self._page(getattr(last, self._time_column), last.pk)
        elif edge is not None:
            self.next_page = self._page(edge, 0)
            self.looked_at = grouped(_WINDOW)
        self.show_page(request, is_first=begin is None)

    def _from(
        self, sessions: QuerySet[Session], begin: tuple[datetime, int] | None
    ) -> QuerySet[Session]:
        if begin is None:
            return sessions
        name, (time, pk) = self._time_column, begin
        # Together they mean "(time, id) < begin". With the second condition databases start at the
        # right place of the index.
        before = Q((f"{name}__lt", time)) | Q(id__lt=pk)
        return sessions.filter(before, (f"{name}__lte", time))

    def _edge(self, request: HttpRequest, begin: tuple[datetime, int] | None) -> datetime | None:
        """Return the time of the last session to search; None if all may be searched."""
        if is_selective(self.query):
            return None
        sessions = self._from(self.root_queryset, begin)
        # A search that is not selective narrows the list like a filter.
        narrows = bool(self.query)
        for spec in cast("list[SessionFilter]", self.filter_specs):
            condition = spec.condition()
            if condition is None:
                continue
            if spec.ranges_over == self._time_column:
                sessions = sessions.filter(condition)
            else:
                narrows = True
        if not narrows:
            return None
        times = sessions.order_by(f"-{self._time_column}").values_list(self._time_column, flat=True)
        # Reads only the index, and at most this many entries.
        return next(iter(times[_WINDOW : _WINDOW + 1]), None)

    def _page(self, time: datetime, pk: int) -> str:
        microseconds = (time - _EPOCH) // timedelta(microseconds=1)
        return self.get_query_string({PAGE_VAR: f"{microseconds}-{pk}"})


def _parse(page: str) -> tuple[datetime, int] | None:
    microseconds, _dash, pk = page.partition("-")
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds)), min(int(pk), 2**63 - 1)
    except (ValueError, OverflowError):
        return None
