"""Sessions of the ORM store, which are rows: querysets find them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import HttpRequest

from bff_sessions.admin.changelist import SessionChangeList
from bff_sessions.admin.ending import end_session
from bff_sessions.admin.preview import Preview, preview_sessions, preview_subjects
from bff_sessions.admin.sources import Selection, Source
from bff_sessions.contract import Actor
from bff_sessions.stores.orm.models import Session
from bff_sessions.stores.orm.sampling import stored


class RowSelection(Selection):
    """The rows of a queryset."""

    def __init__(self, queryset: QuerySet[Session]) -> None:
        self._queryset = queryset

    def signed_in(self) -> Selection:
        return RowSelection(self._queryset.filter(subject_id__isnull=False))

    def preview_sessions(self, request: HttpRequest) -> Preview:
        return preview_sessions(request, self._queryset)

    def preview_subjects(self, request: HttpRequest) -> Preview:
        return preview_subjects(request, self._queryset)

    def batches(self, size: int) -> Iterator[list[Session]]:
        # The oldest first.
        rows = Session._base_manager.using(self._queryset.db)
        newest = rows.aggregate(newest=Max("pk"))["newest"]
        sessions, reached = self._queryset.order_by("pk").filter(pk__lte=newest or 0), 0
        while batch := list(sessions.filter(pk__gt=reached)[:size]):
            yield batch
            reached = batch[-1].pk

    def exists(self) -> bool:
        return self._queryset.exists()


class RowSource(Source):
    """The table of sessions."""

    changelist = SessionChangeList
    has_overview = True

    def is_reference(self, text: str) -> bool:
        return text.isascii() and text.isdecimal() and len(text) < 19

    def find(
        self, model_admin: admin.ModelAdmin[Any], request: HttpRequest, reference: str
    ) -> Session | None:
        if not self.is_reference(reference):
            return None
        found: Session | None = model_admin.get_queryset(request).filter(pk=reference).first()
        return found

    def end(self, session: Session, operator: Actor) -> bool:
        rows = stored().filter(pk=session.pk)
        key_now = rows.values_list("key", flat=True).first
        return end_session(session.key, key_now, operator)

    def select(self, chosen: QuerySet[Session]) -> Selection:
        return RowSelection(chosen)

    def subject_query(self, session: Session) -> dict[str, str]:
        if session.issuer is None:
            return {"q": str(session.subject_id), "provider": "without"}
        return {"q": f"iss:{session.issuer} {session.subject_id}"}
