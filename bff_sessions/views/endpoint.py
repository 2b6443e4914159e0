"""The decorator of all endpoints: switch, methods and header. Their errors, session and URLs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_protect

from bff_sessions import conf
from bff_sessions.claims import session_user
from bff_sessions.contract import UserSession
from bff_sessions.engine import SessionStore
from bff_sessions.secret import hidden_frames

HEADER: Final = "X-CSRF"
# The namespace of `bff_sessions.urls`, and the arguments that its own paths capture.
_APP_NAME: Final = "bff_sessions"
_ARGUMENTS: Final = {"public_id"}

View = Callable[..., HttpResponseBase]


def endpoint(
    name: str, *methods: str, needs_header: bool = True, uses_csrf: bool = True
) -> Callable[[View], View]:
    """Return a decorator that makes an endpoint of a view.

    Args:
        name: the name in BFF_SESSIONS["ENDPOINTS"] that switches it on.
        methods: the HTTP methods that it answers.
        needs_header: whether only fetch() can call it. A form or a link cannot send the header. A
            page of another site needs a CORS preflight to send it.
        uses_csrf: whether it checks CSRF tokens or shows one. They may be in the session.
    """

    def decorate(view: View) -> View:
        # In addition to the header, and also if CsrfViewMiddleware is not installed.
        protected: View = csrf_protect(view) if uses_csrf else view
        own = list(signature(view).parameters)[1:]

        # An enclosing path may capture more arguments: path("<slug:tenant>/bff/", include(...)).
        @hidden_frames()
        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if name not in conf.ENDPOINTS:
                response: HttpResponseBase = error(
                    404, "not_found", "This endpoint is switched off."
                )
            elif request.method not in methods:
                response = error(405, "method_not_allowed", f"Use {' or '.join(methods)}.")
                response["Allow"] = ", ".join(methods)
            elif needs_header and request.headers.get(HEADER) != "1":
                response = error(403, "csrf_header_missing", f"Send the header {HEADER}: 1.")
            else:
                response = protected(request, **{name: kwargs[name] for name in own})
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ["Cookie", HEADER])
            return response

        # Without it, LoginRequiredMiddleware would redirect anonymous requests instead.
        return login_not_required(answer)

    return decorate


def error(status: int, code: str, description: str, **more: Any) -> JsonResponse:
    """Return an error response in the form of RFC 6749, 5.2: a code and a sentence."""
    return JsonResponse({"error": code, "error_description": description, **more}, status=status)


def not_signed_in() -> JsonResponse:
    """Return the error response for a request without a signed-in user."""
    return error(401, "not_signed_in", "No user is signed in, or the session has ended.")


def signed_in(request: HttpRequest) -> UserSession | None:
    """Return the session of the signed-in user; None if no user is signed in."""
    current = session_of(request).get_user_session()
    if current is None or current.subject_id is None:
        return None
    if current.user_id is not None and hasattr(request, "user") and session_user(request) is None:
        return None  # The user is inactive or deleted, or has changed the password.
    return current


def read_slide(request: HttpRequest) -> None:
    """Let a request with ``?slide=false``, of a page that polls, not renew the session."""
    if request.GET.get("slide") == "false":
        session_of(request).slide = False


def session_of(request: HttpRequest) -> SessionStore:
    """Return the session of the request.

    Raises:
        ImproperlyConfigured: if it is not a session of this package.
    """
    if not isinstance(request.session, SessionStore):
        raise ImproperlyConfigured("These endpoints need SESSION_ENGINE = 'bff_sessions.engine'.")
    return request.session


def url_of(request: HttpRequest, name: str, **kwargs: str) -> str:
    """Return the path of another endpoint, in the include that matched the request.

    Args:
        name: the name of the URL in `bff_sessions.urls`.
        kwargs: its own arguments, such as ``public_id``.
    """
    match = request.resolver_match
    urlconf = getattr(request, "urlconf", None)
    if match is None or match.app_names[-1:] != [_APP_NAME]:
        # The project has put the view into a pattern of its own, outside the include.
        return reverse(f"{_APP_NAME}:{name}", urlconf, kwargs=kwargs)
    # The include may be nested in other namespaces, and below a path that captures arguments.
    # captured_kwargs is not enough: it holds only the arguments of the last part of the path.
    ours = _ARGUMENTS.union(match.extra_kwargs)  # type: ignore[attr-defined]
    foreign = {name: value for name, value in match.kwargs.items() if name not in ours}
    return reverse(
        ":".join([*match.app_names, name]),
        urlconf,
        kwargs=foreign | kwargs,
        current_app=match.namespace,
    )
