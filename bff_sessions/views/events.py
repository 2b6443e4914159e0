"""``GET events``: tell an open page that its session has ended, or belongs to another user.

The answer is a stream of server-sent events (HTML Living Standard, 9.2). The first one, `watching`,
has a digest of the identity as its ID, and there is one more at most. A browser that connects again
sends the ID, and so learns what has happened while it was not connected.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Final, TypeVar

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import get_language, override

from bff_sessions import conf
from bff_sessions._compat.django_log import log_as_info
from bff_sessions.contract import UserSession
from bff_sessions.views import places
from bff_sessions.views.ended import code_of, text_of
from bff_sessions.views.endpoint import (
    HEADER,
    endpoint,
    error,
    not_signed_in,
    session_of,
    signed_in,
)
from bff_sessions.views.streams import LongPoll, Stream
from bff_sessions.watching import News, NewsKind, can_watch
from bff_sessions.watching.pages import identity_of

_Response = TypeVar("_Response", bound=HttpResponseBase)

# Seconds after which a page that was refused may ask again.
_RETRY_AFTER: Final = 5
# Milliseconds after which a page connects again; random, so that a restart does not meet all pages
# at once.
_RETRY: Final = (1_000, 3_000)
_WATCHING: Final = "watching"
# The ID after which a page begins anew. It is not empty, or the browser would send no header.
_ANEW: Final = "none"
# Streams of one session in a process, so that a single client cannot open thousands.
_MOST_OF_SESSION: Final = 20


@endpoint("events", "GET", needs_header=False, uses_csrf=False)
def events(request: HttpRequest) -> HttpResponseBase:
    """Tell an open page once that its session has ended, or that its user has changed."""
    if not _is_of_this_site(request):
        return error(403, "cross_site", f"Call this from a page of this site, or send {HEADER}: 1.")
    session_of(request).slide = False
    current = signed_in(request)
    known = _known(request)
    if current is None:
        return _now(_ended(code_of(request))) if known else not_signed_in()
    identity = _name_of(current)
    if known and known != identity:
        return _now(_changed())
    if not can_watch():
        return _refuse(request, 503, "not_watched", "The sessions of this tenant are not watched.")
    head = f"retry: {random.randint(*_RETRY)}\n{_event(_WATCHING, id=identity)}"
    language = get_language()

    def show(news: News) -> str:
        with override(language):
            return _show(news)

    # A browser shares one stream between its tabs, or has one for each tab.
    place = places.of_session.take(current.sign_in_id, _MOST_OF_SESSION)
    if place is None:
        return _refuse(request, 429, "too_many_streams", "This session has too many open pages.")
    if isinstance(request, ASGIRequest):
        return _as_events(StreamingHttpResponse(Stream(current, head, show, place)))
    thread = places.of_threads.take("", conf.EVENTS_THREADS // 4)
    if thread is None:
        return _refuse(request, 503, "too_many_pages", "Too many pages are open: ask again later.")
    return _as_events(StreamingHttpResponse(LongPoll(current, head, show, place, thread)))


def _is_of_this_site(request: HttpRequest) -> bool:
    # EventSource cannot send our header. Fetch Metadata Request Headers, 2.3: "none" is a user who
    # opens the URL. Older browsers send none of them: there, SameSite keeps the cookie back.
    site = request.headers.get("Sec-Fetch-Site", "none")
    return site in ("same-origin", "none") or request.headers.get(HEADER) == "1"


def _known(request: HttpRequest) -> str | None:
    """Return the ID of the last event that the page has seen; None if it begins anew.

    The script passes on by the URL what another tab has seen. EventSource repeats that URL whenever
    it connects again, but then sends the header.
    """
    known = request.headers.get("Last-Event-ID") or request.GET.get("last-event-id")
    return None if known == _ANEW else known


def _refuse(request: HttpRequest, status: int, code: str, description: str) -> HttpResponse:
    response = error(status, code, description)
    response["Retry-After"] = str(_RETRY_AFTER)
    # Pages ask again all the time. Django would log each 503 as an error, and mail it.
    log_as_info(request, response)
    return response


def _name_of(session: UserSession) -> str:
    """Return a digest of the identity, which says nothing to other users."""
    text = json.dumps(identity_of(session))
    return hashlib.sha256(f"bff_sessions identity:{text}".encode()).hexdigest()[:32]


def _show(news: News) -> str:
    if news.kind is NewsKind.SESSION_ENDED:
        return _ended(None if news.reason is None else news.reason.value)
    return _changed() if news.kind is NewsKind.IDENTITY_CHANGED else ""


def _ended(code: str | None) -> str:
    return _event(NewsKind.SESSION_ENDED.value, reason=code, text=text_of(code))


def _changed() -> str:
    return _event(NewsKind.IDENTITY_CHANGED.value)


def _event(name: str, *, id: str = _ANEW, **data: str | None) -> str:
    return f"id: {id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def _now(event: str) -> HttpResponse:
    return _as_events(HttpResponse(event))


def _as_events(response: _Response) -> _Response:
    """Set the headers that bring each event to the browser at once."""
    response["Content-Type"] = "text/event-stream"
    # RFC 9111, 5.2.2.6: no proxy may compress or change the events.
    response["Cache-Control"] = "no-store, no-transform"
    response["X-Accel-Buffering"] = "no"  # Of nginx, and of others that follow it.
    # GZipMiddleware, and proxies, would collect events to compress them.
    response["Content-Encoding"] = "identity"
    return response
