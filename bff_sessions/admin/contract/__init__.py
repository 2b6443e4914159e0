"""Sessions of any store, through the contract alone.

The contract finds sessions by subject, session ID or user, so the list begins with a search. What
it finds is shown as instances of `Session` that no database has: the admin shows models only.

- `reading`: finds sessions, and names them in URLs
- `search`: the form of the list
- `changelist`: one page of the list
- `selection`: the sessions of an action
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from bff_sessions.admin.contract.changelist import ContractChangeList
from bff_sessions.admin.contract.reading import filter_of, find_session
from bff_sessions.admin.contract.selection import ContractSelection
from bff_sessions.admin.ending import end_session
from bff_sessions.admin.sources import Selection, Source
from bff_sessions.contract import Actor
from bff_sessions.stores.orm.models import Session

__all__ = ["ContractSource"]


class ContractSource(Source):
    """The sessions of any store."""

    changelist = ContractChangeList
    has_overview = False

    def is_reference(self, text: str) -> bool:
        return filter_of(text) is not None

    def find(
        self, model_admin: admin.ModelAdmin[Any], request: HttpRequest, reference: str
    ) -> Session | None:
        return find_session(reference)

    def end(self, session: Session, operator: Actor) -> bool:
        reference = str(session.pk)

        def find_key() -> str | None:
            return getattr(find_session(reference), "key", None)

        return end_session(session.key, find_key, operator)

    def select(self, chosen: ContractSelection) -> Selection:
        return chosen

    def subject_query(self, session: Session) -> dict[str, str]:
        provider = {"local": "on"} if session.issuer is None else {"issuer": session.issuer}
        return {"subject": str(session.subject_id), **provider}
