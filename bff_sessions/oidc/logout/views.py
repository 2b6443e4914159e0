"""The endpoint at which providers end sessions: OpenID Connect Back-Channel Logout 1.0, 2.5, 2.8.

The view is synchronous: it runs a few statements through the ORM and sometimes requests keys. Under
ASGI, Django runs it in the request's own thread, so the event loop does not wait. Importing this
module imports no optional dependency.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import parse_qs

from django.contrib.auth.decorators import login_not_required
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    UnreadablePostError,
)
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from bff_sessions import conf
from bff_sessions._compat.django_log import log_as_info
from bff_sessions.exceptions import ProviderUnavailable, StoreUnavailable
from bff_sessions.measuring import Counted, count
from bff_sessions.repeats import error_level
from bff_sessions.secret import hidden_frames
from bff_sessions.stores.databases.atomic import non_atomic_requests
from bff_sessions.stores.databases.outages import report_outages

logger = logging.getLogger("bff_sessions.logout")

# Bytes. A logout token has about 1,000.
_MAX_SIZE: Final = 64 * 1024
_MAX_FIELDS: Final = 20
# Seconds after which the provider should send its logout again if its keys could not be fetched.
_RETRY_AFTER: Final = 10


class _BadRequest(Exception):
    """The request is malformed. The provider gets the text."""


# Other requests must see the saved logout before a session ends.
@non_atomic_requests
@cache_control(no_store=True)
@csrf_exempt
@login_not_required
@require_POST
@sensitive_post_parameters("logout_token")
@hidden_frames()
def backchannel_logout(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """End the sessions that a provider's logout token names.

    Ignore arguments that the path of an enclosing include captures.

    The status is 200 if the sessions have ended or there were none, 400 if the token is refused,
    and 503 if the provider's keys cannot be fetched, or the sessions or a database cannot be
    reached, or not all replicas have confirmed their end: the provider then repeats the logout. Any
    other error propagates, as a 500.
    """
    if not conf.PROVIDERS:
        raise Http404("No provider is configured.")
    from bff_sessions.oidc.logout.handling import end_sessions
    from bff_sessions.oidc.logout.tokens import LogoutTokenInvalid, verify_logout_token

    try:
        given = _read_token(request)
        token = report_outages(lambda: verify_logout_token(given))
        ended = report_outages(lambda: end_sessions(token))
    except (_BadRequest, LogoutTokenInvalid) as error:
        # The texts of these errors quote nothing of the request. The details quote single claims.
        count(Counted.LOGOUT_TOKENS, "refused")
        detail = getattr(error, "detail", "")
        logger.warning("A logout was refused. %s", f"{error} {detail}".rstrip())
        return _error("invalid_request", str(error), 400)
    except UnreadablePostError:
        # The provider has hung up, and will send its logout again. No operator must act.
        return _come_back(request, "The request cannot be read.")
    except ProviderUnavailable as error:
        count(Counted.LOGOUT_TOKENS, "unavailable")
        # An unknown key ID has a retry_after. It is only a warning, because anybody can send one.
        level = error_level(logger, error) if error.retry_after is None else logging.WARNING
        logger.log(level, "A logout could not be verified. %s", error)
        return _come_back(request, "The token cannot be verified now.", error.retry_after)
    except StoreUnavailable as error:
        count(Counted.LOGOUT_TOKENS, "unavailable")
        logger.log(error_level(logger, error), "A logout could not be carried out. %s", error)
        return _come_back(request, "The sessions cannot be reached.")
    count(Counted.LOGOUT_TOKENS, "accepted")
    logger.info("A logout of %s was accepted. Sessions ended: %d.", token.issuer, ended)
    return HttpResponse()


def _read_token(request: HttpRequest) -> str:
    """Return the logout_token in the form.

    Raises:
        _BadRequest: unless the form has exactly one.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise _BadRequest("The request must be a form (application/x-www-form-urlencoded).")
    body = request.read(_MAX_SIZE + 1)
    if len(body) > _MAX_SIZE:
        raise _BadRequest("The request is too long.")
    if not body and "Transfer-Encoding" in request.headers:
        # Under WSGI, Django reads as many bytes as this header says.
        raise _BadRequest("The request must have a Content-Length.")
    try:
        form = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise _BadRequest("The form of the request cannot be read.") from None
    tokens = form.get("logout_token", [])
    if len(tokens) != 1:
        raise _BadRequest("The form of the request must have exactly one logout_token.")
    return tokens[0]


def _come_back(
    request: HttpRequest, description: str, retry_after: float | None = None
) -> HttpResponse:
    response = _error("temporarily_unavailable", description, 503)
    response["Retry-After"] = str(int(retry_after or _RETRY_AFTER))
    # Our own line is enough.
    log_as_info(request, response)
    return response


def _error(code: str, description: str, status: int) -> HttpResponse:
    # RFC 6749, 5.2, to which 2.8 refers.
    return JsonResponse({"error": code, "error_description": description}, status=status)
