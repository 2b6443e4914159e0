"""Find the signing keys of a provider: JSON Web Key Set, RFC 7517."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.extras import extra
from bff_sessions.oidc.options.algorithms import ALGORITHMS
from bff_sessions.oidc.providers.sources import Source, TooEarly
from bff_sessions.oidc.transport.http import asking, get_json

with extra("oidc"):
    from jwt import PyJWK

logger = logging.getLogger("bff_sessions.logout")

_KEYS: Final = "keys"
_OF_RSA: Final = tuple(name for name in ALGORITHMS if name.startswith(("RS", "PS")))
# RFC 7518, 6, and RFC 8037, 2: the members that make a public key.
_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")
# Characters, of 6 bits each. OpenSSL verifies with up to 16,384 bits, in about a millisecond.
# FIPS 186-5, A.1.1: the public exponent has up to 256.
_LONGEST: Final = {"n": 2736, "e": 44}
# Keys of one ID. Each of them may have to verify a token, which anybody can send.
_MAX_FITTING: Final = 8


class KeySetMissing(BffSessionsError):
    """The provider has no URL of its keys, so its signatures cannot be verified."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySet:
    """The keys with which a provider signs."""

    number: int
    """The number of different keys with which the provider may sign."""
    key_ids: frozenset[str]
    """The IDs of all keys, also of those that cannot be used."""
    keys: Sequence[PyJWK]
    """The usable keys, once for each ID and algorithm."""
    has_private: bool
    """True if the provider publishes a private key, which is not usable."""

    def find(self, key_id: str | None, algorithm: str) -> Sequence[PyJWK]:
        """Return the keys of this ID, or the only key, that may have signed with `algorithm`."""
        # OpenID Connect Core 1.0, 10.1: "If there are multiple keys in the referenced JWK Set
        # document, a kid value MUST be provided in the JOSE Header."
        if key_id is None and self.number > 1:
            return ()
        return [
            key
            for key in self.keys
            if key.algorithm_name == algorithm and key_id in (None, key.key_id)
        ][:_MAX_FITTING]


class SigningKeys:
    """The provider's keys, which are read again if none of them has signed a token.

    Args:
        issuer: the provider, for the text of errors.
        find_uri: returns the URL of the keys, or None if the provider has none. It may raise
            `ProviderUnavailable`.
    """

    def __init__(self, issuer: str, find_uri: Callable[[], str | None]) -> None:
        self._issuer = issuer
        self._find_uri = find_uri
        self._source = Source(issuer, _KEYS, self._read)
        self._prefetch = threading.Lock()

    def find(self, key_id: str | None, algorithm: str) -> Iterator[PyJWK]:
        """Yield the keys that may have signed with `algorithm` under this ID.

        Stop at the one that has signed. If none of them has, the keys are read again, at most once
        in `sources.COOLDOWN`, because the provider may have replaced a key, also under the same ID.

        Args:
            key_id: None means that the token names no key. It may be the provider's only one.

        Raises:
            KeySetMissing: if the provider has no ``jwks_uri``.
            TooEarly: if they were read again too recently. Also if the ID is unknown right after
                that: the provider may sign with a new key a moment before it publishes the key.
            ProviderUnavailable: if they cannot be read.
        """
        keys = self.get()
        yield from keys.find(key_id, algorithm)
        keys = self._insist(self._source.read_again(keys))
        if key_id is not None and key_id not in keys.key_ids:
            raise TooEarly(
                f"The keys of {self._issuer} do not include {key_id!a:.120}, which may be the ID "
                "of a new key; see 'manage.py check_provider'."
            )
        yield from keys.find(key_id, algorithm)

    def get(self) -> KeySet:
        """Return all keys.

        Raises:
            KeySetMissing: if the provider has no ``jwks_uri``.
            ProviderUnavailable: if the keys cannot be read.
        """
        return self._insist(self._source.get())

    @property
    def are_known(self) -> bool:
        """True if get() need not ask the provider."""
        return self._source.is_fresh

    def prefetch(self) -> None:
        """Read the keys in a thread, without waiting, unless they are known or being read."""
        if self.are_known or not self._prefetch.acquire(blocking=False):
            return
        thread = threading.Thread(target=self._prefetch_now, name="bff_sessions keys", daemon=True)
        try:
            thread.start()
        except BaseException:
            self._prefetch.release()  # So that a later sign-in tries again.
            raise

    def _prefetch_now(self) -> None:
        try:
            self._source.get()
        except ProviderUnavailable as error:
            # No logout needs the keys yet. One that does reports the fault.
            logger.info("The keys of a provider could not be fetched in advance: %s", error)
        except Exception as error:
            logger.warning(
                "The keys of a provider could not be fetched in advance: %s", type(error).__name__
            )
        finally:
            self._prefetch.release()

    def _insist(self, keys: KeySet | None) -> KeySet:
        if keys is None:
            raise KeySetMissing(f"The provider {self._issuer} has no jwks_uri.")
        return keys

    def _read(self) -> KeySet | None:
        uri = self._find_uri()
        if uri is None:
            return None
        with asking(self._issuer, _KEYS):
            return _to_key_set(get_json(uri).get("keys"))


def _to_key_set(given: object) -> KeySet:
    keys = [key for key in given if isinstance(key, dict)] if isinstance(given, list) else []
    signing = [key for key in keys if _may_sign(key)]
    # A key that is listed twice is one key.
    different = {tuple(jwk.items()): jwk for key in signing for jwk in _spell_out(key)}
    usable = [key for key in map(_build, different.values()) if key is not None]
    has_private = any(map(_is_private, signing))
    # A provider that does not sign may still have keys for encryption.
    if not usable and (signing or not keys):
        private = " It has a private one." if has_private else ""
        raise ProviderUnavailable(f"The key set has no usable key.{private}")
    return KeySet(
        number=len({tuple(_texts(key, _PUBLIC).items()) for key in signing}),
        key_ids=frozenset(key["kid"] for key in keys if isinstance(key.get("kid"), str)),
        keys=usable,
        has_private=has_private,
    )


def _may_sign(key: dict[str, Any]) -> bool:
    """Return whether `key` may sign. Without ``use`` and ``key_ops`` it may: RFC 7517, 4.2, 4.3."""
    uses = key.get("key_ops")
    return key.get("use") in (None, "sig") and (
        uses is None or (isinstance(uses, list) and "verify" in uses)
    )


def _is_private(key: dict[str, Any]) -> bool:
    """Return whether anybody can sign with `key`, because its private part is published.

    OpenID Connect Discovery 1.0, 3: the key set "MUST NOT contain private or symmetric key values".
    """
    # PyJWT would also compute with it, for minutes if it is made for that.
    return key.get("d") is not None


def _spell_out(key: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the public key for each algorithm, because PyJWT accepts a key for one only."""
    if _is_private(key):
        return
    public, algorithm = _texts(key, (*_PUBLIC, "kid")), key.get("alg")
    if any(len(public.get(name, "")) > longest for name, longest in _LONGEST.items()):
        return
    if algorithm is None and public.get("kty") == "RSA":
        yield from ({**public, "alg": each} for each in _OF_RSA)
    elif algorithm is None:
        yield public  # The curve decides.
    elif algorithm in ALGORITHMS:
        yield {**public, "alg": algorithm}


def _texts(key: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    return {name: key[name] for name in names if isinstance(key.get(name), str)}


def _build(jwk: dict[str, str]) -> PyJWK | None:
    """Return the key; None if it cannot be used. RFC 7517, 5: ignore such a key, and no other."""
    try:
        return PyJWK(jwk)
    except Exception:  # It depends on the key, PyJWT, cryptography and OpenSSL which one.
        return None
