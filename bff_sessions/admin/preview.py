"""How many live sessions an action is going to end, and which subjects have them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.http import HttpRequest

from bff_sessions import conf
from bff_sessions.admin.charts import grouped
from bff_sessions.contract import UserSession, is_within_lifetime
from bff_sessions.engine import SessionStore
from bff_sessions.stores.orm.models import Session, live_sessions

# A preview reads this many sessions to find their subjects, shows this many subjects, and counts
# up to this many sessions.
_SAMPLE: Final = 1_000
_NAMED: Final = 20
_COUNTED: Final = 100_000

Subject = tuple[str | None, str | None]  # subject_id and issuer


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What is going to end."""

    live: int
    """The number of live sessions. Their end signs users out."""
    expired: int
    """The number of expired sessions, which are deleted, too."""
    is_lower_bound: bool
    """There are more sessions than were counted."""
    subjects: list[dict[str, Any]]
    """The first of them, with ``subject_id``, ``issuer`` and the number of live ``sessions``."""
    other_subjects: int
    more_subjects: bool
    has_own: bool
    """The session of the operator is among them."""

    @property
    def live_text(self) -> str:
        return grouped(self.live)

    @property
    def expired_text(self) -> str:
        return grouped(self.expired)


def preview_sessions(request: HttpRequest, queryset: QuerySet[Session]) -> Preview:
    """Preview the end of the sessions in `queryset`."""
    now = datetime.now(UTC)
    newest = queryset.order_by("-created", "-id")
    rows = newest.values_list("subject_id", "issuer", "created", "expires", named=True)
    owners: Counter[Subject] = Counter()
    stored = live = 0
    for row in rows[: _SAMPLE + 1]:
        is_live = is_within_lifetime(row, now, conf.ABSOLUTE_LIFETIME)
        owners[row.subject_id, row.issuer] += is_live
        live, stored = live + is_live, stored + 1
    if more := stored > _SAMPLE:
        numbers = queryset.order_by()[: _COUNTED + 1].aggregate(
            stored=Count("pk"), live=Count("pk", filter=live_sessions(now))
        )
        stored, live = numbers["stored"], numbers["live"]
    own = own_session(request)
    return build_preview(
        owners,
        live=live,
        expired=stored - live,
        is_lower_bound=stored > _COUNTED,
        more_subjects=more,
        has_own=own is not None and queryset.filter(key=own.key).exists(),
    )


def preview_subjects(request: HttpRequest, queryset: QuerySet[Session]) -> Preview:
    """Preview the end of all sessions of the subjects in `queryset`."""
    subjects = queryset.order_by("-created", "-id").values_list("subject_id", "issuer")
    chosen = list(subjects[: _SAMPLE + 1])
    more = len(chosen) > _SAMPLE
    # All their sessions, not only the selected ones. The index of the subject finds them.
    theirs = (
        Session._base_manager.using(queryset.db)
        .filter(subject_id__in={subject_id for subject_id, _issuer in chosen})
        .values_list("subject_id", "issuer")
        .annotate(live=Count("pk", filter=live_sessions()), stored=Count("pk"))
    )
    wanted, owners, stored = set(chosen), Counter[Subject](), 0
    for subject_id, issuer, live, number in theirs:
        if (subject_id, issuer) in wanted:
            owners[subject_id, issuer] = live
            stored += number
    own = own_session(request)
    return build_preview(
        owners,
        live=owners.total(),
        expired=stored - owners.total(),
        is_lower_bound=more,
        more_subjects=more,
        has_own=own is not None
        and queryset.filter(subject_id=own.subject_id, issuer=own.issuer).exists(),
    )


def own_session(request: HttpRequest) -> UserSession | None:
    """Return the session of the operator; None without one."""
    # An admin site may use another session engine than the sessions that it shows.
    session = request.session
    return session.get_user_session() if isinstance(session, SessionStore) else None


def build_preview(owners: Counter[Subject], **values: Any) -> Preview:
    """Return a preview that names the subjects with most live sessions.

    Args:
        owners: the number of live sessions of each subject.
        values: the other fields of `Preview`.
    """
    named = [
        {"subject_id": subject_id, "issuer": issuer, "sessions": grouped(number)}
        for (subject_id, issuer), number in owners.most_common(_NAMED)
    ]
    return Preview(subjects=named, other_subjects=len(owners) - len(named), **values)
