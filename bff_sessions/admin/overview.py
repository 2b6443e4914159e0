"""The overview page of the admin: how many sessions there are, in numbers and charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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

_HOURS: Final = 24
_DAYS: Final = 30
# Seconds for which figures are cached. Figures of past days change only when sessions end.
_KEPT_NOW: Final = 60
_KEPT_DAYS: Final = 3600


def overview(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
) -> HttpResponse:
    """Render the overview.

    That takes at most three statements, and none while Django's cache holds the figures.

    Raises:
        PermissionDenied: if the viewer may not see sessions.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    zone = timezone.get_current_timezone()
    now = datetime.now(zone)
    hours, days = list(_hours(now)), list(_days(now, zone))
    current, past = [*hours, days[-1]], days[:-1]
    fresh = figures.kept(
        "now", current, _KEPT_NOW, lambda: (figures.count_now(current), figures.count_by_group())
    )
    closed = figures.kept("days", past, _KEPT_DAYS, lambda: figures.count_begun(past))
    counted, groups = fresh.result
    begun = [*closed.result, counted.begun[-1]]
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": gettext("Sessions: overview"),
        "opts": model_admin.opts,
        "counted": counted,
        "live": charts.grouped(counted.live),
        "expired": charts.grouped(counted.expired),
        "counted_at": _in_current_zone(fresh.counted_at),
        "is_kept": fresh.is_kept,
        "closed_at": _in_current_zone(closed.counted_at),
        "is_closed_kept": closed.is_kept,
        "height": charts.HEIGHT,
        "hours": charts.columns(
            [
                (date_format(first, "H:i"), number)
                for (first, _last), number in zip(hours, counted.begun, strict=False)
            ],
            mark_every=6,
        ),
        "days": charts.columns(
            [
                (date_format(first, "j M"), number)
                for (first, _last), number in zip(days, begun, strict=True)
            ],
            mark_every=7,
        ),
        "partitions": charts.shares(_by(groups, 0)),
        "issuers": charts.shares(_by(groups, 1)),
        "sample": charts.grouped(figures.SAMPLE),
        "is_whole": sum(number for _partition, _issuer, number in groups) < figures.SAMPLE,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "admin/bff_sessions/session/overview.html", context)


def _hours(now: datetime) -> Iterator[figures.Span]:
    # In UTC no hour is skipped or repeated. The first one begins with an hour of the viewer's zone.
    begin = now.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    for ago in range(_HOURS - 1, -1, -1):
        first = begin - timedelta(hours=ago)
        yield first.astimezone(now.tzinfo), (first + timedelta(hours=1)).astimezone(now.tzinfo)


def _days(now: datetime, zone: tzinfo) -> Iterator[figures.Span]:
    def midnight(ago: int) -> datetime:
        return datetime.combine(now.date() - timedelta(days=ago), time.min, tzinfo=zone)

    for ago in range(_DAYS - 1, -1, -1):
        yield midnight(ago), midnight(ago - 1)


def _in_current_zone(value: datetime) -> datetime:
    return value.astimezone(timezone.get_current_timezone())


def _by(groups: list[tuple[str, str | None, int]], column: int) -> list[tuple[str, int]]:
    numbers: Counter[str] = Counter()
    for group in groups:
        name = group[column]
        numbers[gettext("without provider") if name is None else str(name)] += group[2]
    return numbers.most_common()
