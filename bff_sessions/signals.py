"""Signals that the package sends."""

from django.dispatch import Signal

sessions_revoked = Signal()
"""Sent once after each revocation, or ``POST bff/logout``, that has ended a session.

A sign-in that replaces a session, or ends the oldest one, is also a revocation.

Arguments: `sender` is the class of the store, `sessions` is a list of `DeletedSession`.

The signal is sent at once, even inside the caller's transaction. A receiver that cannot undo its
work must wait with `django.db.transaction.on_commit()`. The signal is not sent if the process is
killed, if the asynchronous caller is cancelled or if a later batch fails.
"""
