"""Clean up expired sessions, and announce that they have ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bff_sessions.contract import DeletedSession, UserSessionStoreCleanup
from bff_sessions.events import EXPIRED, hook_for
from bff_sessions.revocation.announcing import announces_ends, send_ends
from bff_sessions.sansio import Steps, call
from bff_sessions.stores import get_store


def delete_expired_sessions(
    cleanup: UserSessionStoreCleanup,
    *,
    on_deleted: Callable[[Sequence[DeletedSession]], None] | None = None,
    **options: Any,
) -> Steps[int]:
    """Call the verb of `cleanup`, the configured store's. Return how many sessions it deleted.

    Args:
        on_deleted: called with the sessions of each batch, without their tickets.
    """
    store, announces = get_store(), announces_ends()

    def tell(deleted: Sequence[DeletedSession]) -> None:
        if on_deleted is not None:
            on_deleted(deleted)
        if announces:
            store.on_commit(partial(send_ends, EXPIRED.stamp(deleted)))

    verb, twin = cleanup.delete_expired_sessions, cleanup.adelete_expired_sessions
    return call(
        verb,
        twin,
        on_deleted=None if on_deleted is None and not announces else tell,
        with_tickets=False,
        on_ending=hook_for(EXPIRED),
        **options,
    )
