"""The filters and the search of the list of sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR, ChangeListSearchForm
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from bff_sessions import conf
from bff_sessions.admin.figures import recent_partitions
from bff_sessions.contract import can_be_kept
from bff_sessions.stores.orm.models import Session, expired_sessions, live_sessions

_ISSUER: Final = "iss:"


class SessionFilter(admin.SimpleListFilter):
    """A filter that ignores values which it does not offer."""

    ranges_over: str | None = None
    """The column whose index the filter selects a range of; None if rows must be read."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        condition = self.condition()
        return queryset if condition is None else queryset.filter(condition)

    def condition(self) -> Q | None:
        """Return the condition of the chosen value; None if all sessions match."""
        raise NotImplementedError


class StateFilter(SessionFilter):
    """Live or expired sessions."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("live", _("live")), ("expired", _("expired"))]

    def condition(self) -> Q | None:
        now = datetime.now(UTC)
        if self.value() == "live":
            return live_sessions(now)
        if self.value() == "expired":
            if conf.ABSOLUTE_LIFETIME is None:
                self.ranges_over = "expires"
            return expired_sessions(now)
        return None


class SinceFilter(SessionFilter):
    """Sessions that began lately."""

    title = _("time of sign-in")
    parameter_name = "since"
    ranges_over = "created"
    spans: Final = {
        "hour": (timedelta(hours=1), _("in the last hour")),
        "day": (timedelta(days=1), _("in the last day")),
        "week": (timedelta(weeks=1), _("in the last week")),
        "month": (timedelta(days=30), _("in the last 30 days")),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(value, name) for value, (_span, name) in self.spans.items()]

    def condition(self) -> Q | None:
        if (value := self.value()) not in self.spans:
            return None
        return Q(created__gte=datetime.now(UTC) - self.spans[value][0])


class SignInFilter(SessionFilter):
    """Sessions with a provider, which can end them, without a provider, or anonymous ones."""

    title = _("provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [
            ("with", _("with provider")),
            ("without", _("without provider")),
            ("nobody", _("anonymous")),
        ]

    def condition(self) -> Q | None:
        if self.value() == "with":
            return Q(issuer__isnull=False)
        # The index contains the issuer, so that the database reads few rows.
        if self.value() == "without":
            return Q(issuer=None) & (Q(user_id__isnull=False) | Q(subject_id__isnull=False))
        if self.value() == "nobody":
            return Q(issuer=None, subject_id=None, user_id=None)
        return None


class PartitionFilter(SessionFilter):
    """Sessions of one partition. The address may name one that has no recent sign-in."""

    title = _("partition")
    parameter_name = "partition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        named = self.value()
        names = {conf.PARTITION, *recent_partitions()}
        if named and can_be_kept(named):
            names.add(named)
        return [(name, name) for name in sorted(names)]

    def condition(self) -> Q | None:
        return Q(partition=self.value()) if self.value() else None


class SearchForm(ChangeListSearchForm):
    """Accept any text, so that a text which no session can have finds no session.

    Django's form would report an error, and the list would show all sessions.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[SEARCH_VAR].validators = []


def split_term(term: str) -> tuple[str | None, str]:
    """Return the issuer that a search names, or None, and the rest.

    ``iss:https://idp.example alice`` searches one issuer only.
    """
    if not term.startswith(_ISSUER):
        return None, term
    # An issuer is a URL without blanks (OpenID Connect Core 1.0, 2). A subject may contain blanks,
    # so that the rest is one value.
    issuer, _blank, rest = term.removeprefix(_ISSUER).partition(" ")
    return issuer, rest


def search(
    queryset: QuerySet[Session], term: str, names: Sequence[str], user_ids: Sequence[str] = ()
) -> QuerySet[Session]:
    """Return the sessions that have exactly `term` in one of the columns `names`.

    These columns have indexes. The issuer has none, because each sign-in would have to update it.
    An issuer alone is therefore searched among the newest sessions, like a filter.

    Args:
        user_ids: the IDs of the users whose name is the term. Their sessions match, too.
    """
    issuer, term = split_term(term)
    if issuer is not None:
        queryset = queryset.filter(issuer=issuer)
    if term:
        matches = [Q((name, term)) for name in names]
        if user_ids:
            matches.append(Q(user_id__in=user_ids))
        queryset = queryset.filter(Q(*matches, _connector=Q.OR))
    return queryset


def is_selective(term: str) -> bool:
    """Return whether an index finds the sessions that match `term`."""
    return bool(term) and (not term.startswith(_ISSUER) or " " in term.rstrip(" "))
