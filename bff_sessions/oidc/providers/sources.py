"""Documents of a provider that are cached: its metadata and its keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.transport import http
from bff_sessions.oidc.transport.deadlines import hold, time_limit

_T = TypeVar("_T")

# Seconds for which the metadata and the keys of a provider are cached.
MAX_AGE: Final = 3600.0
# Seconds without requests to a provider that did not answer.
PAUSE_AFTER_FAILURE: Final = 10.0
# Seconds between two extra requests because the cached document did not suffice.
COOLDOWN: Final = 30.0
# Ends the text of an error that repeats the last one.
NOT_ASKED: Final = " The request failed recently and is not repeated yet."


class TooEarly(ProviderUnavailable):
    """The document lacks something, which the provider may add soon. It has a ``retry_after``."""

    def __init__(self, text: str) -> None:
        super().__init__(text, retry_after=COOLDOWN)


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

    def get(self) -> _T:
        """Return the document, at most `MAX_AGE` old, within twice `http.TIMEOUT`.

        Raises:
            ProviderUnavailable: if the document cannot be read, or the last read failed shortly
                before.
        """
        cached = self._cached
        if cached is not None and self.is_fresh:
            return cached[0]
        with self._turn():
            cached = self._cached
            if cached is None or not self.is_fresh:
                cached = self._fetch()
            return cached[0]

    def read_again(self, seen: _T) -> _T:
        """Return a newer document than `seen`, which get() has returned and which did not suffice.

        Read it at most once in `COOLDOWN`. Reads by get() do not count, so that a key that the
        provider adds right after one is found.

        Raises:
            TooEarly: if it was read again too recently.
            ProviderUnavailable: as get().
        """
        with self._turn():
            cached = self._cached
            if cached is None or cached[0] is seen:
                if time.monotonic() - self._looked_again < COOLDOWN:
                    raise TooEarly(
                        f"The {self._what} of {self._issuer} were fetched too recently to be "
                        "fetched again."
                    )
                cached = self._fetch()
                self._looked_again = time.monotonic()
            return cached[0]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with time_limit(2 * http.TIMEOUT), hold(self._lock, f"{self._what} of {self._issuer}"):
            yield

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
