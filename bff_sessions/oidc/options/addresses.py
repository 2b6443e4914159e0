"""Decide which URLs and issuers are accepted. Imports no optional dependency."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from bff_sessions import conf
from bff_sessions.conf.guesses import closest
from bff_sessions.contract import MAX_TEXT

# RFC 3986, 2 and 3.1: a scheme, and the characters that a URI may have.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9%._~:/?#@!$&'()*+,;=\[\]-]+")
# Anybody can name an issuer to the endpoint of logouts, and to compare it takes time.
_MAX_COMPARED: Final = 10


def is_url(value: object) -> bool:
    """Return whether `value` is an absolute http or https URL without credentials and fragment."""
    url = _split(value)
    return url is not None and "@" not in url.netloc and not url.fragment


def is_uri(value: object) -> bool:
    """Return whether `value` is a URI with a scheme, whatever scheme it is: RFC 3986, 3."""
    return isinstance(value, str) and _URI.fullmatch(value) is not None


def is_issuer(value: object) -> bool:
    """Return whether `value` is an issuer: an absolute URL without query and fragment.

    OpenID Connect Discovery 1.0, 3.
    """
    return isinstance(value, str) and is_url(value) and "?" not in value and len(value) <= MAX_TEXT


def is_secure(value: str) -> bool:
    """Return whether the URL `value` is https or on this machine, so that requests are private."""
    url = _split(value)
    return url is not None and (url.scheme == "https" or _is_loopback(url.hostname or ""))


def explain_issuer(issuer: str) -> str:
    """Return a text about the configured issuer that is most like `issuer`.

    With more than ten issuers, it names one only if the final slash or capitals differ.
    """
    if isinstance(conf.PROVIDERS, str):
        return "The callable in BFF_SESSIONS['PROVIDERS'] returns None for it."
    name = _normalized(issuer)
    choices = [each for each in conf.PROVIDERS if _normalized(each) == name] or conf.PROVIDERS
    if len(choices) > _MAX_COMPARED:
        return f"It is not among the {len(choices)} configured issuers."
    nearest = closest(issuer, choices, likeness=0)
    if nearest is None:
        return "BFF_SESSIONS['PROVIDERS'] has no issuer."
    text = f"The nearest configured issuer is {nearest!a:.120}"
    if nearest.rstrip("/") == issuer.rstrip("/"):
        return f"{text}: only the final slash differs."
    return f"{text}."


def _normalized(issuer: object) -> str:
    return str(issuer).rstrip("/").casefold()


def _split(value: object) -> SplitResult | None:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        return None
    try:
        url = urlsplit(value)
        # Reading these attributes parses them, and raises ValueError.
        is_whole = bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return url if is_whole and url.scheme in ("http", "https") else None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
