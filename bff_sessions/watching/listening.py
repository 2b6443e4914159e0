"""The thread that listens for notices of other processes, if EVENTS_NOTICES is on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Final

from bff_sessions import conf
from bff_sessions.contract import UserSessionStore, UserSessionStoreNotices
from bff_sessions.stores import get_store

logger = logging.getLogger("bff_sessions.watching")

# Seconds after which the thread looks whether it is still needed.
_LONGEST: Final = 1.0


def find_notices() -> UserSessionStoreNotices | None:
    """Return the store that sends notices; None without one, or if EVENTS_NOTICES is off."""
    if not conf.EVENTS_NOTICES:
        return None
    store = get_store()
    stored_in: UserSessionStore = getattr(store, "inner", store)
    return stored_in.get_ability(UserSessionStoreNotices)


def send_notice(notices: UserSessionStoreNotices) -> None:
    """Let other processes look at their pages now. An error costs them the usual pause only."""
    try:
        notices.send_notice()
    except Exception as error:
        logger.warning("Other processes could not be notified: %s", type(error).__name__)


class Listener:
    """Calls `on_notice` at each notice, as long as `is_needed()`."""

    def __init__(self, on_notice: Callable[[], None], is_needed: Callable[[], bool]) -> None:
        self._on_notice = on_notice
        self._is_needed = is_needed
        self._thread: threading.Thread | None = None
        self._has_failed = False

    def keep(self) -> None:
        """Begin a thread, unless there is one or no store sends notices."""
        if (self._thread is None or not self._thread.is_alive()) and find_notices() is not None:
            self._thread = threading.Thread(
                target=Context().run, args=(self._run,), name="bff_sessions", daemon=True
            )
            self._thread.start()

    def join(self) -> None:
        """Wait until the thread has ended, when it is not needed any more."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._is_needed():
            try:
                if (notices := find_notices()) is None:
                    return
                self._listen(notices)
            except Exception as error:
                # Only the class: its text may have the address of a server.
                if not self._has_failed:
                    logger.warning("No notices can be received: %s", type(error).__name__)
                self._has_failed = True
                time.sleep(_LONGEST)

    def _listen(self, notices: UserSessionStoreNotices) -> None:
        with notices.listen_for_notices() as wait:
            self._has_failed = False
            self._on_notice()  # One may have been sent before.
            while self._is_needed():
                if wait(_LONGEST):
                    self._on_notice()
