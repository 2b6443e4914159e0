"""Seal session data into a ticket, and derive the store key from the session key.

No other module uses an encryption key. Sealed data is: format version (1 byte), key ID (8 bytes),
nonce (12 bytes), and the data under AES-256-GCM. The associated data are the bytes before the
nonce and the values that the caller binds the data to. A ticket is bound to store key, partition,
issuer, subject, session ID, user, sign-in ID and creation of its session. It opens neither after
a change of the ticket or of one of these values, nor as the ticket of another session.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from django.conf import settings
from django.utils.encoding import force_bytes

from bff_sessions import conf
from bff_sessions.exceptions import TicketUnreadable

Purpose: TypeAlias = Literal["ticket", "cache entry", "token revocation"]
"""What sealed data is for. Data of one purpose does not open for another."""
Binding: TypeAlias = Sequence[str | int | None]
"""Values that must be the same when sealed data is opened. The first one names the data: an
encryption key of its own is derived for it."""

_FORMAT: Final = b"\x02"
_KEY_ID_SIZE: Final = 8
_NONCE_SIZE: Final = 12  # NIST SP 800-38D, 8.2: 96 bits.
_HEADER_SIZE: Final = len(_FORMAT) + _KEY_ID_SIZE
_DATA: Final = _HEADER_SIZE + _NONCE_SIZE
_SHA256: Final = SHA256()
# Seconds. An old session key therefore leads to the next one for 5 to 10 seconds.
_ROTATION_PERIOD: Final = 5


def store_key(partition: str, session_key: str) -> str:
    """Return the key under which a store keeps the session: 64 hexadecimal digits.

    A session key has 160 bits of entropy, so a plain digest cannot be reversed (ticket 21076).
    """
    digest = _begin_store_key(partition).copy()
    digest.update(_length_prefixed(session_key))
    return digest.hexdigest()


@lru_cache(maxsize=16)
def _begin_store_key(partition: str) -> hashlib._Hash:
    return hashlib.sha256(_length_prefixed(b"bff_sessions store key", partition))


def next_session_keys(session_key: str) -> tuple[str, str]:
    """Return the session keys that follow `session_key` in this period and in the one before.

    All requests within five seconds get the same keys. Deriving them takes the newest encryption
    key: neither the old cookie nor the store is enough.
    """
    period = int(time.time() // _ROTATION_PERIOD)
    secret = _encryption_keys()[0].step
    now, before = (
        hmac.digest(secret, _length_prefixed(session_key, str(number)), "sha256").hex()[:40]
        for number in (period, period - 1)
    )
    return now, before


def seal(data: bytes, *, bound_to: Binding, purpose: Purpose) -> bytes:
    """Encrypt `data` with the newest encryption key.

    Args:
        bound_to: the values without which the result does not open, such as the store key.
        purpose: what the data is for.
    """
    newest = _encryption_keys()[0]
    nonce = os.urandom(_NONCE_SIZE)
    associated = _associated(newest.header, bound_to)
    cipher = _cipher(newest.secrets[purpose], str(bound_to[0]))
    return newest.header + nonce + cipher.encrypt(nonce, data, associated)


def open_sealed(sealed: bytes, *, bound_to: Binding, purpose: Purpose) -> bytes:
    """Decrypt what seal() returned for the same values and purpose.

    Raises:
        TicketUnreadable: if no configured encryption key opens it, or it was altered, or it is
            bound to other values or sealed for another purpose.
    """
    header, nonce = sealed[:_HEADER_SIZE], sealed[_HEADER_SIZE:_DATA]
    if not header.startswith(_FORMAT) or len(nonce) != _NONCE_SIZE:
        raise TicketUnreadable("The ticket has an unknown format.")
    for key in _encryption_keys():
        if key.header == header:
            associated = _associated(header, bound_to)
            cipher = _cipher(key.secrets[purpose], str(bound_to[0]))
            try:
                return cipher.decrypt(nonce, sealed[_DATA:], associated)
            except InvalidTag:
                raise TicketUnreadable(
                    "The ticket or its session was altered, or it belongs to another session."
                ) from None
    raise TicketUnreadable("The ticket needs an encryption key that is not configured.")


def is_current(ticket: bytes) -> bool:
    """Return whether `ticket` was sealed with the newest encryption key."""
    return ticket.startswith(_encryption_keys()[0].header)


class _EncryptionKey:
    """The secrets that are derived from one encryption key (RFC 5869)."""

    def __init__(self, secret: bytes) -> None:
        # Each use has a derivation of its own: the key ID is public, the others are not.
        self.header = _FORMAT + _derive(secret, "key id", _KEY_ID_SIZE)
        self.secrets = {purpose: _derive(secret, purpose, 32) for purpose in get_args(Purpose)}
        self.step = _derive(secret, "next session key", 32)


# Cached, because a request that loads a session often saves it next. The cache opens no more than
# the encryption keys do, which are in memory anyway.
@lru_cache(maxsize=64)
def _cipher(secret: bytes, name: str) -> AESGCM:
    # A key for each session puts AES-GCM's limit of 2**32 random nonces a key out of reach.
    return AESGCM(HKDFExpand(_SHA256, 32, name.encode()).derive(secret))


def _encryption_keys() -> Sequence[_EncryptionKey]:
    secrets = conf.ENCRYPTION_KEYS
    if secrets is None:
        return _derive_keys((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    # A server runs no system checks, and would encrypt with str(None).
    conf.check("ENCRYPTION_KEYS", secrets)
    return _derive_keys(tuple(secrets))


@lru_cache(maxsize=4)
def _derive_keys(secrets: tuple[str | bytes, ...]) -> Sequence[_EncryptionKey]:
    return [_EncryptionKey(force_bytes(secret)) for secret in secrets]


def _derive(secret: bytes, use: str, size: int) -> bytes:
    return HKDF(_SHA256, size, salt=None, info=f"bff_sessions {use}".encode()).derive(secret)


def _associated(header: bytes, bound_to: Binding) -> bytes:
    # Each value shows its type and where it ends, so no two bindings are the same bytes. One join,
    # because every request does this.
    values = [
        f"{len(value)}:{value}" if type(value) is str else ("-" if value is None else f"{value};")
        for value in bound_to
    ]
    return header + "".join(values).encode("utf-8", "surrogatepass")


def _length_prefixed(*parts: str | bytes) -> bytes:
    # The lengths make sure that no two lists of parts are the same bytes.
    prefixed = b""
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        prefixed += len(encoded).to_bytes(4, "big") + encoded
    return prefixed
