"""The endpoint at which transmitters report security events: RFC 8935.

The view is synchronous, for the reasons of `bff_sessions.oidc.logout.views`. Importing this module
imports no optional dependency.
"""

from __future__ import annotations

import logging
from typing import Final

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
from django.views.decorators.http import require_POST

from bff_sessions._compat.django_log import log_as_info
from bff_sessions.exceptions import ProviderUnavailable, StoreUnavailable
from bff_sessions.measuring import Counted, count
from bff_sessions.oidc.registrations import may_receive_signals
from bff_sessions.repeats import error_level
from bff_sessions.secret import hidden_frames
from bff_sessions.stores.databases.atomic import non_atomic_requests
from bff_sessions.stores.databases.outages import report_outages

logger = logging.getLogger("bff_sessions.signals")

_CONTENT_TYPE: Final = "application/secevent+jwt"
# Bytes. A token has about 1,000.
_MAX_SIZE: Final = 64 * 1024
# Seconds after which the transmitter should send a token again that could not be handled.
_RETRY_AFTER: Final = 10


class _RequestInvalid(Exception):
    """The request is malformed. The transmitter gets the text."""


# Other requests must see the saved logout before a session ends.
@non_atomic_requests
@cache_control(no_store=True)
@csrf_exempt
@login_not_required
@require_POST
@hidden_frames()
def signals(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """End the sessions that a transmitter's security event token names.

    Ignore arguments that the path of an enclosing include captures.

    The status is 202 if the token is valid, whatever it does here, and also if it was sent before.
    It is 400 if the token is refused, and 503 if the transmitter's keys cannot be fetched, or the
    sessions or a database cannot be reached, or not all replicas have confirmed their end: the
    transmitter then sends the token again. Any other error propagates, as a 500.
    """
    if not may_receive_signals():
        raise Http404("No provider has SIGNALS.")
    from bff_sessions.oidc.shared_signals.handling import handle
    from bff_sessions.oidc.shared_signals.tokens import SignalInvalid, verify_signal

    try:
        token, authorization = _read_token(request), request.headers.get("Authorization", "")
        report_outages(lambda: handle(verify_signal(token, authorization)))
    except _RequestInvalid as error:
        count(Counted.SECURITY_EVENTS, "refused")
        logger.warning("A security event was refused. %s", error)
        return _error("invalid_request", str(error))
    except UnreadablePostError:
        # The transmitter has hung up, and will send the token again. No operator must act.
        return _come_back(request)
    except SignalInvalid as invalid:
        # Its text quotes nothing of the request. The detail quotes single claims.
        count(Counted.SECURITY_EVENTS, "refused")
        logger.warning("A security event was refused. %s", f"{invalid} {invalid.detail}".rstrip())
        return _error(invalid.reason.code, str(invalid))
    except ProviderUnavailable as error:
        count(Counted.SECURITY_EVENTS, "unavailable")
        # An unknown key ID has a retry_after. It is only a warning, because anybody can send one.
        level = error_level(logger, error) if error.retry_after is None else logging.WARNING
        logger.log(level, "A security event could not be verified. %s", error)
        return _come_back(request, error.retry_after)
    except StoreUnavailable as error:
        count(Counted.SECURITY_EVENTS, "unavailable")
        logger.log(
            error_level(logger, error), "A security event could not be carried out. %s", error
        )
        return _come_back(request)
    count(Counted.SECURITY_EVENTS, "accepted")
    # 2.2: the body "MUST be empty".
    return HttpResponse(status=202)


def _read_token(request: HttpRequest) -> str:
    """Return the token, which is the body.

    Raises:
        _RequestInvalid: if the request is not one of RFC 8935, 2.1.
    """
    if request.content_type != _CONTENT_TYPE:
        raise _RequestInvalid(f"The Content-Type of the request must be {_CONTENT_TYPE}.")
    body = request.read(_MAX_SIZE + 1)
    if len(body) > _MAX_SIZE:
        raise _RequestInvalid("The request is too long.")
    if not body and "Transfer-Encoding" in request.headers:
        # Under WSGI, Django reads as many bytes as this header says.
        raise _RequestInvalid("The request must have a Content-Length.")
    try:
        return body.decode("ascii").strip()
    except ValueError:
        raise _RequestInvalid("The body of the request must be ASCII.") from None


def _come_back(request: HttpRequest, retry_after: float | None = None) -> HttpResponse:
    # RFC 8935 has no error code for this. A status of 5xx asks for a repetition.
    response = HttpResponse(status=503)
    response["Retry-After"] = str(int(retry_after or _RETRY_AFTER))
    # Our own line is enough.
    log_as_info(request, response)
    return response


def _error(code: str, description: str) -> HttpResponse:
    # 2.3: 400 also if the transmitter is not authenticated, and Content-Language "MUST" be there.
    response = JsonResponse({"err": code, "description": description}, status=400)
    response["Content-Language"] = "en"
    return response
