"""Read signed JSON Web Tokens: RFC 7515, 7.1, and RFC 7519, 7.2."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from typing import Any


def read_jws(token: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a signed JSON Web Token, without verifying it.

    Libraries differ in what they accept beyond the standard: padding, a byte order mark, UTF-16,
    repeated names. Two readers could read different claims, so this function refuses all of them.

    Raises:
        ValueError: if `token` is not one. The text does not quote the token.
    """
    try:
        if not isinstance(token, str):
            raise ValueError
        header, claims, signature = token.split(".")
        if "=" in signature:
            raise ValueError
        return _read_part(header), _read_part(claims)
    except (ValueError, RecursionError):
        pass  # The text of json's error quotes the document.
    raise ValueError("it is not a signed JSON Web Token")


def _read_part(part: str) -> dict[str, Any]:
    content = b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
    # RFC 7515, 2: base64url without padding. Encoding again also finds surplus bits and the
    # letters of plain base64, both of which b64decode() accepts.
    if urlsafe_b64encode(content).decode().rstrip("=") != part:
        raise ValueError
    # RFC 8259, 8.1: UTF-8 without a byte order mark. Given bytes, json.loads() guesses.
    value = json.loads(content.decode(), object_pairs_hook=_read_object)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _read_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7515, 4, and RFC 7519, 4: names must be unique.
    value = dict(members)
    if len(value) < len(members):
        raise ValueError
    return value
