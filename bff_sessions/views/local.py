"""Where an endpoint may send a browser on behalf of who asks: to pages of this site."""

from __future__ import annotations

import unicodedata

from django.utils.http import url_has_allowed_host_and_scheme

__all__ = ["is_local"]


def is_local(url: str) -> bool:
    """Whether `url` is a path of this site, with query and fragment perhaps.

    Stricter than Django's test, which it includes: no host at all, also not this one, and nothing
    that browsers drop or take for a slash: control characters, backslashes.
    """
    return (
        url.startswith("/")
        and "\\" not in url
        and not any(unicodedata.category(character).startswith("C") for character in url)
        and url_has_allowed_host_and_scheme(url, allowed_hosts=None)
    )
