"""How many sessions an action is going to end, and which subjects have them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, QuerySet

from bff_sessions.admin.charts import grouped
from bff_sessions.stores.orm.models import Session

# A preview reads this many sessions to find their subjects, shows this many subjects, and counts
# up to this many sessions.
_SAMPLE: Final = 1_000
_NAMED: Final = 20
_COUNTED: Final = 100_000

Subject = tuple[str | None, str | None]  # subject_id and issuer


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What is going to end."""

    sessions: int
    text: str
    """The number as the page shows it."""
    more_sessions: bool
    """There are more than were counted."""
    subjects: list[dict[str, Any]]
    """The first of them, with ``subject_id``, ``issuer`` and number of ``sessions``."""
    other_subjects: int
    more_subjects: bool


def preview_sessions(queryset: QuerySet[Session]) -> Preview:
    """Preview the end of the sessions in `queryset`."""
    owners: Counter[Subject] = Counter(
        queryset.order_by("-created", "-id").values_list("subject_id", "issuer")[: _SAMPLE + 1]
    )
    number, more = owners.total(), owners.total() > _SAMPLE
    if more:
        number = queryset.order_by()[: _COUNTED + 1].count()
    return _preview(owners, min(number, _COUNTED), number > _COUNTED, more)


def preview_subjects(queryset: QuerySet[Session]) -> Preview:
    """Preview the end of all sessions of the subjects in `queryset`."""
    subjects = queryset.order_by("-created", "-id").values_list("subject_id", "issuer")
    chosen = list(subjects[: _SAMPLE + 1])
    more = len(chosen) > _SAMPLE
    # All their sessions, not only the selected ones. The index of the subject finds them.
    theirs = (
        Session._base_manager.using(queryset.db)
        .filter(subject_id__in={subject_id for subject_id, _issuer in chosen})
        .values_list("subject_id", "issuer")
        .annotate(sessions=Count("pk"))
    )
    wanted = set(chosen)
    owners = Counter({(s, i): count for s, i, count in theirs if (s, i) in wanted})
    return _preview(owners, owners.total(), more, more)


def _preview(owners: Counter[Subject], sessions: int, more_sessions: bool, more: bool) -> Preview:
    named = [
        {"subject_id": subject_id, "issuer": issuer, "sessions": number}
        for (subject_id, issuer), number in owners.most_common(_NAMED)
    ]
    return Preview(
        sessions=sessions,
        text=grouped(sessions),
        more_sessions=more_sessions,
        subjects=named,
        other_subjects=len(owners) - len(named),
        more_subjects=more,
    )
