"""The base class of stores: six verbs to implement, and correct defaults for the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import datetime

from bff_sessions.contract.exceptions import SessionChanged, SessionMissing
from bff_sessions.contract.filters import UserSessionsFilter
from bff_sessions.contract.moving import move_session
from bff_sessions.contract.paging import Paging, UserSessionsPage, with_positions
from bff_sessions.contract.sessions import UserSession, UserSessionUpdate
from bff_sessions.contract.twins import twin_of
from bff_sessions.contract.verbs import RequiredVerbs


class UserSessionStore(RequiredVerbs):
    """The base class of stores. Implement the six abstract verbs; the others have a default.

    A store declares other abilities by inheriting from `UserSessionStoreCleanup`,
    `UserSessionStoreLeases`, `UserSessionStoreDevices` and `UserSessionStoreTransactions`.

    The store decides what happens to an expired session before clean-up. The session may stay and
    accept updates, or the store may delete it at once. A session may be created or updated with an
    `expires` in the past, and cannot be read then.

    Every verb has an ``a…`` twin that runs it in the thread of synchronous code. Override a twin
    only if your store is natively asynchronous. If the awaiting task is cancelled, a write is
    complete or absent, never half done. All threads share one instance of a store.

    A key is the store key of a session, or any text from outside: of any length, for example with
    NUL or a lone surrogate. If no session has it, the session is missing. Raise no other error.
    """

    @property
    def scope(self) -> str:
        """The name of the place that the store reads now, for stores that switch between places.

        In a multi-tenant site, one store may read another database or schema in each request.
        Override this if your store does so: the cache in front of a store serves a copy only in
        the scope in which it was read. Every load reads the scope, so it must not run a statement.
        """
        return ""

    def query_user_sessions(
        self, filter: UserSessionsFilter, *, cursor: str | None = None, limit: int = 100
    ) -> UserSessionsPage:
        """Return a page of the live sessions that match, newest sign-in first, without tickets.

        Follow `next_cursor` until it is None. This shows each session that lives throughout exactly
        once, even if sessions begin, end, are renewed or move to another key meanwhile. If another
        identity signs in to a session, it counts as a new one.

        The default calls get_user_sessions() for each page, and so reads all tickets.

        Args:
            filter: which sessions.
            cursor: the `next_cursor` of the previous page; None for the first page. It contains
                neither a store key nor a secret, and may be part of a URL.
            limit: the most sessions on the page, 1 to 1,000.

        Raises:
            ValueError: if `cursor` is not a cursor of this store, or `limit` is out of range.
        """
        paging = Paging(f"{type(self).__module__}.{type(self).__qualname__}", cursor, limit)
        return paging.page(with_positions(self.get_user_sessions(filter)))

    aquery_user_sessions = twin_of(query_user_sessions)

    def peek_user_sessions(self, keys: Collection[str]) -> dict[str, UserSession]:
        """Return the live sessions under `keys` by their keys, each with an empty ticket.

        A key is absent if its session is missing, has expired, or has moved to another key. Open
        pages are watched with this verb: it reads what is stored, never a cached copy.

        The default calls get_user_session() for each key. Override it if your store can read many
        sessions at once.

        Args:
            keys: any number of keys.
        """
        found = (self.get_user_session(key) for key in keys)
        return {
            session.key: replace(session, ticket=b"")
            for session in found
            if session is not None and not session.is_moved
        }

    apeek_user_sessions = twin_of(peek_user_sessions)

    def rekey_user_session(self, key: str, session: UserSession, *, if_version: int) -> int:
        """Move the session from `key` to ``session.key`` and write it. Return the new version.

        Afterwards no session has the old key. The default takes the steps of
        `bff_sessions.contract.moving`. A crash between two steps signs the user out, but never
        leaves two live sessions or a revoked one.

        Args:
            key: the old key.
            session: the session to write. Its version and `DEVICE` fields are ignored: the
                stored ones stay, and the version grows by one.
            if_version: move only if the session still has this version.

        Raises:
            SessionMissing, SessionChanged: as update_user_session().
            SessionExists: if ``session.key`` is taken.
        """
        return move_session(self, key, session, if_version)

    arekey_user_session = twin_of(rekey_user_session)

    def overwrite_user_session(self, read: UserSession, session: UserSession) -> int:
        """Write `session` over the one that the caller has read, and return the new version.

        The engine saves with this verb. The default calls update_user_session(), or
        rekey_user_session() if `session` has another key. A store may write only the fields that
        differ, which avoids index updates in some databases.

        Args:
            read: the session as get_user_session() returned it.
            session: the session to write.

        Raises:
            SessionMissing, SessionChanged: as update_user_session() at the version of `read`.
            SessionExists: if ``session.key`` is another key, and is taken.
        """
        if session.key != read.key:
            return self.rekey_user_session(read.key, session, if_version=read.version)
        update = UserSessionUpdate.of(session)
        return self.update_user_session(read.key, update, if_version=read.version)

    aoverwrite_user_session = twin_of(overwrite_user_session)

    def touch_user_session(
        self,
        key: str,
        *,
        renewed: datetime,
        expires: datetime | None,
        if_version: int | None = None,
    ) -> bool:
        """Renew a live session without writing its ticket. Return whether there was one.

        This never revives an expired or ended session. The default calls update_user_session()
        and so adds one to the version. A store may renew without changing the version.

        Args:
            key: the key of the session.
            renewed: the new ``renewed``.
            expires: the new ``expires``.
            if_version: renew only if the session still has this version. A save since then has
                renewed it, perhaps for a shorter time.

        Raises:
            SessionChanged: if its version is not `if_version`.
        """
        while (session := self.get_user_session(key)) is not None and not session.is_moved:
            if if_version not in (None, session.version):
                raise SessionChanged
            renewal = UserSessionUpdate.of(replace(session, renewed=renewed, expires=expires))
            try:
                self.update_user_session(key, renewal, if_version=session.version)
            except SessionChanged:
                continue  # Another writer made progress, so this loop ends.
            except SessionMissing:
                break
            return True
        return False

    atouch_user_session = twin_of(touch_user_session)

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` after this thread's writes are committed.

        The default calls it at once. See `UserSessionStoreTransactions`.
        """
        callback()

    aon_commit = twin_of(on_commit)


def iterate_user_sessions(
    store: UserSessionStore, filter: UserSessionsFilter
) -> Iterator[UserSession]:
    """Yield all live sessions that match, as query_user_sessions() does, in bounded memory."""
    cursor = None
    while True:
        page = store.query_user_sessions(filter, cursor=cursor, limit=500)
        yield from page.sessions
        cursor = page.next_cursor
        if cursor is None:
            return
