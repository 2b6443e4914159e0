"""Ending many sessions at once, after a page that says how many and whose.

What was chosen is asked for again when it is confirmed. "All that match" is the address of the
list: no list of ids goes through the browser, and rows are read in batches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin.charts import grouped
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.models import Session
from bff_sessions.revocation import revoke_sessions

if TYPE_CHECKING:
    from bff_sessions.admin import SessionAdmin

__all__ = ["end_sessions", "sign_out_subjects"]

_BATCH: Final = 500
# Seconds after which a request stops and asks to go on: servers end the ones that take minutes.
_SECONDS: Final = 20
# Sessions that are looked at to say whose they are, subjects that are named, and how far to count.
_SAMPLE: Final = 1_000
_NAMED: Final = 20
_COUNTED: Final = 100_000

Subject = tuple[str | None, str | None]  # subject_id and issuer


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What is going to end."""

    sessions: int
    text: str
    """The number as it is written."""
    more_sessions: bool
    """There are more than were counted."""
    subjects: list[dict[str, Any]]
    """The first of them, with ``subject_id``, ``issuer`` and number of ``sessions``."""
    other_subjects: int
    more_subjects: bool


@admin.action(description=_("End the selected sessions"), permissions=["end"])
def end_sessions(
    model_admin: SessionAdmin, request: HttpRequest, queryset: QuerySet[Session]
) -> HttpResponse | None:
    return _confirmed(
        model_admin,
        request,
        queryset,
        title=gettext("End the selected sessions"),
        name="end_sessions",
        preview=_preview_sessions,
        end=_end_sessions,
    )


@admin.action(description=_("Sign the selected subjects out everywhere"), permissions=["sign_out"])
def sign_out_subjects(
    model_admin: SessionAdmin, request: HttpRequest, queryset: QuerySet[Session]
) -> HttpResponse | None:
    # Nobody is signed in to an anonymous session.
    return _confirmed(
        model_admin,
        request,
        queryset.filter(subject_id__isnull=False),
        title=gettext("Sign the selected subjects out everywhere"),
        name="sign_out_subjects",
        preview=_preview_subjects,
        end=_sign_out_subjects,
    )


def _confirmed(
    model_admin: SessionAdmin,
    request: HttpRequest,
    queryset: QuerySet[Session],
    *,
    title: str,
    name: str,
    preview: Callable[[QuerySet[Session]], Preview],
    end: Callable[[SessionAdmin, HttpRequest, list[Session]], int],
) -> HttpResponse | None:
    """Show what is going to end, or end it if that was confirmed; None leads back to the list."""
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
        model_admin.message_user(
            request, f"{text} {gettext('There are more: go on?')}", messages.WARNING
        )
    selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
    is_across = request.POST.get("select_across") == "1"
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        # A link for browsers without scripts; cancel.js makes it go back in the history.
        "back": request.get_full_path(),
        "preview": preview(queryset),
        "action": name,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        # The admin wants one; all that match are those of the address.
        "selected": selected[:1] if is_across else selected,
        "select_across": "1" if is_across else "0",
    }
    request.current_app = model_admin.admin_site.name
    template = "admin/bff_sessions/session/end_confirmation.html"
    return TemplateResponse(request, template, context)


def _batches(queryset: QuerySet[Session]) -> Iterator[list[Session]]:
    """The rows, oldest first; not those that come meanwhile."""
    newest = queryset.model._base_manager.using(queryset.db).aggregate(newest=Max("pk"))["newest"]
    rows, reached = queryset.order_by("pk").filter(pk__lte=newest or 0), 0
    while batch := list(rows.filter(pk__gt=reached)[:_BATCH]):
        yield batch
        reached = batch[-1].pk


def _end_sessions(model_admin: SessionAdmin, request: HttpRequest, batch: list[Session]) -> int:
    ended = [session for session in batch if model_admin.end(session)]
    if ended:
        model_admin.log_deletions(request, ended)  # type: ignore[arg-type]
    return len(ended)


def _sign_out_subjects(
    model_admin: SessionAdmin, request: HttpRequest, batch: list[Session]
) -> int:
    total = 0
    for session in {_subject(session): session for session in batch}.values():
        # Exactly this issuer: another one's subject of the same name is somebody else.
        everywhere = UserSessionsFilter(subject_id=session.subject_id, issuer=session.issuer)
        if ended := revoke_sessions(everywhere):
            total += ended
            LogEntry.objects.log_actions(
                user_id=cast(int, request.user.pk),
                queryset=[session],
                action_flag=DELETION,
                change_message=f"Signed out everywhere: {ended}",
            )
    return total


def _subject(session: Session) -> Subject:
    return session.subject_id, session.issuer


def _preview_sessions(queryset: QuerySet[Session]) -> Preview:
    whose: Counter[Subject] = Counter(
        queryset.order_by("-created", "-id").values_list("subject_id", "issuer")[: _SAMPLE + 1]
    )
    number, more = whose.total(), whose.total() > _SAMPLE
    if more:
        number = queryset.order_by()[: _COUNTED + 1].count()
    return _preview(whose, min(number, _COUNTED), number > _COUNTED, more)


def _preview_subjects(queryset: QuerySet[Session]) -> Preview:
    rows = queryset.order_by("-created", "-id").values_list("subject_id", "issuer")
    chosen = list(rows[: _SAMPLE + 1])
    more = len(chosen) > _SAMPLE
    # All that they have, not only what was selected. By the index of the subject.
    theirs = (
        Session._base_manager.using(queryset.db)
        .filter(subject_id__in={subject_id for subject_id, _issuer in chosen})
        .values_list("subject_id", "issuer")
        .annotate(sessions=Count("pk"))
    )
    wanted = set(chosen)
    whose = Counter({(s, i): count for s, i, count in theirs if (s, i) in wanted})
    return _preview(whose, whose.total(), more, more)


def _preview(whose: Counter[Subject], sessions: int, more_sessions: bool, more: bool) -> Preview:
    named = [
        {"subject_id": subject_id, "issuer": issuer, "sessions": number}
        for (subject_id, issuer), number in whose.most_common(_NAMED)
    ]
    return Preview(
        sessions=sessions,
        text=grouped(sessions),
        more_sessions=more_sessions,
        subjects=named,
        other_subjects=len(whose) - len(named),
        more_subjects=more,
    )
