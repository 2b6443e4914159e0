"""Types of a request, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from bff_sessions.engine import SessionStore


class BffHttpRequest(HttpRequest):
    """The type of a request whose session comes from this package's engine.

        def orders(request: BffHttpRequest) -> HttpResponse:
            with request.session.exclusive():
                ...

    Use it in annotations only, because Django makes no instances of it. For Django, the session is
    a ``SessionBase``, which has neither `exclusive()` nor `slide` nor `store_key`.
    """

    session: SessionStore
