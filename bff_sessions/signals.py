"""Signals that the package sends.

Both are sent after the commit of what they announce, and never after a rollback. Each start and
each end is announced once; not at all if the process dies, or the caller is cancelled, between the
commit and the signal.

Receivers run in the thread of synchronous code, also if the caller is asynchronous, and may use the
ORM. Asynchronous receivers are awaited from there. Django logs the error of a receiver. Such an
error stops neither the sign-in or sign-out nor other receivers.

`sender` is the class of the store. `request` is the request that is being answered. It is None
outside of a request, and without `bff_sessions.middleware.SessionMiddleware`.
"""

from django.dispatch import Signal

session_started = Signal()
"""Sent when a user has signed in to a session.

Arguments: `sender`, `session` is the `UserSession`, `request`.

A move to another key is not a start, nor is the move from another session engine. An anonymous
session has no start and no end.
"""

sessions_ended = Signal()
"""Sent when sessions of signed-in users have ended, once for all that one call has ended.

Arguments: `sender`, `sessions` is a list of `DeletedSession`, `reason` is the `EndReason` of all of
them, `actor` is the `Actor` who has ended them or None, `request`.

Sessions that have expired end when a clean-up, or a revocation, deletes them. A store without
`UserSessionStoreCleanup` deletes them by itself, without a signal.
"""
