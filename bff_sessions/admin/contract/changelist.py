"""One page of the list, by the cursors of the contract."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR
from django.http import HttpRequest
from django.utils.translation import gettext

from bff_sessions.admin.contract.reading import read_page, to_model
from bff_sessions.admin.contract.search import SearchForm
from bff_sessions.admin.contract.selection import ContractSelection
from bff_sessions.admin.paging import KeysetChangeList
from bff_sessions.contract import UserSessionsPage


class ContractChangeList(KeysetChangeList):
    """List the sessions of a search, newest sign-in first. Without a search, list none."""

    queryset: ContractSelection
    search_form: SearchForm

    def get_queryset(  # type: ignore[override]
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> ContractSelection:
        self.search_form = SearchForm(request.GET)
        # The form replaces the search and the filters of the ORM's list.
        self.search_fields, self.filter_specs, self.has_filters = (), [], False
        self.has_active_filters = self.search_form.is_valid()
        site = self.model_admin.admin_site
        return ContractSelection(partial(self.search_form.filters, site, request))

    def get_results(self, request: HttpRequest) -> None:
        cursor = request.GET.get(PAGE_VAR)
        page = self._read(cursor)
        if page is None:
            text = gettext("This link is out of date. The list begins with the first page.")
            self.model_admin.message_user(request, text, messages.WARNING)
            cursor, page = None, self._read(None)
        self.result_list = [] if page is None else [to_model(each) for each in page.sessions]
        if page is not None and page.next_cursor is not None:
            self.next_page = self.get_query_string({PAGE_VAR: page.next_cursor})
        self.show_page(request, is_first=cursor is None)

    def _read(self, cursor: str | None) -> UserSessionsPage | None:
        """Return a page; None if `cursor` is not valid."""
        page: UserSessionsPage | None = UserSessionsPage(sessions=[], next_cursor=None)
        for filter in self.queryset.filters():
            page = read_page(filter, cursor, self.list_per_page)
            if page is None or page.sessions or page.next_cursor:
                break
        return page
