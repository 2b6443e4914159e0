"""Documents of a provider that are cached: its metadata and its keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.transport import http
from bff_sessions.oidc.transport.deadlines import hold, time_limit

_T = TypeVar("_T")

# Seconds for which the metadata and the keys of a provider are cached.
MAX_AGE: Final = 3600.0
# Seconds without requests to a provider that did not answer.
PAUSE_AFTER_FAILURE: Final = 10.0
# Seconds between two extra requests because the cached value did not suffice.
_COOLDOWN: Final = 30.0
# Ends the text of an error that repeats the last one.
NOT_ASKED: Final = " The request failed recently and is not repeated yet."


class Source(Generic[_T]):
    """A cached document of a provider. One thread at a time reads it, and not soon after a failure.

    Args:
        issuer: the provider, for the text of errors.
        what: the name of the document, for the text of errors.
        read: reads the document. It may raise `ProviderUnavailable`, with a text that names both.
    """

    def __init__(self, issuer: str, what: str, read: Callable[[], _T]) -> None:
        self._issuer = issuer
        self._what = what
        self._read = read
        self._lock = threading.Lock()
        self._cached: tuple[_T, float] | None = None
        self._failed = self._looked_again = float("-inf")
        self._fault = ""

    @property
    def is_fresh(self) -> bool:
        """Return whether get() need not ask the provider."""
        return self._cached is not None and time.monotonic() - self._cached[1] < MAX_AGE

    def get(self, suffices: Callable[[_T], bool] = lambda value: True) -> _T:
        """Return the document, at most `MAX_AGE` old, within twice `http.TIMEOUT`.

        Args:
            suffices: returns whether the cached document is enough. If not, it is read again, at
                most once in `_COOLDOWN`. The first read does not count, so that a key that the
                provider adds right after it is found.

        Raises:
            ProviderUnavailable: if the document cannot be read, or the last read failed shortly
                before. Also if it does not suffice and was read again too recently; the error then
                has a ``retry_after``.
        """
        cached = self._cached
        if cached is not None and self.is_fresh and suffices(cached[0]):
            return cached[0]
        with time_limit(2 * http.TIMEOUT), hold(self._lock, f"{self._what} of {self._issuer}"):
            cached = self._cached
            if cached is None or not self.is_fresh:
                cached = self._fetch()
            if not suffices(cached[0]):
                if time.monotonic() - self._looked_again < _COOLDOWN:
                    raise ProviderUnavailable(
                        f"The {self._what} of {self._issuer} were fetched too recently to be "
                        "fetched again.",
                        retry_after=_COOLDOWN,
                    )
                cached = self._fetch()
                self._looked_again = time.monotonic()
            return cached[0]

    def _fetch(self) -> tuple[_T, float]:
        if time.monotonic() - self._failed < PAUSE_AFTER_FAILURE:
            raise ProviderUnavailable(self._fault + NOT_ASKED)
        try:
            self._cached = cached = (self._read(), time.monotonic())
        except ProviderUnavailable as error:
            self._failed = time.monotonic()
            # Reading one source may begin with another one, which failed before.
            self._fault = str(error).removesuffix(NOT_ASKED)
            raise
        return cached
