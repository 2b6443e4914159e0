"""Abilities: verbs that a store may have beside the six required ones.

A store inherits from `UserSessionStore` and the classes of its abilities. A feature calls
`UserSessionStore.get_ability()`. A system check reports a store that lacks a needed ability.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from bff_sessions.contract.sessions import DeletedSession, Device, OnEnding
from bff_sessions.contract.twins import twin_of


class UserSessionStoreLeases(ABC):
    """The ability to lease a session to one caller, which `exclusive()` and access tokens need."""

    @abstractmethod
    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        """Lease the live session under `key` to `owner`. Return whether `owner` has the lease.

        A lease excludes other leases only: reads, saves and deletes do not wait for it. It is one
        conditional write that is committed at once. It expires by itself, and moves with the
        session to another key.

        Args:
            owner: a name of at most 64 characters. If `owner` has the lease, this extends it.
            seconds: the time until the lease expires.

        Raises:
            SessionMissing: if the session does not exist, or has expired.
            RuntimeError: inside a transaction, because other requests would not see the lease
                before the commit.
        """

    aacquire_lease = twin_of(acquire_lease)

    @abstractmethod
    def release_lease(self, key: str, owner: str) -> bool:
        """Release the lease of `owner`. Return whether `owner` still had it."""

    arelease_lease = twin_of(release_lease)

    def move_lease(self, key: str, new_key: str) -> None:
        """Move the lease of the session under `key`, if it has one, to `new_key`.

        Only the default of rekey_user_session() calls this, before the session under `new_key` is
        live. A store that overrides rekey_user_session() moves the lease in that verb.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define move_lease() or rekey_user_session(): a lease "
            "moves with its session to another key."
        )


class UserSessionStoreDevices(ABC):
    """The ability to record which browser used a session and when, which DEVICE needs."""

    @abstractmethod
    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        """Record when a live session was last used, and by which browser.

        This is neither a save nor a renewal: ticket, version and expiry stay. The record stays
        when the session is saved or moves to another key. This never creates or revives a
        session.

        Args:
            seen: the new ``last_seen``.
            if_seen: write only if ``last_seen`` still has this value, so that only one of many
                concurrent requests writes.
            device: the browser; None leaves the recorded one.

        Returns:
            True if it was recorded; False if the session is not live or `if_seen` differs.
        """

    anote_device = twin_of(note_device)


class UserSessionStoreNotices(ABC):
    """The ability to wake up other processes when sessions have ended, which EVENTS_NOTICES needs.

    A notice has no content, and may be lost: it only lets others look sooner.
    """

    @abstractmethod
    def send_notice(self) -> None:
        """Wake up all processes that listen. This is called after the commit."""

    @abstractmethod
    def listen_for_notices(self) -> AbstractContextManager[Callable[[float], bool]]:
        """Return a context in which this thread listens.

        Its function waits for a notice, for the given seconds at most. It returns whether one has
        come.
        """


class UserSessionStoreRepair(ABC):
    """The ability to repair what a crash or a lost server has left.

    For stores without transactions: `cleanup_sessions` and ``sessions reindex`` call these verbs.
    """

    @abstractmethod
    def finish_deletes(self, on_ending: OnEnding | None) -> list[DeletedSession]:
        """Finish deletes that a crash has interrupted. Return the sessions that this call removed.

        Args:
            on_ending: called with the sessions before their tickets are lost, see `OnEnding`.
        """

    @abstractmethod
    def reindex_sessions(self) -> int:
        """Rebuild the index that finds sessions by subject, session ID and user.

        Return how many sessions there are.
        """


class UserSessionStoreTransactions(ABC):
    """The ability to use a Django database's transactions. Inherit it before `UserSessionStore`.

    Writes inside a transaction of the caller are committed or rolled back with it. `on_ending`
    runs inside the transaction that deletes.
    """

    @property
    @abstractmethod
    def using(self) -> str:
        """The alias of the database that holds the sessions."""

    @abstractmethod
    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` after the caller's transaction commits; never after a rollback."""
