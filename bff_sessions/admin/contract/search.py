"""The search form of the list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from django import forms
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin.forms import ExactForm, exact_field
from bff_sessions.admin.users import find_user_ids
from bff_sessions.contract import ANY, UserSessionsFilter


class SearchForm(ExactForm):
    """The values that a session must have."""

    sid = exact_field(_("session ID"))
    field_order = ("subject", "sid", "user", "issuer", "local")
    help = _("Each value must be exact. An issuer limits the search.")

    def clean(self) -> None:
        if self.errors:
            return
        values = self.cleaned_data
        if values["issuer"] and values["local"]:
            raise forms.ValidationError(
                _("Enter an issuer or select sessions without provider, not both.")
            )
        try:
            self._filter = UserSessionsFilter(
                subject_id=values["subject"],
                session_id=values["sid"],
                user_id=values["user"],
                issuer=None if values["local"] else values["issuer"] or ANY,
            )
        except ValueError:
            raise forms.ValidationError(
                _("Enter a subject, session ID or user. An issuer alone finds no sessions here.")
            ) from None

    def filters(self, site: AdminSite, request: HttpRequest) -> Iterator[UserSessionsFilter]:
        """Yield the filters to try one after the other, until one finds sessions.

        After the user ID, these are the IDs of the users who have it as their name.
        """
        if not self.is_valid():
            return
        yield self._filter
        if name := self.cleaned_data["user"]:
            for user_id in find_user_ids(site, request, name):
                yield replace(self._filter, user_id=user_id)
