"""Requests to a provider: short, bounded, never redirected."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests
from django.views.decorators.debug import sensitive_variables
from urllib3.exceptions import HTTPError

from bff_sessions.exceptions import ProviderUnavailable

__all__ = ["MAX_AGE", "Response", "Source", "asks_to_wait", "get_json", "post_form"]

# Seconds to connect, and between two pieces of an answer, which has twice as long to be whole. A
# logout waits for this.
TIMEOUT: Final = 2.0
# Seconds for which a provider that did not answer is not asked again.
PAUSE_AFTER_FAILURE: Final = 10.0
# Seconds for which what a provider says of itself and its keys are kept.
MAX_AGE: Final = 3600.0
# Bytes. Large providers' keys are about 10,000.
_MAX_SIZE: Final = 256 * 1024
# Seconds. A number of 400 digits would be infinite, which nobody can wait for.
_MAX_RETRY_AFTER: Final = 366 * 24 * 60 * 60.0


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


def asks_to_wait(status: int) -> bool:
    """Return whether an answer of this status says nothing but "later"."""
    # RFC 9110, 15.5.9 and 15.6; RFC 8470, 5.2; RFC 6585, 4.
    return status in (408, 425, 429) or status >= 500


def get_json(url: str) -> dict[str, Any]:
    """The JSON object at `url`.

    Raises:
        ProviderUnavailable: if there is none, for whatever reason.
    """
    response = _send("GET", url, headers={"Accept": "application/json"})
    if response.status_code != 200:
        raise ProviderUnavailable(f"The provider answered with status {response.status_code}.")
    return response.json()


@sensitive_variables()
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


@sensitive_variables()
def _send(method: str, url: str, *, timeout: float | None = None, **kwargs: Any) -> Response:
    if timeout is None:
        timeout = TIMEOUT
    # The timeout is for each piece of an answer, of which there could be many.
    deadline = time.monotonic() + 2 * timeout
    try:
        with requests.request(
            method, url, timeout=timeout, allow_redirects=False, stream=True, auth=_as_is, **kwargs
        ) as response:
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
    except (requests.RequestException, HTTPError, UnicodeError) as error:
        # Without the error's own text and cause: they hold the address, and what was posted.
        raise ProviderUnavailable(
            f"The provider cannot be reached: {type(error).__name__}."
        ) from None


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


class Source:
    """Something that is read from the provider: by one thread at a time, and not again soon after
    it failed.

    Args:
        read: reads it; may raise `ProviderUnavailable`.
    """

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._failed = float("-inf")

    def fetch(self) -> dict[str, Any]:
        """It, as it is now.

        Raises:
            ProviderUnavailable: if there is nothing, or there was nothing a moment ago.
        """
        with self._lock:
            if time.monotonic() - self._failed < PAUSE_AFTER_FAILURE:
                raise ProviderUnavailable("The provider did not answer well a moment ago.")
            try:
                return self._read()
            except ProviderUnavailable:
                self._failed = time.monotonic()
                raise
