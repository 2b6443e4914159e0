"""Requests to a provider: short, bounded, never redirected."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, TypeVar

import requests
from requests.adapters import HTTPAdapter

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.deadlines import hold, time_left, time_limit
from bff_sessions.oidc.exchange import run_in_time

__all__ = [
    "MAX_AGE",
    "NOT_ASKED",
    "NotFound",
    "Response",
    "Source",
    "asking",
    "asks_to_wait",
    "get_json",
    "post_form",
]

_T = TypeVar("_T")

# Seconds for one wait: to connect, or for the next piece of an answer. Everything together, from
# the name server to the end of the answer, takes twice as long at most. A logout waits for this.
TIMEOUT: Final = 2.0
# Seconds for which a provider that did not answer is not asked again.
PAUSE_AFTER_FAILURE: Final = 10.0
# Seconds after which something that is kept, and does not suffice, is read once more.
COOLDOWN: Final = 30.0
# Seconds for which what a provider says of itself and its keys are kept.
MAX_AGE: Final = 3600.0
# Bytes. Large providers' keys are about 10,000.
_MAX_SIZE: Final = 256 * 1024
# Seconds. A number of 400 digits would be infinite, which nobody can wait for.
_MAX_RETRY_AFTER: Final = 366 * 24 * 60 * 60.0
# What the errors say that repeat the last one.
NOT_ASKED: Final = " It failed a moment ago and is not asked again yet."


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the provider. What it says may be a token, so `repr` does not show it."""

    status_code: int
    content: bytes = field(repr=False)
    retry_after: float | None = None
    """In how many seconds to ask again, if it says so."""

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> dict[str, Any]:
        """The JSON object that it says.

        Raises:
            ProviderUnavailable: if that is no JSON object.
        """
        try:
            # RFC 8259, 8.1: UTF-8; a byte order mark may be ignored. Given bytes, json guesses.
            value = json.loads(self.content.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ProviderUnavailable("The provider did not answer with a JSON object.")
        return value


class NotFound(ProviderUnavailable):
    """The provider says that it has nothing at an address."""


@contextmanager
def asking(issuer: str, what: str) -> Iterator[None]:
    """Let each `ProviderUnavailable` that is raised inside name the issuer and `what`.

    Nothing else of the request: an address may hold a secret, and a form always does.
    """
    try:
        yield
    except ProviderUnavailable as error:
        raise type(error)(
            f"The {what} of {issuer} cannot be used. {error}", retry_after=error.retry_after
        ) from None


def asks_to_wait(status: int) -> bool:
    """Return whether an answer of this status says nothing but "later"."""
    # RFC 9110, 15.5.9 and 15.6; RFC 8470, 5.2; RFC 6585, 4.
    return status in (408, 425, 429) or status >= 500


def get_json(url: str) -> dict[str, Any]:
    """Return the JSON object at `url`.

    Raises:
        NotFound: if there is nothing at `url`: status 404 or 410.
        ProviderUnavailable: if there is no JSON object, for any other reason.
    """
    response = _send("GET", url, headers={"Accept": "application/json"})
    if response.status_code != 200:
        kind = NotFound if response.status_code in (404, 410) else ProviderUnavailable
        raise kind(f"The provider answered with status {response.status_code}.")
    return response.json()


def post_form(
    url: str,
    data: Mapping[str, str],
    *,
    authorization: str | None = None,
    timeout: float | None = None,
) -> Response:
    """Post `data` as a form. An answer that refuses it is an answer.

    Args:
        authorization: value of the header of that name.
        timeout: in seconds; None: `TIMEOUT`.

    Raises:
        ProviderUnavailable: if nobody answers, or somebody who has to be asked again later:
            see asks_to_wait(). With ``retry_after``, if it says when.
    """
    headers = {"Accept": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    response = _send("POST", url, headers=headers, data=dict(data), timeout=timeout)
    if asks_to_wait(response.status_code):
        raise ProviderUnavailable(
            f"The provider answered with status {response.status_code}.",
            retry_after=response.retry_after,
        )
    return response


def _send(method: str, url: str, *, timeout: float | None = None, **options: Any) -> Response:
    if timeout is None:
        timeout = TIMEOUT
    seconds = min(2 * timeout, time_left())
    if seconds <= 0:
        raise ProviderUnavailable("The provider answers too slowly.")
    deadline = time.monotonic() + seconds

    def exchange(adapter: HTTPAdapter) -> Response:
        with requests.Session() as session:
            request = session.prepare_request(requests.Request(method, url, auth=_as_is, **options))
            # Proxies and certificate authorities.
            environment: Any = session.merge_environment_settings(request.url, {}, True, None, None)
        # Not by the session, which would read all that a redirect has for a body.
        with adapter.send(request, timeout=timeout, **environment) as response:
            if response.is_redirect:
                raise ProviderUnavailable("The provider redirects, which is not followed.")
            content = b""
            # What has come so far, where iter_content() would wait for more.
            while piece := response.raw.read1(16 * 1024, decode_content=True):
                content += piece
                if len(content) > _MAX_SIZE:
                    raise ProviderUnavailable("The provider's answer is too long.")
                if time.monotonic() > deadline:
                    raise ProviderUnavailable("The provider answers too slowly.")
            retry_after = _to_seconds(response.headers.get("Retry-After", ""))
            return Response(response.status_code, content, retry_after)

    return run_in_time(exchange, seconds)


def _to_seconds(retry_after: str) -> float | None:
    """RFC 9110, 10.2.3: a number of seconds, or a date."""
    try:
        if retry_after.isdecimal():
            return min(float(retry_after), _MAX_RETRY_AFTER)
        moment = parsedate_to_datetime(retry_after)
        # 5.6.7: each format means UTC; the one of asctime() does not say so.
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Without this, requests would look for other credentials in ~/.netrc.
    return request


class Source(Generic[_T]):
    """Something that a provider says. One thread at a time reads it, and not soon after a failure.

    Args:
        issuer: the provider, for the text of errors.
        what: what is read, for the text of errors.
        read: reads it; may raise `ProviderUnavailable`, with a text that names both.
    """

    def __init__(self, issuer: str, what: str, read: Callable[[], _T]) -> None:
        self._issuer = issuer
        self._what = what
        self._read = read
        self._lock = threading.Lock()
        self._kept: tuple[_T, float] | None = None
        self._failed = self._looked_again = float("-inf")
        self._fault = ""

    @property
    def is_fresh(self) -> bool:
        """Whether get() need not ask the provider."""
        return self._kept is not None and time.monotonic() - self._kept[1] < MAX_AGE

    def get(self, suffices: Callable[[_T], bool] = lambda value: True) -> _T:
        """Return it as it was less than `MAX_AGE` ago, or is now. Twice `TIMEOUT` at most.

        Args:
            suffices: decides about what is kept; if it returns False, it is read again, once in
                `COOLDOWN` at most. The first reading does not count for that, so that what comes
                right after it is found.

        Raises:
            ProviderUnavailable: if it cannot be read, or could not a moment ago; or if it does not
                suffice and was read again too short a time ago, with ``retry_after``.
        """
        kept = self._kept
        if kept is not None and self.is_fresh and suffices(kept[0]):
            return kept[0]
        with time_limit(2 * TIMEOUT), hold(self._lock, f"{self._what} of {self._issuer}"):
            kept = self._kept
            if kept is None or not self.is_fresh:
                kept = self._fetch()
            if not suffices(kept[0]):
                if time.monotonic() - self._looked_again < COOLDOWN:
                    raise ProviderUnavailable(
                        f"The {self._what} of {self._issuer} were fetched too recently to be "
                        "fetched again.",
                        retry_after=COOLDOWN,
                    )
                kept = self._fetch()
                self._looked_again = time.monotonic()
            return kept[0]

    def _fetch(self) -> tuple[_T, float]:
        if time.monotonic() - self._failed < PAUSE_AFTER_FAILURE:
            raise ProviderUnavailable(self._fault + NOT_ASKED)
        try:
            self._kept = kept = (self._read(), time.monotonic())
        except ProviderUnavailable as error:
            self._failed = time.monotonic()
            # What one source reads may begin with another one, which has failed before.
            self._fault = str(error).removesuffix(NOT_ASKED)
            raise
        return kept
