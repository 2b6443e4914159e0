"""Actions that end many sessions at once, after a page that shows how many and which subjects.

The sessions are looked up again when the operator confirms. For "all that match" the browser sends
the address of the list, not a list of IDs, and sessions are read in batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import DELETION, LogEntry
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin.faults import store_errors
from bff_sessions.admin.pages import StorePages
from bff_sessions.admin.preview import Preview
from bff_sessions.admin.sources import Selection
from bff_sessions.contract import Actor, EndReason, UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores.live import is_live
from bff_sessions.stores.orm.models import Session

_BATCH: Final = 500
# After this time a request stops and asks to continue: servers kill requests that take minutes.
_SECONDS: Final = 20


@admin.action(description=_("End the selected sessions"), permissions=["end"])
def end_sessions(
    model_admin: StorePages, request: HttpRequest, queryset: Any
) -> HttpResponse | None:
    """End the sessions in `queryset` after a confirmation."""
    selection = model_admin.source.select(queryset)
    return _confirmed(
        model_admin,
        request,
        selection,
        title=gettext("End the selected sessions"),
        name="end_sessions",
        preview=selection.preview_sessions,
        end=_end_sessions,
    )


@admin.action(description=_("Sign the selected subjects out everywhere"), permissions=["sign_out"])
def sign_out_subjects(
    model_admin: StorePages, request: HttpRequest, queryset: Any
) -> HttpResponse | None:
    """End all sessions of the subjects in `queryset` after a confirmation."""
    selection = model_admin.source.select(queryset).signed_in()
    return _confirmed(
        model_admin,
        request,
        selection,
        title=gettext("Sign the selected subjects out everywhere"),
        name="sign_out_subjects",
        preview=selection.preview_subjects,
        end=_sign_out_subjects,
    )


def _confirmed(
    model_admin: StorePages,
    request: HttpRequest,
    selection: Selection,
    *,
    title: str,
    name: str,
    preview: Callable[[HttpRequest], Preview],
    end: Callable[[StorePages, HttpRequest, list[Session]], int],
) -> HttpResponse | None:
    """Show what is going to end, or end it if that was confirmed; None leads back to the list.

    Args:
        end: ends a batch of sessions, and returns how many of them were live.
    """
    ended, is_done = 0, True
    if request.POST.get("post"):
        until = time.monotonic() + _SECONDS
        for batch in selection.batches(_BATCH):
            ended += end(model_admin, request, batch)
            if time.monotonic() > until:
                is_done = not selection.exists()
                break
        text = ngettext("%(count)s session has ended.", "%(count)s sessions have ended.", ended)
        text %= {"count": number_format(ended, force_grouping=True)}
        if is_done:
            model_admin.message_user(request, text, messages.SUCCESS)
            return None
        question = gettext("More sessions match. Do you want to continue?")
        model_admin.message_user(request, f"{text} {question}", messages.WARNING)
    selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
    is_across = request.POST.get("select_across") == "1"
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        # A link for browsers without scripts; cancel.js makes it go back in the history.
        "back": request.get_full_path(),
        "preview": preview(request),
        "action": name,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        # The admin requires at least one ID, also if the address selects all that match.
        "selected": selected[:1] if is_across else selected,
        "select_across": "1" if is_across else "0",
    }
    request.current_app = model_admin.admin_site.name
    template = "admin/bff_sessions/session/end_confirmation.html"
    return TemplateResponse(request, template, context)


def _end_sessions(model_admin: StorePages, request: HttpRequest, batch: list[Session]) -> int:
    ended: list[Session] = []
    operator = Actor.of_user(request.user)
    try:
        for session in batch:
            if model_admin.source.end(session, operator):
                ended.append(session)
    finally:
        if ended:
            model_admin.log_deletions(request, cast(Any, ended))
    return sum(map(is_live, ended))


def _sign_out_subjects(model_admin: StorePages, request: HttpRequest, batch: list[Session]) -> int:
    total = 0
    operator = Actor.of_user(request.user)
    by_subject = {(session.subject_id, session.issuer): session for session in batch}
    for (subject_id, issuer), session in by_subject.items():
        # Exactly this issuer: the same subject of another issuer is another person.
        theirs = UserSessionsFilter(subject_id=subject_id, issuer=issuer)
        with store_errors():
            ended = revoke_sessions(theirs, reason=EndReason.OPERATOR, actor=operator)
        if ended:
            total += ended
            LogEntry.objects.log_actions(
                user_id=cast(int, request.user.pk),
                queryset=[session],
                action_flag=DELETION,
                change_message=f"Signed out everywhere: {ended}",
            )
    return total
