"""Session data <-> ticket, session key -> store key. The only place that sees keys.

A ticket is: format version (1 byte), key id (8 bytes), nonce (12 bytes), and the session data
under AES-256-GCM. The associated data are the bytes before the nonce, the store key, the partition
and what else the caller binds: issuer, subject, session ID, user, sign-in ID and creation of the
session. A ticket that was altered, cut or copied to another row does not open, and neither does one
whose row was altered.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from django.conf import settings
from django.utils.encoding import force_bytes

from bff_sessions import conf
from bff_sessions.exceptions import TicketUnreadable

__all__ = ["is_current", "next_session_keys", "protect", "store_key", "unprotect"]

_FORMAT = b"\x02"
_KEY_ID_SIZE = 8
_NONCE_SIZE = 12  # NIST SP 800-38D, 8.2: 96 bits.
_HEADER_SIZE = len(_FORMAT) + _KEY_ID_SIZE
_DATA = _HEADER_SIZE + _NONCE_SIZE
_SHA256 = SHA256()
# Seconds. So an old session key leads to the next one for 5 to 10 seconds.
_STEP_PERIOD = 5

Bound = Sequence[str | int | None]


def store_key(partition: str, session_key: str) -> str:
    """The key under which a store keeps the session: 64 hexadecimal digits.

    A session key has 160 bits of entropy, so a plain digest cannot be reversed (ticket 21076).
    """
    digest = _begin_store_key(partition).copy()
    digest.update(_length_prefixed(session_key))
    return digest.hexdigest()


@lru_cache(maxsize=16)
def _begin_store_key(partition: str) -> hashlib._Hash:
    return hashlib.sha256(_length_prefixed(b"bff_sessions store key", partition))


def next_session_keys(session_key: str) -> tuple[str, str]:
    """Return the session keys that follow `session_key` now, and that followed a moment ago.

    The same for every request that asks within five seconds. Only who knows the newest master key
    can tell them: neither the old cookie nor the store will do.
    """
    period = int(time.time() // _STEP_PERIOD)
    secret = _masters()[0].step
    now, before = (
        hmac.digest(secret, _length_prefixed(session_key, str(number)), "sha256").hex()[:40]
        for number in (period, period - 1)
    )
    return now, before


def protect(data: bytes, *, key: str, partition: str, bound: Bound = ()) -> bytes:
    """Encrypt `data` into the ticket of the row `key`, with the newest master key.

    Args:
        bound: what else must be the same when the ticket is opened.
    """
    master = _masters()[0]
    nonce = os.urandom(_NONCE_SIZE)
    associated = _associated(master.header, key, partition, bound)
    return master.header + nonce + _cipher(master.secret, key).encrypt(nonce, data, associated)


def unprotect(ticket: bytes, *, key: str, partition: str, bound: Bound = ()) -> bytes:
    """Decrypt the ticket of the row `key`, with whichever master key made it.

    Args:
        bound: as protect() was given.

    Raises:
        TicketUnreadable: if none of the keys opens it, or it is not a ticket of this row.
    """
    header, nonce = ticket[:_HEADER_SIZE], ticket[_HEADER_SIZE:_DATA]
    if not header.startswith(_FORMAT) or len(nonce) != _NONCE_SIZE:
        raise TicketUnreadable("The ticket has an unknown format.")
    for master in _masters():
        if master.header == header:
            associated = _associated(header, key, partition, bound)
            try:
                return _cipher(master.secret, key).decrypt(nonce, ticket[_DATA:], associated)
            except InvalidTag:
                raise TicketUnreadable(
                    "The ticket or its row was altered, or it is another row's."
                ) from None
    raise TicketUnreadable("The ticket was made with a key that is not configured.")


def is_current(ticket: bytes) -> bool:
    """Whether `ticket` was made with the newest master key."""
    return ticket.startswith(_masters()[0].header)


class _Master:
    """What is derived from one master key (RFC 5869)."""

    def __init__(self, secret: bytes) -> None:
        # Each purpose has a derivation of its own: the key id is public, the others are not.
        self.header = _FORMAT + _derive(secret, b"bff_sessions key id", _KEY_ID_SIZE)
        self.secret = _derive(secret, b"bff_sessions ticket", 32)
        self.step = _derive(secret, b"bff_sessions next session key", 32)


# The request that loaded a session is about to save it. What is kept here opens no more than the
# master keys do, which are in memory anyway.
@lru_cache(maxsize=64)
def _cipher(secret: bytes, key: str) -> AESGCM:
    # One key per row puts AES-GCM's limit of 2**32 random nonces a key out of reach.
    return AESGCM(HKDFExpand(_SHA256, 32, key.encode()).derive(secret))


def _masters() -> Sequence[_Master]:
    keys = conf.ENCRYPTION_KEYS
    if keys is None:
        return _derive_masters((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    # A server runs no system checks, and would encrypt with str(None).
    conf.check("ENCRYPTION_KEYS", keys)
    return _derive_masters(tuple(keys))


@lru_cache(maxsize=4)
def _derive_masters(secrets: tuple[str | bytes, ...]) -> Sequence[_Master]:
    return [_Master(force_bytes(secret)) for secret in secrets]


def _derive(secret: bytes, purpose: bytes, size: int) -> bytes:
    return HKDF(_SHA256, size, salt=None, info=purpose).derive(secret)


def _associated(header: bytes, key: str, partition: str, bound: Bound) -> bytes:
    # Each value says what it is and where it ends. On the way of every request, so in one piece.
    values = [
        f"{len(value)}:{value}" if type(value) is str else ("-" if value is None else f"{value};")
        for value in (key, partition, *bound)
    ]
    return header + "".join(values).encode("utf-8", "surrogatepass")


def _length_prefixed(*parts: str | bytes) -> bytes:
    # Prefixed, so that no two lists of parts are the same bytes.
    prefixed = b""
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        prefixed += len(encoded).to_bytes(4, "big") + encoded
    return prefixed
