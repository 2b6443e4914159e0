"""Recognize that uvicorn is about to stop. Read in uvicorn 0.30 to 0.54.

uvicorn waits for responses that are on their way before it ends, and an application cannot learn of
that: the lifespan protocol says so only afterwards. Without this, an open page would hold up each
deployment until the browser leaves.

Undocumented: the handler of SIGTERM is a bound method of the server, whose `should_exit` is true
from the signal on, also after --limit-max-requests.
"""

from __future__ import annotations

import signal


def is_stopping() -> bool:
    """Return whether uvicorn serves this process, and has been asked to stop."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True
