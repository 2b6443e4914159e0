"""The base of the session lists. A page links to the next page, and shows no total."""

from __future__ import annotations

from typing import Self

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest

from bff_sessions.admin.cells import mark_own
from bff_sessions.admin.users import link_users
from bff_sessions.stores.orm.models import Session


class MoreThan(int):
    """The number of sessions if more than `number` match, shown as "50+" for example.

    Admin themes put the number of all matches into their own templates, and the package cannot
    override those. As an integer it is one more than was counted.
    """

    def __new__(cls, number: int) -> Self:
        return super().__new__(cls, number + 1)

    def __str__(self) -> str:
        # At most three characters, because Django inserts thousands separators into this text.
        return f"{min(self - 1, 99)}+"


class KeysetChangeList(ChangeList):
    """A page begins after the last session of the page before."""

    result_list: list[Session]
    next_page: str | None = None
    """Query string of the page that follows."""

    def show_page(self, request: HttpRequest, *, is_first: bool) -> None:
        """Show `result_list`: set what templates and the base class read."""
        link_users(self.model_admin.admin_site, request, self.result_list)
        mark_own(request, self.result_list)
        self.is_first_page = is_first
        number = len(self.result_list)
        self.result_count = number if self.next_page is None else MoreThan(number)
        # The same number, so that the search form does not show a total that was not counted.
        self.full_result_count = self.result_count
        self.paginator = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(self.result_list)
