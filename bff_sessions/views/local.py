"""Check that a URL to which an endpoint or the middleware redirects belongs to this site."""

from __future__ import annotations

import unicodedata
from typing import Final

from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme

# Characters, percent-encoded. Django and the login libraries that use its check refuse longer URLs
# (django.utils.http.MAX_URL_LENGTH). Encoded again as a parameter, the longest has 6,144, and web
# servers accept request lines of 8 KB.
_MAX_LENGTH: Final = 2_048


def local_target(url: str | None) -> str | None:
    """Return the URL of this site to redirect to when a request asks for `url`, or None.

    Each redirect to a URL from a request uses this function. A URL that is too long loses its query
    and fragment.
    """
    if url is None or not is_local(url):
        return None
    path = url.partition("#")[0].partition("?")[0]
    return next((u for u in (url, path) if len(iri_to_uri(u)) <= _MAX_LENGTH), None)


def is_local(url: str) -> bool:
    """Return whether `url` is a path of this site, perhaps with query and fragment.

    This is stricter than Django's check, which it includes: the URL must not name a host, not even
    this one. It must not have control characters or backslashes, which browsers drop or read as a
    slash.
    """
    return (
        url.startswith("/")
        and "\\" not in url
        and not any(unicodedata.category(character).startswith("C") for character in url)
        # A proxy or a library that normalizes the URL turns a fullwidth slash into a plain one.
        and not unicodedata.normalize("NFKC", url[:2]).startswith(("//", "/\\"))
        # Django's check refuses long URLs, but the first characters decide whether one is foreign.
        and url_has_allowed_host_and_scheme(url[:_MAX_LENGTH], allowed_hosts=None)
    )
