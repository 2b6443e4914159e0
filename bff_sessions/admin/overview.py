"""The overview page of the admin: how many sessions there are, in numbers and charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from bff_sessions.admin import charts, figures
from bff_sessions.admin.kept import keep
from bff_sessions.stores.orm.sampling import SAMPLE, Figure, Span

_HOURS: Final = 24
_DAYS: Final = 30


def overview(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
) -> HttpResponse:
    """Render the overview.

    That takes at most seven short statements, and none while Django's cache holds the figures.

    Raises:
        PermissionDenied: if the viewer may not see sessions.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    zone = timezone.get_current_timezone()
    now = datetime.now(zone)
    hours, days = list(_hours(now)), list(_days(now, zone))
    kept = keep([*hours, *days], lambda: figures.count(hours, days))
    counted = kept.result
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": gettext("Sessions: overview"),
        "opts": model_admin.opts,
        "live": charts.text_of(counted.live),
        "expired": charts.text_of(counted.expired),
        "counted_at": kept.counted_at.astimezone(zone),
        "is_kept": kept.is_kept,
        "height": charts.HEIGHT,
        "hours": _columns(hours, counted.hours, "H:i", mark_every=6),
        "days": _columns(days, counted.days, "j M", mark_every=7),
        "partitions": charts.shares(_by(counted.groups, 0)),
        "issuers": charts.shares(_by(counted.groups, 1)),
        "sample": charts.grouped(SAMPLE),
        "is_whole": counted.is_whole,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "admin/bff_sessions/session/overview.html", context)


def _hours(now: datetime) -> Iterator[Span]:
    # In UTC no hour is skipped or repeated. The first one begins with an hour of the viewer's zone.
    begin = now.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    for ago in range(_HOURS - 1, -1, -1):
        first = begin - timedelta(hours=ago)
        yield first.astimezone(now.tzinfo), (first + timedelta(hours=1)).astimezone(now.tzinfo)


def _days(now: datetime, zone: tzinfo) -> Iterator[Span]:
    def midnight(ago: int) -> datetime:
        return datetime.combine(now.date() - timedelta(days=ago), time.min, tzinfo=zone)

    for ago in range(_DAYS - 1, -1, -1):
        yield midnight(ago), midnight(ago - 1)


def _columns(
    spans: Sequence[Span], begun: Sequence[Figure], label: str, *, mark_every: int
) -> charts.Chart:
    names = [date_format(first, label) for first, _last in spans]
    return charts.columns(list(zip(names, begun, strict=True)), mark_every=mark_every)


def _by(groups: list[tuple[str, str | None, int]], column: int) -> list[tuple[str, int]]:
    numbers: Counter[str] = Counter()
    for group in groups:
        name = group[column]
        numbers[gettext("without provider") if name is None else str(name)] += group[2]
    return numbers.most_common()
