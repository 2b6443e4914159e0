"""The six verbs that every store implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from bff_sessions.contract.exceptions import AbilityMissing
from bff_sessions.contract.filters import UserSessionsFilter
from bff_sessions.contract.sessions import (
    DeletedSession,
    OnEnding,
    UserSession,
    UserSessionUpdate,
)
from bff_sessions.contract.twins import twin_of

_Ability = TypeVar("_Ability")


class RequiredVerbs(ABC):
    """The base of `UserSessionStore`, which adds the verbs that have a default."""

    def get_ability(self, ability: type[_Ability]) -> _Ability | None:
        """Return this store as an instance of `ability`; None if it lacks the ability.

        Call this instead of isinstance(): a store in front of another one has the abilities of
        that store.
        """
        return self if isinstance(self, ability) else None

    def require_ability(self, ability: type[_Ability]) -> _Ability:
        """Return this store as an instance of `ability`.

        Raises:
            AbilityMissing: if it lacks the ability.
        """
        able = self.get_ability(ability)
        if able is None:
            raise AbilityMissing(type(self), ability)
        return able

    @abstractmethod
    def get_user_session(self, key: str) -> UserSession | None:
        """Return the session under `key`; None if it is missing or has expired.

        The session may be one that has moved, see `UserSession.is_moved`.
        """

    aget_user_session = twin_of(get_user_session)

    @abstractmethod
    def create_user_session(self, session: UserSession) -> None:
        """Add `session`.

        Raises:
            SessionExists: if a live session has this key. The store decides whether an expired
                session counts. Let other errors propagate: if this returns, the session is stored.
            SessionMissing: if a session with this key has ended. A store may refuse such a key for
                some minutes, so that a creation on its way brings back nothing.
        """

    acreate_user_session = twin_of(create_user_session)

    @abstractmethod
    def update_user_session(
        self, key: str, update: UserSessionUpdate, *, if_version: int | None = None
    ) -> int:
        """Write the fields of `update`, add one to the version, and return the new version.

        All other fields stay. An expired session may be missing or be updated.

        Args:
            key: the key of the session.
            update: the fields to write.
            if_version: write only if the session still has this version.

        Raises:
            SessionMissing: if the session does not exist. An update never creates it.
            SessionChanged: if its version is not `if_version`.
        """

    aupdate_user_session = twin_of(update_user_session)

    @abstractmethod
    def delete_user_session(self, key: str, *, on_ending: OnEnding | None = None) -> bool:
        """Delete the session. Return whether there was one. Deleting it again does no harm.

        Args:
            key: the key of the session.
            on_ending: called with the session before its ticket is lost, see `OnEnding`.
        """

    adelete_user_session = twin_of(delete_user_session)

    @abstractmethod
    def get_user_sessions(self, filter: UserSessionsFilter) -> list[UserSession]:
        """Return all live sessions that match, newest renewal first, with their tickets.

        For lists use query_user_sessions(), which needs less memory.
        """

    aget_user_sessions = twin_of(get_user_sessions)

    @abstractmethod
    def delete_user_sessions(
        self, filter: UserSessionsFilter, *, on_ending: OnEnding | None = None
    ) -> list[DeletedSession]:
        """Delete all sessions that match, expired or not. Return those that this call deleted.

        When this returns, no session that matches is left. If several deletes run at the same time,
        one of them returns each session. A store with transactions locks, reads and deletes each
        bounded batch in one transaction.

        Args:
            filter: which sessions.
            on_ending: called with each batch before its tickets are lost, see `OnEnding`.
        """

    adelete_user_sessions = twin_of(delete_user_sessions)
