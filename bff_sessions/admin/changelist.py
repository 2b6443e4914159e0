"""One page of the list of sessions: no count, no deep offset, no order without an index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self, cast

from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from bff_sessions.admin.charts import grouped
from bff_sessions.admin.filters import SearchForm, SessionFilter, is_selective
from bff_sessions.models import Session

if TYPE_CHECKING:
    from bff_sessions.admin import SessionAdmin

__all__ = ["SessionChangeList"]

# Rows that are looked at for a page, if it shows only some of them: what is rare would otherwise
# be looked for through the whole table.
_WINDOW: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MoreThan(int):
    """A number of sessions of which only `number` were counted, such as "50+".

    Admin themes write the number of all that match into their own words, which a template of
    ours cannot replace in each of them. As a number it is one more than was counted.
    """

    def __new__(cls, number: int) -> Self:
        return super().__new__(cls, number + 1)

    def __str__(self) -> str:
        # Three characters at most: Django sets the marks between thousands into this text.
        return f"{min(self - 1, 99)}+"


class SessionChangeList(ChangeList):
    """Newest sign-in first; expired sessions by when they expired.

    A page begins behind the last row of the one before, by its moment and id.
    """

    search_form_class = SearchForm
    next_page: str | None = None
    """Query string of the page that follows."""
    looked_at: str | None = None
    """So many sessions were looked at and this page shows all that match; older ones follow."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Session]) -> list[Any]:
        return [f"-{self._moment}", "-id"]

    @property
    def _moment(self) -> str:
        """The column that orders the list."""
        return "expires" if self.params.get("state") == "expired" else "created"

    def get_results(self, request: HttpRequest) -> None:
        begin = _parse(request.GET.get(PAGE_VAR, ""))
        rows, size = self._from(self.queryset, begin), self.list_per_page
        edge = self._edge(request, begin)
        if edge is not None:
            rows = rows.filter(**{f"{self._moment}__gte": edge})
        found = list(rows[: size + 1])
        self.result_list = found[:size]
        if len(found) > size:
            last = self.result_list[-1]
            self.next_page = self._page(getattr(last, self._moment), last.pk)
        elif edge is not None:
            self.next_page = self._page(edge, 0)
            self.looked_at = grouped(_WINDOW)
        self.is_first_page = begin is None
        cast("SessionAdmin", self.model_admin).link_users(request, self.result_list)
        # What templates and the base class ask for.
        number = len(self.result_list)
        self.result_count = number if self.next_page is None else MoreThan(number)
        # The same, so that the search form does not speak of results that nobody counted.
        self.full_result_count = self.result_count
        self.paginator = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True

    def _from(
        self, rows: QuerySet[Session], begin: tuple[datetime, int] | None
    ) -> QuerySet[Session]:
        if begin is None:
            return rows
        name, (moment, pk) = self._moment, begin
        # The first condition alone would do, but it is the one by which indexes are entered.
        before = Q((f"{name}__lt", moment)) | Q(id__lt=pk)
        return rows.filter(before, (f"{name}__lte", moment))

    def _edge(self, request: HttpRequest, begin: tuple[datetime, int] | None) -> datetime | None:
        """Where to stop looking: the moment of the last row of the window, if there are more."""
        if is_selective(self.query):
            return None
        rows = self._from(self.root_queryset, begin)
        # A search that is not selective narrows, too.
        narrows = bool(self.query)
        for spec in cast("list[SessionFilter]", self.filter_specs):
            condition = spec.condition()
            if condition is None:
                continue
            if spec.ranges_over == self._moment:
                rows = rows.filter(condition)
            else:
                narrows = True
        if not narrows:
            return None
        moments = rows.order_by(f"-{self._moment}").values_list(self._moment, flat=True)
        # By the index alone, and never further than this.
        return next(iter(moments[_WINDOW : _WINDOW + 1]), None)

    def _page(self, moment: datetime, pk: int) -> str:
        microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
        return self.get_query_string({PAGE_VAR: f"{microseconds}-{pk}"})


def _parse(page: str) -> tuple[datetime, int] | None:
    microseconds, _dash, pk = page.partition("-")
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds)), min(int(pk), 2**63 - 1)
    except (ValueError, OverflowError):
        return None
