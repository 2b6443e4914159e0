"""The interface between the admin and a store.

`bff_sessions.admin.rows` implements it for the ORM store, and `bff_sessions.admin.contract` for any
other store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest

from bff_sessions.admin.preview import Preview
from bff_sessions.contract import Actor
from bff_sessions.stores.orm.models import Session


class Selection(ABC):
    """Sessions that an operator has selected for an action."""

    @abstractmethod
    def signed_in(self) -> Selection:
        """Return the sessions that have a subject."""

    @abstractmethod
    def preview_sessions(self, request: HttpRequest) -> Preview:
        """Preview the end of these sessions."""

    @abstractmethod
    def preview_subjects(self, request: HttpRequest) -> Preview:
        """Preview the end of all sessions of the subjects of these sessions."""

    @abstractmethod
    def batches(self, size: int) -> Iterator[list[Session]]:
        """Yield the sessions, without those that begin meanwhile."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there is a session."""


class Source(ABC):
    """Finds and ends the sessions of a store. Each session is an instance of `Session`."""

    changelist: ClassVar[type[ChangeList]]
    """The list. Its get_queryset() returns what select() takes."""
    has_overview: ClassVar[bool]
    """True if the overview can count the sessions."""

    @abstractmethod
    def is_reference(self, text: str) -> bool:
        """Return whether `text` can be the ``pk`` of a session."""

    @abstractmethod
    def find(
        self, model_admin: admin.ModelAdmin[Any], request: HttpRequest, reference: str
    ) -> Session | None:
        """Return the session with the ``pk`` `reference`; None if there is none."""

    @abstractmethod
    def end(self, session: Session, operator: Actor) -> bool:
        """End `session` for `operator`, also if it moves to another key.

        Return whether there was one to end.
        """

    @abstractmethod
    def select(self, chosen: Any) -> Selection:
        """Return the selection of an action, which Django calls with `chosen`."""

    @abstractmethod
    def subject_query(self, session: Session) -> dict[str, str]:
        """Return the query of the list of all sessions of the subject, at exactly its issuer."""
