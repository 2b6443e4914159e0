"""Send requests to a provider, bounded in time and size, and never follow a redirect."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.extras import extra
from bff_sessions.measuring import span
from bff_sessions.oidc.transport.deadlines import time_left
from bff_sessions.oidc.transport.exchange import run_in_time

with extra("oidc"):
    import requests
    from requests.adapters import HTTPAdapter

# Seconds for one wait: to connect, or for the next piece of an answer. The whole exchange takes
# twice as long at most. A logout waits for it.
TIMEOUT: Final = 2.0
# Bytes. Large providers' keys are about 10,000.
_MAX_SIZE: Final = 256 * 1024
# Seconds. A number of 400 digits would become infinite.
_MAX_RETRY_AFTER: Final = 366 * 24 * 60 * 60.0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the provider. Its content may be a token, so `repr` does not show it."""

    status_code: int
    content: bytes = field(repr=False)
    retry_after: float | None = None
    """The seconds to wait before the next request, if the provider says so."""
    time: float | None = None
    """When the answer was sent, by the clock of the provider; None if it does not say."""

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the answer.

        Raises:
            ProviderUnavailable: if the content is not a JSON object.
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
    """The provider answers "not found" at a URL."""


@contextmanager
def asking(issuer: str, what: str) -> Iterator[None]:
    """Add the issuer and `what` to each `ProviderUnavailable` that is raised inside.

    The error names nothing else of the request: a URL may hold a secret, and a form always does.
    """
    try:
        yield
    except ProviderUnavailable as error:
        raise type(error)(
            f"The {what} of {issuer} cannot be used. {error}", retry_after=error.retry_after
        ) from None


def asks_to_wait(status: int) -> bool:
    """Return whether an answer of this status only asks to try later."""
    # RFC 9110, 15.5.9 and 15.6; RFC 8470, 5.2; RFC 6585, 4.
    return status in (408, 425, 429) or status >= 500


def get(
    url: str, *, authorization: str | None = None, accept: str = "application/json"
) -> Response:
    """Return the answer at `url`. It may be a refusal.

    Args:
        authorization: the value of the header of that name.
        accept: the value of the header of that name.

    Raises:
        ProviderUnavailable: if the provider does not answer.
    """
    return _send("GET", url, headers={**_headers(authorization), "Accept": accept})


def knock(url: str) -> int:
    """Return the status that `url` answers, without reading the answer or following a redirect.

    Raises:
        ProviderUnavailable: if the provider does not answer.
    """
    return _send("GET", url, reads=False).status_code


def get_json(url: str) -> dict[str, Any]:
    """Return the JSON object at `url`.

    Raises:
        NotFound: if the status is 404 or 410.
        ProviderUnavailable: if the provider does not answer, or with another status than 200, or
            with what is not a JSON object.
    """
    response = get(url)
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
    """Post `data` as a form, and return the answer. It may be a refusal.

    Args:
        authorization: the value of the header of that name.
        timeout: in seconds; None means `TIMEOUT`.

    Raises:
        ProviderUnavailable: if the provider does not answer, or asks to try later, see
            asks_to_wait(). It has a ``retry_after`` if the answer has one.
    """
    headers = _headers(authorization)
    response = _send("POST", url, headers=headers, data=dict(data), timeout=timeout)
    if asks_to_wait(response.status_code):
        raise ProviderUnavailable(
            f"The provider answered with status {response.status_code}.",
            retry_after=response.retry_after,
        )
    return response


def _headers(authorization: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json"}
    return headers if authorization is None else {**headers, "Authorization": authorization}


def _send(
    method: str, url: str, *, timeout: float | None = None, reads: bool = True, **options: Any
) -> Response:
    if timeout is None:
        timeout = TIMEOUT
    seconds = min(2 * timeout, time_left())
    if seconds <= 0:
        raise ProviderUnavailable("The provider answers too slowly.")
    deadline = time.monotonic() + seconds

    def exchange(adapter: HTTPAdapter) -> Response:
        with requests.Session() as session:
            request = session.prepare_request(requests.Request(method, url, auth=_as_is, **options))
            # The environment names proxies and certificate authorities.
            environment: Any = session.merge_environment_settings(request.url, {}, True, None, None)
        # By the adapter: a session would read the whole body of a redirect.
        with adapter.send(request, timeout=timeout, **environment) as response:
            if not reads:
                return Response(response.status_code, b"")
            if response.is_redirect:
                raise ProviderUnavailable(
                    "The provider answered with a redirect, which is not followed."
                )
            content = b""
            # read1() returns the bytes received so far. iter_content() would wait for more.
            while piece := response.raw.read1(16 * 1024, decode_content=True):
                content += piece
                if len(content) > _MAX_SIZE:
                    raise ProviderUnavailable("The provider's answer is too long.")
                if time.monotonic() > deadline:
                    raise ProviderUnavailable("The provider answers too slowly.")
            retry_after = _to_seconds(response.headers.get("Retry-After", ""))
            return Response(response.status_code, content, retry_after, _to_time(response.headers))

    with span("provider.request"):
        return run_in_time(exchange, seconds)


def _to_seconds(retry_after: str) -> float | None:
    """Return the seconds that a Retry-After header names: RFC 9110, 10.2.3."""
    try:
        if retry_after.isdecimal():
            return min(float(retry_after), _MAX_RETRY_AFTER)
        return max(0.0, _parse_date(retry_after) - time.time())
    except (ValueError, OverflowError):
        return None


def _to_time(headers: Mapping[str, str]) -> float | None:
    """Return when an answer was sent: RFC 9110, 6.6.1, and RFC 9111, 5.1, if a cache had it."""
    age = headers.get("Age", "")
    try:
        return _parse_date(headers["Date"]) + (int(age) if age.isdecimal() else 0)
    except (LookupError, ValueError, OverflowError):
        return None


def _parse_date(text: str) -> float:
    date = parsedate_to_datetime(text)
    # RFC 9110, 5.6.7: each format means UTC, though the one of asctime() does not name it.
    return (date.replace(tzinfo=UTC) if date.tzinfo is None else date).timestamp()


def _as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Without an auth, requests would look for other credentials in ~/.netrc.
    return request
