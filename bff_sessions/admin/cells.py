"""Texts of one session, for its line in the list and for its page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from bff_sessions import conf
from bff_sessions.admin.users import name_of
from bff_sessions.device.user_agents import describe_user_agent
from bff_sessions.stores.live import end_of, is_live, last_seen
from bff_sessions.stores.orm.models import Session


def mark_own(request: HttpRequest, sessions: Iterable[Session]) -> None:
    """Mark the session with which the viewer is signed in here."""
    own = getattr(request.session, "store_key", None)
    for session in sessions:
        session._is_own = session.key == own  # type: ignore[attr-defined]


def is_own(session: Session) -> bool:
    """Return whether mark_own() has marked `session`."""
    return getattr(session, "_is_own", False)


def title(session: Session) -> str:
    """Return the name of the user; the subject if it is unknown."""
    return name_of(session) or session.subject_id or _("anonymous")


def subject(session: Session) -> str:
    """Return the name of the user and the subject."""
    lines = [title(session)]
    if session.subject_id not in (None, lines[0]):
        lines.append(cast(str, session.subject_id))
    if is_own(session):
        lines.append(_("your own session"))
    return _lines(*lines)


def state(session: Session) -> str:
    """Return whether the session is live."""
    return _("live") if is_live(session) else _("expired")


def device(session: Session) -> str | None:
    """Return browser and system in words, and the address; None if neither is known."""
    lines = [describe_user_agent(session.user_agent) or session.user_agent, session.address]
    return _lines(*filter(None, lines)) if any(lines) else None


def provider(session: Session) -> str | None:
    """Return the issuer, and the partition if it is not the one of this application."""
    issuer = session.issuer
    # The scheme is the same for all, and the column is narrow.
    lines = [_("without provider") if issuer is None else issuer.removeprefix("https://")]
    if session.subject_id is None:
        lines = []
    if session.partition != conf.PARTITION:
        lines.append(session.partition)
    return _lines(*lines) if lines else None


def seen(session: Session) -> datetime:
    """Return when the session was last used, as far as it is known."""
    return last_seen(cast(Any, session))


def expires(session: Session) -> datetime | None:
    """Return when the session ends unless it is renewed; None means never."""
    return end_of(cast(Any, session))


def short(value: datetime | None) -> str:
    """Return a time in two lines, in the short formats of the active language."""
    if value is None:
        return _("never")
    local = _local(value)
    return format_html(
        '<time datetime="{}">{} <span class="bff-second">{}</span></time>',
        value.isoformat(),
        date_format(local, "SHORT_DATE_FORMAT"),
        date_format(local, "TIME_FORMAT"),
    )


def long(value: datetime | None) -> str:
    """Return a time in one line, as the admin shows the values of columns."""
    return _("never") if value is None else date_format(_local(value), "DATETIME_FORMAT")


def _local(value: datetime) -> datetime:
    return timezone.localtime(value) if timezone.is_aware(value) else value


def identifier(value: str | None) -> str:
    """Return an ID that wraps instead of making its page wider."""
    return format_html('<span class="bff-id">{}</span>', value) if value else "-"


def _lines(*lines: str) -> str:
    first, *others = lines
    text = format_html('<span class="bff-id">{}</span>', first)
    for line in others:
        text += format_html(' <span class="bff-id bff-second">{}</span>', line)
    return text
