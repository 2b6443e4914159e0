"""Signals that the package sends."""

from django.dispatch import Signal

sessions_revoked = Signal()
"""Sent once after each revocation, or ``POST bff/logout``, that has ended a session.

A sign-in that replaces a session, or ends the oldest one, is a revocation, too.

Arguments: `sender` is the class of the store, `sessions` is a list of `DeletedSession`.

The signal is sent at once, also inside a transaction of the caller. A receiver that cannot undo its
work must wait with `django.db.transaction.on_commit()`. The signal is not sent if the process is
killed, if the asynchronous caller is cancelled or if a later batch fails.
"""
