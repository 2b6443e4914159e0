"""The names in Redis, and the members of sets of hints."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from bff_sessions.contract import ANY, AnyType, UserSessionsFilter

_DIGITS: Final = frozenset("0123456789abcdef")
# How many sets of one kind a Cluster spreads over its nodes.
_SETS: Final = 64
_HINTED: Final = {"session_id": "sid", "user_id": "user", "subject_id": "subject"}
"""The fields that hints find, the most selective first, with their names in Redis."""


def from_bytes(content: bytes) -> str:
    """Return the text that to_bytes() was given."""
    try:
        return content.decode(errors="surrogatepass")
    except UnicodeDecodeError:  # Something else has written it.
        return content.decode(errors="replace")


def to_bytes(text: str) -> bytes:
    """Return a text that may have come from outside, with a lone surrogate for example."""
    return text.encode(errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class Names:
    """The names in Redis, which begin with `prefix`."""

    prefix: str

    def session(self, key: str) -> bytes:
        """Return the name of the session under the store key `key`."""
        return f"{self.prefix}session:".encode() + to_bytes(key)

    def key(self, name: bytes) -> str:
        """Return the store key of session() `name`."""
        return from_bytes(name[len(self.session("")) :])

    def pattern(self) -> str:
        """Return a pattern for SCAN, of the names of all sessions."""
        return re.sub(r"([\\*?\[\]^-])", r"\\\1", self.prefix) + "session:*"

    def kind(self, name: bytes) -> str:
        """Return what has `name`: ``session``, or a set of hints, for example ``subject``."""
        return name[len(self.prefix.encode()) :].partition(b":")[0].decode()

    def hints(self, session: Any) -> Iterator[bytes]:
        """Yield the names of the sets of hints for `session`, or for a `UserSessionsFilter`."""
        for field, kind in _HINTED.items():
            if (value := getattr(session, field)) is not None:
                digest = urlsafe_b64encode(hashlib.sha256(to_bytes(value)).digest()[:15])
                yield f"{self.prefix}{kind}:{digest.decode()}".encode()

    def expiring(self, key: str) -> bytes:
        """Return the name of the set of hints that say when sessions expire, for clean-up."""
        return self.spread("expiring")[_number(key)]

    def closed(self, key: str) -> bytes:
        """Return the name of the set of hints at closed sessions."""
        return self.spread("closed")[_number(key)]

    def spread(self, kind: str) -> list[bytes]:
        """Return the names of all sets of one kind, which a Cluster spreads over its nodes."""
        return [f"{self.prefix}{kind}:{number:02}".encode() for number in range(_SETS)]


def _number(key: str) -> int:
    return hashlib.sha256(to_bytes(key)).digest()[0] % _SETS


# A hint is: marks of partition and issuer, and the store key, in half its size if it is in
# hexadecimal digits. Redis stores short members of small sets compactly.


def write_hint(key: str, partition: str, issuer: str | None) -> bytes:
    """Return the hint at the session under the store key `key`."""
    is_hex = len(key) == 64 and not set(key) - _DIGITS
    packed = b"x" + bytes.fromhex(key) if is_hex else b"t" + to_bytes(key)
    return _mark(partition) + _mark(issuer) + packed


def key_of(hint: bytes) -> str:
    """Return the store key that `hint` names."""
    content = hint[17:]
    return content.hex() if hint[16:17] == b"x" else from_bytes(content)


def read_hint(hint: bytes, filter: UserSessionsFilter) -> str | None:
    """Return the store key that `hint` names; None if `filter` excludes it."""
    if filter.issuer is not ANY and hint[8:16] != _mark(filter.issuer):
        return None
    key = key_of(hint)
    return key if is_of(hint, filter.partition) and key != filter.exclude_key else None


def is_of(hint: bytes, partition: str | AnyType) -> bool:
    """Return whether `hint` names a session of `partition`."""
    return partition is ANY or hint[:8] == _mark(partition)


@lru_cache(maxsize=1000)
def _mark(text: str | None) -> bytes:
    return bytes(8) if text is None else hashlib.sha256(to_bytes(text)).digest()[:8]
