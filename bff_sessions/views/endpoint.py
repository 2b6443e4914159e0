"""What all endpoints have in common: the switch, the verbs, the header, the shape of an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_protect

from bff_sessions import conf
from bff_sessions.claims import session_user
from bff_sessions.contract import UserSession
from bff_sessions.engine import SessionStore
from bff_sessions.secret import hidden_frames

__all__ = ["HEADER", "endpoint", "error", "not_signed_in", "session_of", "signed_in", "url_of"]

HEADER: Final = "X-CSRF"
# Of `bff_sessions.urls`, and what its own paths capture.
_APP_NAME: Final = "bff_sessions"
_ARGUMENTS: Final = {"public_id"}

View = Callable[..., HttpResponse]


def endpoint(name: str, *methods: str, needs_header: bool = True) -> Callable[[View], View]:
    """Make an endpoint of a view.

    Args:
        name: by which BFF_SESSIONS["ENDPOINTS"] switches it on.
        methods: the verbs that it answers.
        needs_header: whether it is for fetch() only. A page of another site cannot send the
            header without asking first, in a CORS preflight, and neither can a form or a link.
    """

    def decorate(view: View) -> View:
        # In addition, not instead; also where CsrfViewMiddleware is not installed.
        protected: View = csrf_protect(view)
        own = list(signature(view).parameters)[1:]

        # What the path above captures, in path("<slug:tenant>/bff/", include(...)), is not ours.
        @hidden_frames()
        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if name not in conf.ENDPOINTS:
                response: HttpResponse = error(404, "not_found", "This endpoint is switched off.")
            elif request.method not in methods:
                response = error(405, "method_not_allowed", f"Use {' or '.join(methods)}.")
                response["Allow"] = ", ".join(methods)
            elif needs_header and request.headers.get(HEADER) != "1":
                response = error(403, "csrf_header_missing", f"Send the header {HEADER}: 1.")
            else:
                response = protected(request, **{name: kwargs[name] for name in own})
            response["Cache-Control"] = "no-store"
            patch_vary_headers(response, ["Cookie", HEADER])
            return response

        # With LoginRequiredMiddleware, too, who is not signed in gets the answers of this package.
        return login_not_required(answer)

    return decorate


def error(status: int, code: str, description: str) -> JsonResponse:
    """In the form of RFC 6749, 5.2: a code for programs, a sentence for who writes them."""
    return JsonResponse({"error": code, "error_description": description}, status=status)


def not_signed_in() -> JsonResponse:
    return error(401, "not_signed_in", "Nobody is signed in, or the session has ended.")


def signed_in(request: HttpRequest) -> UserSession | None:
    """The session of whoever is signed in; None while nobody is."""
    current = session_of(request).get_user_session()
    if current is None or current.subject_id is None:
        return None
    if current.user_id is not None and hasattr(request, "user") and session_user(request) is None:
        return None  # Inactive, deleted, or with another password by now.
    return current


def session_of(request: HttpRequest) -> SessionStore:
    """The session of the request.

    Raises:
        ImproperlyConfigured: if it is not one of this package.
    """
    if not isinstance(request.session, SessionStore):
        raise ImproperlyConfigured("These endpoints need SESSION_ENGINE = 'bff_sessions.engine'.")
    return request.session


def url_of(request: HttpRequest, name: str, **kwargs: str) -> str:
    """Return the path of another endpoint, in the include that the request came through.

    Args:
        name: of the URL in `bff_sessions.urls`.
        kwargs: its own arguments, ``public_id``.
    """
    match = request.resolver_match
    urlconf = getattr(request, "urlconf", None)
    if match is None or match.app_names[-1:] != [_APP_NAME]:
        # The view stands in a pattern of the project's own, beside the include.
        return reverse(f"{_APP_NAME}:{name}", urlconf, kwargs=kwargs)
    # The include may stand in other namespaces, and below a path that captures arguments.
    # Not captured_kwargs, which holds what the last part of the path captured only.
    ours = _ARGUMENTS.union(match.extra_kwargs)  # type: ignore[attr-defined]
    foreign = {name: value for name, value in match.kwargs.items() if name not in ours}
    return reverse(
        ":".join([*match.app_names, name]),
        urlconf,
        kwargs=foreign | kwargs,
        current_app=match.namespace,
    )
