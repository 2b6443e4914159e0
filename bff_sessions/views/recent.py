"""Let a view demand that the user has signed in recently, or in a certain way: RFC 9470."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import isawaitable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from bff_sessions.claims import stored_claims
from bff_sessions.contract import UserSession
from bff_sessions.engine.auth import signed_in_again
from bff_sessions.exceptions import RecentSignInRequired
from bff_sessions.identity import identify
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.sign_in.step_up import Demand, get_leeway
from bff_sessions.secret import hidden_frames
from bff_sessions.views import round_trips
from bff_sessions.views.endpoint import error, signed_in
from bff_sessions.views.login import is_page_load, login_url

logger = logging.getLogger("bff_sessions.oidc")


def recent_sign_in(
    *, max_age: int | None = None, acr: str | Iterable[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for views that need a recent, or a strong, sign-in at the provider.

    Otherwise a page load is redirected to sign-in, and ``fetch()`` gets a 401 with the challenge of
    RFC 9470. Views may be asynchronous; use ``method_decorator()`` for classes.

    Args:
        max_age: the most seconds since the user signed in at the provider (``auth_time``).
        acr: the value of the ``acr`` claim that the sign-in must have, or several that will do.

    Raises:
        TypeError: if both are absent, or have the wrong type.
        ValueError: if a value is not valid.
        PermissionDenied: (in the view) as answer().
    """
    demand = Demand.of(max_age, acr)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if _is_of_async_class(view):
                return awrapper(request, *args, **kwargs)
            response = _check(request, demand)
            return view(request, *args, **kwargs) if response is None else response

        @wraps(view)
        async def awrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            response = await sync_to_async(_check)(request, demand)
            if response is None:
                response = view(request, *args, **kwargs)
            return await response if isawaitable(response) else response

        return awrapper if iscoroutinefunction(view) else wrapper

    return decorate


@hidden_frames()
def require_recent_sign_in(
    request: HttpRequest, *, max_age: int | None = None, acr: str | Iterable[str] = ()
) -> None:
    """Do what recent_sign_in() does, inside a view or a permission class of an API framework.

    Raises:
        RecentSignInRequired: if the user must sign in again. Our middleware answers it as
            recent_sign_in() does, and answer() returns that answer.
        TypeError: as recent_sign_in().
        ValueError: as recent_sign_in().
    """
    _require(request, Demand.of(max_age, acr))


@hidden_frames()
async def arequire_recent_sign_in(
    request: HttpRequest, *, max_age: int | None = None, acr: str | Iterable[str] = ()
) -> None:
    """See require_recent_sign_in()."""
    await sync_to_async(_require)(request, Demand.of(max_age, acr))


@hidden_frames()
def answer(request: HttpRequest, required: RecentSignInRequired) -> HttpResponse:
    """Return the answer to a request whose sign-in is not recent or strong enough.

    Use it in the exception handler of a framework that does not leave errors to the middleware.

    Raises:
        PermissionDenied: if the browser has just come from the provider, which has not done what
            was demanded. It would go back and forth for ever.
    """
    demand = Demand(required.max_age, required.acr)
    if is_page_load(request):
        _refuse_round_trip(request, demand)
        target = round_trips.marked_url(request, demand) if _is_get(request) else None
        response: HttpResponse = HttpResponseRedirect(login_url(target, demand.to_parameters()))
        round_trips.note(response)
    else:
        response = _challenge(demand)
    response["Cache-Control"] = "no-store"
    return response


def _refuse_round_trip(request: HttpRequest, demand: Demand) -> None:
    current = signed_in(request)
    if current is None:
        return
    claims = _claims_of(request, current)
    leeway = get_leeway(current.issuer, claims)
    if round_trips.is_in_vain(request, demand, claims, leeway):
        log_once(
            logger,
            logging.ERROR,
            "recent_sign_in",
            current.issuer,
            "%s does not confirm a recent or strong sign-in. Does its ID token have auth_time and, "
            "if a view demands it, acr? Does the login library pass prompt, max_age and acr_values "
            "on?",
        )
        raise PermissionDenied("The provider has not confirmed the sign-in that this page needs.")


def _challenge(demand: Demand) -> HttpResponse:
    code = "insufficient_user_authentication"
    description = "A more recent or a stronger sign-in is needed."
    more: dict[str, Any] = {}
    if demand.max_age is not None:
        more["max_age"] = demand.max_age
    if demand.acr:
        more["acr_values"] = " ".join(demand.acr)
    parts = {"error": code, "error_description": description, **more}
    response = error(401, code, description, **more)
    # RFC 9470, 3. The Bearer scheme does not make browsers ask for a password.
    response["WWW-Authenticate"] = "Bearer " + ", ".join(f'{k}="{v}"' for k, v in parts.items())
    return response


@hidden_frames()
def _check(request: HttpRequest, demand: Demand) -> HttpResponse | None:
    try:
        _require(request, demand)
    except RecentSignInRequired as required:
        return answer(request, required)
    if is_page_load(request) and _is_get(request):
        url = round_trips.unmarked_url(request, demand)
        if url is not None:
            return HttpResponseRedirect(url, headers={"Cache-Control": "no-store"})
    return None


def _require(request: HttpRequest, demand: Demand) -> None:
    current = signed_in(request)
    if current is None or not demand.is_met(_claims_of(request, current), current.issuer):
        raise RecentSignInRequired(max_age=demand.max_age, acr=demand.acr)


def _claims_of(request: HttpRequest, current: UserSession) -> Mapping[str, Any]:
    """Return the claims of the ID token of the sign-in."""
    data = dict(request.session.items())
    identity = identify(data)
    if identity.issuer is None:
        # The time of a sign-in without a provider is that of its session.
        return {"auth_time": signed_in_again(data) or current.created.timestamp()}
    return stored_claims(data, identity)


def _is_get(request: HttpRequest) -> bool:
    return request.method in ("GET", "HEAD")


def _is_of_async_class(view: Any) -> bool:
    """Return whether `view` is the dispatch() of a class whose handlers are asynchronous.

    It is not a coroutine function, but returns what they return.
    """
    while view is not None:
        # method_decorator() makes a partial of the bound method.
        instance = getattr(getattr(view, "func", None), "__self__", None)
        if getattr(instance, "view_is_async", False):
            return True
        view = getattr(view, "__wrapped__", None)
    return False
