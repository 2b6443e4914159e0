"""Recognize that gunicorn is about to stop. Read in gunicorn 20.1 to 27.0.

A worker with threads waits for responses that are on their way, up to --graceful-timeout seconds.
Without this, an open page would hold it up for most of the 25 seconds of a long poll.

Undocumented: the handler of SIGTERM is a bound method of the worker, whose `alive` is false from
the signal on, also after --max-requests.
"""

from __future__ import annotations

import signal


def is_stopping() -> bool:
    """Return whether gunicorn serves this process, and has been asked to stop."""
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    # The name says much less than that of uvicorn: other handlers may have it, too.
    is_gunicorn = any(each.__module__.startswith("gunicorn.") for each in type(worker).__mro__)
    return is_gunicorn and getattr(worker, "alive", True) is False
