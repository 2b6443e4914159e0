"""Encrypt and decrypt refresh tokens as django-lasuite does, with OIDC_STORE_REFRESH_TOKEN_KEY.

The format is that of `lasuite.oidc_login.backends`, version 0.1.0, which takes one Fernet key.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from bff_sessions.secret import hidden_frames

# The version 0x80, and the first bytes of the 64-bit time, which are 0 until 2106:
# https://github.com/fernet/spec/blob/master/Spec.md
_FERNET: Final = re.compile(r"gAAAAA[A-Za-z0-9_-]+={0,2}")


def read_plain(value: str) -> str:
    """Return `value`, which must not be encrypted.

    Raises:
        ValueError: if it looks like a Fernet token, possibly a damaged one.
    """
    if _FERNET.fullmatch(value):
        raise ValueError("The token is encrypted.")
    return value


@hidden_frames()
def decrypt(value: str) -> str:
    """Return the token that encrypt() encrypted. Without an encryption key, do as read_plain().

    Raises:
        ValueError: if the token cannot be read. The text does not quote it.
    """
    try:
        cipher = _get_cipher()
        return read_plain(value) if cipher is None else cipher.decrypt(value.encode()).decode()
    except (ImproperlyConfigured, InvalidToken, ValueError):
        raise ValueError("The token cannot be decrypted.") from None


@hidden_frames()
def encrypt(token: str) -> str:
    """Return `token` as django-lasuite stores it; `token` itself without an encryption key.

    Raises:
        ImproperlyConfigured: if the encryption key is not a Fernet key.
    """
    cipher = _get_cipher()
    return token if cipher is None else cipher.encrypt(token.encode()).decode()


def _get_cipher() -> Fernet | None:
    key = getattr(settings, "OIDC_STORE_REFRESH_TOKEN_KEY", None)
    if not key:
        return None
    try:
        return _make_cipher(key)
    except (TypeError, ValueError):
        raise ImproperlyConfigured("OIDC_STORE_REFRESH_TOKEN_KEY must be a Fernet key.") from None


@lru_cache(maxsize=2)
def _make_cipher(key: Any) -> Fernet:
    return Fernet(key)
