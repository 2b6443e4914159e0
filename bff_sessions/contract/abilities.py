"""What a store may be able to do beside the six verbs.

A store inherits the classes of its abilities beside `UserSessionStore`. A feature asks
`UserSessionStore.get_ability()`, and a system check reports a store that lacks what it needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime

from asgiref.sync import sync_to_async

from bff_sessions.contract.sessions import Device

__all__ = [
    "UserSessionStoreDevices",
    "UserSessionStoreLeases",
    "UserSessionStoreTransactions",
]


class UserSessionStoreLeases(ABC):
    """Gives one caller at a time a session to itself: `exclusive()` and access tokens need it."""

    @abstractmethod
    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        """Lease the live session under `key` to `owner`. Return whether `owner` has it now.

        A lease keeps out other leases and nothing else, and ends by itself. It is not a lock of a
        row: it is one conditional write, committed at once, and moves with the session to
        another key.

        Args:
            owner: a name of at most 64 characters. The holder of the lease has it for longer.
            seconds: when it ends, unless it is released.

        Raises:
            SessionMissing: if there is no such session, or it has expired.
            RuntimeError: inside a transaction, which others would not see before its end.
        """

    async def aacquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        """See acquire_lease()."""
        return await sync_to_async(self.acquire_lease)(key, owner, seconds)

    @abstractmethod
    def release_lease(self, key: str, owner: str) -> bool:
        """End the lease of `owner`. Return whether `owner` still had it."""

    async def arelease_lease(self, key: str, owner: str) -> bool:
        """See release_lease()."""
        return await sync_to_async(self.release_lease)(key, owner)


class UserSessionStoreDevices(ABC):
    """Stores beside a session which browser used it and when: the setting DEVICE needs it."""

    @abstractmethod
    def note_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        """Store when a live session was last used, and by which browser. Return whether it did.

        This is neither a save nor a renewal: ticket, version and expiry stay. What is stored here
        stays when the session is saved or moves to another key. Never creates or revives.

        Args:
            if_seen: ``last_seen`` as it was read: of many at the same time one writes.
            device: None leaves what is stored, as it has not changed.
        """

    async def anote_device(
        self,
        key: str,
        *,
        seen: datetime,
        if_seen: datetime | None = None,
        device: Device | None = None,
    ) -> bool:
        """See note_device()."""
        return await sync_to_async(self.note_device)(key, seen=seen, if_seen=if_seen, device=device)


class UserSessionStoreTransactions(ABC):
    """Takes part in the transactions of a Django database. Inherit it before `UserSessionStore`.

    What a transaction of the caller wrote is committed or rolled back with it. `on_ending` runs
    inside the transaction that deletes.
    """

    @property
    @abstractmethod
    def using(self) -> str:
        """Alias of the database that holds the sessions."""

    @abstractmethod
    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the caller's transaction is committed, and never if it is not."""
