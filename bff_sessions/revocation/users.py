"""End the sessions of Django users."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from bff_sessions import conf
from bff_sessions.contract import Actor, EndReason, UserSessionsFilter
from bff_sessions.contract.filters import AnyType
from bff_sessions.events import Cause
from bff_sessions.revocation import endings
from bff_sessions.sansio import arun, run
from bff_sessions.secret import hidden_frames


@hidden_frames()
def revoke_user_sessions(
    user: Any,
    *,
    partition: str | AnyType | None = None,
    reason: EndReason = EndReason.CODE,
    actor: Actor | None = None,
) -> int:
    """End all sessions of Django's `user`, and return how many of them were live.

    Call it after a change that no signal announces, such as ``queryset.update()`` or raw SQL.

    Args:
        user: an instance of the user model that is stored.
        partition: an application that shares the store, or ``ANY``. By default only this one,
            because another may have other users.
        reason: as for revoke_sessions().
        actor: as for revoke_sessions().

    Raises:
        TypeError: if `user` is not an instance of the user model, and as revoke_sessions().
        ValueError: if it has no primary key.
        RevocationUnconfirmed: as revoke_sessions().
    """
    filter = sessions_of_user(user, partition=partition)
    return run(endings.revoke_sessions(filter, Cause(reason, actor)))


@hidden_frames()
async def arevoke_user_sessions(
    user: Any,
    *,
    partition: str | AnyType | None = None,
    reason: EndReason = EndReason.CODE,
    actor: Actor | None = None,
) -> int:
    """See revoke_user_sessions()."""
    filter = sessions_of_user(user, partition=partition)
    return await arun(endings.revoke_sessions(filter, Cause(reason, actor)))


def sessions_of_user(user: Any, *, partition: str | AnyType | None = None) -> UserSessionsFilter:
    """Return the filter of the sessions of Django's `user`."""
    model = get_user_model()
    # Another model's primary key may be that of a different user.
    if not isinstance(user, (model, *model._meta.all_parents)):
        raise TypeError(f"user must be an instance of the user model, not {type(user).__name__}.")
    if user.pk is None:
        raise ValueError("user must have a primary key. One that has been deleted has none.")
    # A model that extends the user model may have a primary key of its own.
    key = (model if isinstance(user, model) else user)._meta.pk
    return UserSessionsFilter(
        user_id=key.value_to_string(user),  # The text that login() stores.
        partition=conf.PARTITION if partition is None else partition,
    )
