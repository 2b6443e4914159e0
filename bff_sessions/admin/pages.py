"""The pages of `ModelAdmin`, for every store: they answer when the store fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from bff_sessions.admin.contract import ContractSource
from bff_sessions.admin.faults import SessionGone, StoreFailed
from bff_sessions.admin.permissions import SessionPermissions
from bff_sessions.admin.rows import RowSource
from bff_sessions.admin.sources import Source
from bff_sessions.stores import get_store
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore

logger = logging.getLogger("bff_sessions.admin")


class StorePages(SessionPermissions):
    """Answers 503 if the store fails, and goes back to the list if a session has ended."""

    @property
    def source(self) -> Source:
        """The sessions of the configured store."""
        store = get_store()
        if isinstance(store, CachedUserSessionStore):
            store = store.inner
        return RowSource() if isinstance(store, OrmUserSessionStore) else ContractSource()

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._answer(super().changelist_view, request, *args, **kwargs)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._answer(super().change_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._answer(super().delete_view, request, *args, **kwargs)

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._answer(super().history_view, request, *args, **kwargs)

    def _answer(
        self, view: Callable[..., HttpResponse], request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # Before the store is asked whether it has the session.
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return view(request, *args, **kwargs)
        except SessionGone:
            text = gettext("That session has already ended.")
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(self.list_url(request))
        except StoreFailed:
            context = {
                **self.admin_site.each_context(request),
                "title": gettext("The store of sessions does not answer"),
                "opts": self.opts,
            }
            request.current_app = self.admin_site.name
            template = "admin/bff_sessions/session/store_failed.html"
            return TemplateResponse(request, template, context, status=503)

    def list_url(self, request: HttpRequest) -> str:
        """Return the URL of the list, with the filters that the operator has come from."""
        return add_preserved_filters(
            {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts},
            self.page_url("changelist"),
        )

    def page_url(self, page: str) -> str:
        """Return the URL of a page that needs no session."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(f"{self.admin_site.name}:{name}")

    def message_user(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Show a message; log if that fails, because the action itself has succeeded."""
        try:
            super().message_user(request, *args, **kwargs)
        except Exception as error:
            logger.warning("The admin cannot show a message: %s", type(error).__name__)
