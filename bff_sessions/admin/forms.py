"""The base of the search forms: exact values, of which one at least must be given."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _


def exact_field(label: Any) -> forms.CharField:
    """Return a field for a text that must match as it is."""
    widget = forms.TextInput({"autocapitalize": "none", "spellcheck": "false"})
    return forms.CharField(label=label, required=False, strip=False, widget=widget)


class ExactForm(forms.Form):
    """Fields of both search forms. Without any value, the form is not bound."""

    subject = exact_field(_("subject"))
    user = exact_field(_("user name or ID"))
    issuer = exact_field(_("issuer"))
    local = forms.BooleanField(label=_("without provider"), required=False)

    help: Any = None
    """The sentence below the fields."""

    def __init__(self, values: QueryDict) -> None:
        is_search = any(values.get(name) for name in self.base_fields)
        super().__init__(values if is_search else None)
