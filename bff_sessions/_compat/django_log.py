"""Log a response in ``django.request`` at another level. Read in Django 5.2, 6.0 and 6.1.

Django logs each response of 500 and above as an error, and AdminEmailHandler mails it, also where
the response is a normal one. Undocumented: log_response() logs a response once, so Django leaves
out one that has been logged before.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.log import log_response


def log_as_info(request: HttpRequest, response: HttpResponse) -> None:
    """Log `response` at the level INFO, and at no other."""
    text = "%s: %s"
    log_response(
        text, response.reason_phrase, request.path, response=response, request=request, level="info"
    )
