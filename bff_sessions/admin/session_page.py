"""The page of one session, and the page that asks before it ends."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin import cells
from bff_sessions.admin.faults import SessionGone
from bff_sessions.admin.history import may_see_history, query_of
from bff_sessions.admin.pages import StorePages
from bff_sessions.admin.users import link_users
from bff_sessions.contract import Actor
from bff_sessions.stores.live import is_live
from bff_sessions.stores.orm.models import Session


class SessionPage(StorePages):
    """Shows one session, and ends it."""

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Session:
        session = self.source.find(self, request, object_id)
        if session is None:
            raise SessionGone
        link_users(self.admin_site, request, [session])
        cells.mark_own(request, [session])
        return session

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Session | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context |= self._describe(request, obj) | {
                "title": gettext("Session of %(subject)s") % {"subject": cells.title(obj)},
                "subtitle": str(obj),
                # The link at the top of the page says "End", because that is what it does.
                "show_delete": False,
                "may_sign_out": obj.subject_id is not None
                and self.has_sign_out_permission(request),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        obj = context["object"]
        context |= self._describe(request, obj) | {
            "title": gettext("End the session of %(subject)s?") % {"subject": cells.title(obj)},
            "rows": [
                (_("subject"), obj.subject_id or gettext("anonymous")),
                (_("session ID"), obj.session_id),
                (_("issuer"), obj.issuer),
                (_("device"), cells.device(obj)),
                (_("signed in"), cells.long(obj.created)),
                (_("last seen"), cells.long(cells.seen(obj))),
                (_("state"), cells.state(obj)),
            ],
        }
        return super().render_delete_form(request, context)

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        if not self.source.end(obj, Actor.of_user(request.user)):
            raise SessionGone  # Takes back the entry in the log.

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        text = gettext("The session has ended: %(session)s") % {"session": obj_display}
        self.message_user(request, text, messages.SUCCESS)
        # Django's goes back to the list only if the user may change sessions.
        return HttpResponseRedirect(self.list_url(request))

    def _describe(self, request: HttpRequest, session: Session) -> dict[str, Any]:
        """Return what the templates of one session need."""
        subject_url = events_url = None
        if session.subject_id is not None:
            query = urlencode(self.source.subject_query(session))
            subject_url = f"{self.page_url('changelist')}?{query}"
            if may_see_history(request):
                events_url = f"{self.page_url('events')}?{query_of(session)}"
        return {
            "is_own": cells.is_own(session),
            "is_live": is_live(session),
            "list_url": self.list_url(request),
            "subject_url": subject_url,
            "events_url": events_url,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
