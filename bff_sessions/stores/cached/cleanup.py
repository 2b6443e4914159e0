"""Clean-up behind a cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bff_sessions.contract import (
    ANY,
    AnyType,
    DeletedSession,
    OnEnding,
    UserSessionStore,
    UserSessionStoreCleanup,
    WithoutTickets,
)
from bff_sessions.stores.cached.writing import Writer

__all__ = ["CachedCleanup"]


class CachedCleanup(UserSessionStoreCleanup):
    """Takes out of the cache what a clean-up of the store behind it removes."""

    _inner: UserSessionStore
    _writer: Writer

    def delete_expired_sessions(
        self,
        *,
        batch_size: int = 10_000,
        max_seconds: float | None = None,
        sleep: float | None = None,
        partition: str | AnyType = ANY,
        dry_run: bool = False,
        on_deleted: Callable[[Sequence[DeletedSession]], None] | None = None,
        on_ending: OnEnding | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """See UserSessionStoreCleanup.

        Raises:
            NotImplementedError: if the store behind the cache does not clean up.
        """
        if not isinstance(self._inner, UserSessionStoreCleanup):
            raise NotImplementedError(
                f"{type(self._inner).__name__} does not delete expired sessions: "
                "it is not a UserSessionStoreCleanup."
            )

        def end(batch: Sequence[DeletedSession]) -> None:
            self._writer.ended([session.key for session in batch])
            if on_deleted is not None:
                on_deleted(batch)

        needs_tickets = on_deleted is not None and not isinstance(on_deleted, WithoutTickets)
        return self._inner.delete_expired_sessions(
            batch_size=batch_size,
            max_seconds=max_seconds,
            sleep=sleep,
            partition=partition,
            dry_run=dry_run,
            on_deleted=end if needs_tickets else WithoutTickets(end),
            **({} if on_ending is None else {"on_ending": on_ending}),
            should_stop=should_stop,
        )
