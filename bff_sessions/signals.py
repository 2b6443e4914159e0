"""Signals that the package sends."""

from django.dispatch import Signal

__all__ = ["sessions_revoked"]

sessions_revoked = Signal()
"""Sessions were ended, those of others or by ``POST bff/logout``, and the store has said so.

Sent once for each revocation that ended something, also if a sign-in replaces a session or ends the
oldest, with `sender` (the store's class) and
`sessions` (a list of `DeletedSession`). Sent at once, also inside a transaction of the caller: a
receiver that cannot undo what it does waits with `django.db.transaction.on_commit()`. It is not
sent if the process is killed, the asynchronous caller is cancelled or a later batch fails.
"""
