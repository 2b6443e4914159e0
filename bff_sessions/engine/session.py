"""Django's session API on top of the configured store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from bff_sessions.contract import UserSession, UserSessionStoreCleanup
from bff_sessions.endings import Ending, hook_for
from bff_sessions.engine import lifetimes
from bff_sessions.engine.exclusive import ExclusiveSession
from bff_sessions.engine.steps import arun, run
from bff_sessions.exceptions import AbilityMissing
from bff_sessions.stores import get_store

__all__ = ["SessionStore"]


class SessionStore(ExclusiveSession):
    """Django's session API on top of the configured `UserSessionStore`.

    A method and its asynchronous twin take the same steps, and differ in who takes them.
    """

    def load(self) -> dict[str, Any]:
        return run(self._load())

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return await arun(self._load())

    def save(self, must_create: bool = False) -> None:
        """Write the session.

        Raises:
            CreateError: if `must_create` and the key is taken.
            UpdateError: if the session has ended meanwhile.
            SessionConflict: if too many others kept saving it.
        """
        run(self._save(must_create))

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        await arun(self._save(must_create))

    def create(self) -> None:
        """Start a session under a new key with the data at hand, and write it.

        If somebody is signed in, the session moves there instead, as by cycle_key(): a copy
        could outlive what it was copied from.

        Raises:
            SessionInterrupted: if somebody was signed in and the session has ended meanwhile.
        """
        run(self._create())

    async def acreate(self) -> None:
        """See create()."""
        await arun(self._create())

    def cycle_key(self) -> None:
        """Move the session to a new key; the old one is worthless from then on.

        Raises:
            SessionInterrupted: if somebody was signed in and the session has ended meanwhile.
        """
        run(self._cycle_key())

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        await arun(self._cycle_key())

    @sensitive_variables()
    def delete(self, session_key: str | None = None) -> None:
        run(self._delete(session_key))

    @sensitive_variables()
    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        await arun(self._delete(session_key))

    def flush(self) -> None:
        run(self._flush())

    async def aflush(self) -> None:
        """See flush()."""
        await arun(self._flush())

    @sensitive_variables()
    def exists(self, session_key: str | None) -> bool:
        return run(self._exists(session_key))

    @sensitive_variables()
    async def aexists(self, session_key: str | None) -> bool:
        """See exists()."""
        return await arun(self._exists(session_key))

    @classmethod
    def clear_expired(cls) -> None:
        cls._get_cleanup().delete_expired_sessions(on_ending=hook_for(Ending.EXPIRED))

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""
        await cls._get_cleanup().adelete_expired_sessions(on_ending=hook_for(Ending.EXPIRED))

    def get_user_session(self) -> UserSession | None:
        """What the store holds of this session, as last loaded or saved; None if it has none."""
        self.get("")  # Any access loads.
        return None if self._known is None else self._known.row

    async def aget_user_session(self) -> UserSession | None:
        """See get_user_session()."""
        await self.aget("")  # Any access loads.
        return self.get_user_session()

    def get_expiry_age(self, **kwargs: Any) -> int:
        age: int = super().get_expiry_age(**kwargs)
        limit = self._get_limit()
        if limit is None:
            return age
        left = limit - lifetimes.to_utc(kwargs.get("modification") or timezone.now())
        return min(age, max(0, int(left.total_seconds())))

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        """See get_expiry_age()."""
        await self.aget("")  # Any access loads.
        return self.get_expiry_age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        date: datetime = super().get_expiry_date(**kwargs)
        limit = self._get_limit()
        if limit is None or lifetimes.to_utc(date) <= limit:
            return date
        return limit if timezone.is_aware(date) else timezone.make_naive(limit)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """See get_expiry_date()."""
        await self.aget("")  # Any access loads.
        return self.get_expiry_date(**kwargs)

    def clear(self) -> None:
        super().clear()
        self._replaces = True

    def is_empty(self) -> bool:
        # With this setting the middleware saves what nobody has looked at; a cookie whose
        # session is gone must be told by then, or the save answers with a 400.
        if settings.SESSION_SAVE_EVERY_REQUEST and self._session_key:
            self.get("")  # Any access loads.
        return super().is_empty()

    @staticmethod
    def _get_cleanup() -> UserSessionStoreCleanup:
        try:
            return get_store().require_ability(UserSessionStoreCleanup)
        except AbilityMissing as error:
            # What Django's clearsessions expects.
            raise NotImplementedError(str(error)) from None
