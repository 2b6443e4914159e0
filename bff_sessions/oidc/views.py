"""The endpoint at which providers end sessions: OpenID Connect Back-Channel Logout 1.0, 2.5, 2.8.

A synchronous view: what it does is a few statements through the ORM and, now and then, a request
for keys. Under ASGI Django runs it in a thread of the request's own, so that no event loop waits.
Importing this module needs nothing that is optional.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import parse_qs

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from bff_sessions import conf
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.secret import hidden_frames
from bff_sessions.stores.databases.atomic import non_atomic_requests

__all__ = ["backchannel_logout"]

logger = logging.getLogger("bff_sessions.logout")

# Bytes. A logout token has about one thousand.
_MAX_SIZE: Final = 64 * 1024
_MAX_FIELDS: Final = 20
# Seconds after which a provider that we could not ask is worth another try.
_RETRY_AFTER: Final = 10


class _BadRequest(Exception):
    """Its text goes to the provider."""


# Other requests must see what a logout writes before it ends a session.
@non_atomic_requests
@cache_control(no_store=True)
@csrf_exempt
@login_not_required
@require_POST
@sensitive_post_parameters("logout_token")
@hidden_frames()
def backchannel_logout(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """End the sessions that a provider's logout token names.

    What the path above it captures is ignored.

    200 when that is done, or there were none; 400 for a token that is refused, and 503 if the
    provider's keys cannot be had. Any other failure of ours is an exception, and so a 500.
    """
    if not conf.PROVIDERS:
        raise Http404("No provider is configured.")
    from bff_sessions.oidc.logout import end_sessions
    from bff_sessions.oidc.logout_tokens import LogoutTokenInvalid, verify_logout_token

    try:
        token = verify_logout_token(_read_token(request))
        ended = end_sessions(token)
    except (_BadRequest, LogoutTokenInvalid) as error:
        # Which of them it was, and nothing that somebody has sent.
        logger.warning("A logout was refused. %s", error)
        return _error("invalid_request", str(error), 400)
    except ProviderUnavailable as error:
        # Not an error of anybody's where a key id is unknown, which a stranger may send, too.
        level = logging.ERROR if error.retry_after is None else logging.WARNING
        logger.log(level, "A logout could not be verified. %s", error)
        response = _error("temporarily_unavailable", "The keys cannot be had.", 503)
        response["Retry-After"] = str(int(error.retry_after or _RETRY_AFTER))
        return response
    logger.info("A logout of %s ended %d sessions.", token.issuer, ended)
    return HttpResponse()


def _read_token(request: HttpRequest) -> str:
    """The one logout_token of the form.

    Raises:
        _BadRequest: if there is not exactly one.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise _BadRequest("The request must be a form (application/x-www-form-urlencoded).")
    body = request.read(_MAX_SIZE + 1)
    if len(body) > _MAX_SIZE:
        raise _BadRequest("The request is too long.")
    try:
        form = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise _BadRequest("The form of the request cannot be read.") from None
    tokens = form.get("logout_token", [])
    if len(tokens) != 1:
        raise _BadRequest("The form of the request has not exactly one logout_token.")
    return tokens[0]


def _error(code: str, description: str, status: int) -> HttpResponse:
    # RFC 6749, 5.2, to which 2.8 refers.
    return JsonResponse({"error": code, "error_description": description}, status=status)
