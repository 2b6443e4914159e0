"""Actions that end many sessions at once, after a page that shows how many and which subjects.

The sessions are looked up again when the operator confirms. For "all that match" the browser sends
the address of the list, not a list of IDs, and sessions are read in batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin.ending import end_session
from bff_sessions.admin.preview import Preview, preview_sessions, preview_subjects
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.events import EndReason
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores.live import is_live
from bff_sessions.stores.orm.models import Session

_BATCH: Final = 500
# After this time a request stops and asks to continue: servers kill requests that take minutes.
_SECONDS: Final = 20


@admin.action(description=_("End the selected sessions"), permissions=["end"])
def end_sessions(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Session]
) -> HttpResponse | None:
    """End the sessions in `queryset` after a confirmation."""
    return _confirmed(
        model_admin,
        request,
        queryset,
        title=gettext("End the selected sessions"),
        name="end_sessions",
        preview=preview_sessions,
        end=_end_sessions,
    )


@admin.action(description=_("Sign the selected subjects out everywhere"), permissions=["sign_out"])
def sign_out_subjects(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Session]
) -> HttpResponse | None:
    """End all sessions of the subjects in `queryset` after a confirmation."""
    return _confirmed(
        model_admin,
        request,
        # An anonymous session has no subject.
        queryset.filter(subject_id__isnull=False),
        title=gettext("Sign the selected subjects out everywhere"),
        name="sign_out_subjects",
        preview=preview_subjects,
        end=_sign_out_subjects,
    )


def _confirmed(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    queryset: QuerySet[Session],
    *,
    title: str,
    name: str,
    preview: Callable[[HttpRequest, QuerySet[Session]], Preview],
    end: Callable[[admin.ModelAdmin[Any], HttpRequest, list[Session]], int],
) -> HttpResponse | None:
    """Show what is going to end, or end it if that was confirmed; None leads back to the list.

    Args:
        end: ends a batch of sessions, and returns how many of them were live.
    """
    ended, is_done = 0, True
    if request.POST.get("post"):
        until = time.monotonic() + _SECONDS
        for batch in _batches(queryset):
            ended += end(model_admin, request, batch)
            if time.monotonic() > until:
                is_done = not queryset.exists()
                break
        text = ngettext("%d session has ended.", "%d sessions have ended.", ended) % ended
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
        "preview": preview(request, queryset),
        "action": name,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        # The admin requires at least one ID, also if the address selects all that match.
        "selected": selected[:1] if is_across else selected,
        "select_across": "1" if is_across else "0",
    }
    request.current_app = model_admin.admin_site.name
    template = "admin/bff_sessions/session/end_confirmation.html"
    return TemplateResponse(request, template, context)


def _batches(queryset: QuerySet[Session]) -> Iterator[list[Session]]:
    """Yield the sessions, oldest first, without those that begin meanwhile."""
    newest = queryset.model._base_manager.using(queryset.db).aggregate(newest=Max("pk"))["newest"]
    sessions, reached = queryset.order_by("pk").filter(pk__lte=newest or 0), 0
    while batch := list(sessions.filter(pk__gt=reached)[:_BATCH]):
        yield batch
        reached = batch[-1].pk


def _end_sessions(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, batch: list[Session]
) -> int:
    ended = [session for session in batch if end_session(session)]
    if ended:
        model_admin.log_deletions(request, cast(Any, ended))
    return sum(map(is_live, ended))


def _sign_out_subjects(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, batch: list[Session]
) -> int:
    total = 0
    by_subject = {(session.subject_id, session.issuer): session for session in batch}
    for (subject_id, issuer), session in by_subject.items():
        # Exactly this issuer: the same subject of another issuer is another person.
        theirs = UserSessionsFilter(subject_id=subject_id, issuer=issuer)
        ended = revoke_sessions(theirs, reason=EndReason.OPERATOR)
        if ended:
            total += ended
            LogEntry.objects.log_actions(
                user_id=cast(int, request.user.pk),
                queryset=[session],
                action_flag=DELETION,
                change_message=f"Signed out everywhere: {ended}",
            )
    return total
