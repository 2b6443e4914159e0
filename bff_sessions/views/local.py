"""Where the endpoints and the middleware may send a browser: to pages of this site."""

from __future__ import annotations

import unicodedata
from typing import Final

from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme

__all__ = ["is_local", "local_target"]

# Characters, percent-encoded. Django and the login libraries that use its test refuse longer ones
# (django.utils.http.MAX_URL_LENGTH). Encoded once more, as a parameter, the longest is 6,144: web
# servers take request lines of 8 KB.
_MAX_LENGTH: Final = 2_048


def local_target(url: str | None) -> str | None:
    """Return where a browser that asked for `url` may be sent, or None.

    Everything that sends a browser on behalf of a request asks here. A path that is too long loses
    its query and fragment first.
    """
    if url is None or not is_local(url):
        return None
    path = url.partition("#")[0].partition("?")[0]
    return next((u for u in (url, path) if len(iri_to_uri(u)) <= _MAX_LENGTH), None)


def is_local(url: str) -> bool:
    """Return whether `url` is a path of this site, perhaps with query and fragment.

    Stricter than Django's test, which it includes: the URL names no host, not even this one. It
    has no characters that browsers drop or take for a slash: control characters, backslashes.
    """
    return (
        url.startswith("/")
        and "\\" not in url
        and not any(unicodedata.category(character).startswith("C") for character in url)
        # A fullwidth slash becomes a plain one where a proxy or a library normalizes the URL.
        and not unicodedata.normalize("NFKC", url[:2]).startswith(("//", "/\\"))
        # Its limit of length would call a long path foreign; what makes one foreign is in front.
        and url_has_allowed_host_and_scheme(url[:_MAX_LENGTH], allowed_hosts=None)
    )
