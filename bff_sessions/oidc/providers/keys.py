"""Find the signing keys of a provider: JSON Web Key Set, RFC 7517."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.extras import extra
from bff_sessions.oidc.providers.sources import Source
from bff_sessions.oidc.transport.http import asking, get_json

with extra("oidc"):
    from jwt import PyJWK, PyJWKSet
    from jwt.exceptions import PyJWTError

logger = logging.getLogger("bff_sessions.logout")

_KEYS: Final = "keys"
_OF_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class KeySetMissing(BffSessionsError):
    """The provider has no URL of its keys, so its signatures cannot be verified."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySet:
    """The keys with which a provider signs."""

    number: int
    """The number of keys with which the provider may sign."""
    keys: Sequence[PyJWK]
    """The usable keys, once for each algorithm."""

    def has(self, key_id: str) -> bool:
        return any(key.key_id == key_id for key in self.keys)

    def find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        # OpenID Connect Core 1.0, 10.1: "If there are multiple keys in the referenced JWK Set
        # document, a kid value MUST be provided in the JOSE Header."
        if key_id is None and self.number > 1:
            return None
        fitting = [
            key
            for key in self.keys
            if key.algorithm_name == algorithm and key_id in (None, key.key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None


class SigningKeys:
    """The provider's keys, which are read again if a key ID is unknown.

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

    def find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """Return the key with this ID that may have signed with `algorithm`; None if there is none.

        Without an ID, return the provider's only key if it fits `algorithm`. Also return None if
        two keys fit, because the signer cannot be decided.

        Raises:
            KeySetMissing: if the provider has no ``jwks_uri``.
            ProviderUnavailable: if the keys cannot be read. Also if the ID is unknown and the keys
                were read too recently to be read again: the ID may be that of a new key.
        """
        return self.get(key_id).find(key_id, algorithm)

    def get(self, key_id: str | None = None) -> KeySet:
        """Return all keys, with the one of this ID if the provider has it.

        Raises:
            KeySetMissing: as find().
            ProviderUnavailable: as find().
        """
        keys = self._source.get(lambda keys: keys is None or key_id is None or keys.has(key_id))
        if keys is None:
            raise KeySetMissing(f"The provider {self._issuer} has no jwks_uri.")
        return keys

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

    def _read(self) -> KeySet | None:
        uri = self._find_uri()
        if uri is None:
            return None
        with asking(self._issuer, _KEYS):
            document = get_json(uri)
            try:
                return _to_key_set([key for key in document["keys"] if isinstance(key, dict)])
            except (PyJWTError, LookupError, TypeError, ValueError):
                raise ProviderUnavailable("The key set has no usable key.") from None


def _to_key_set(keys: Sequence[dict[str, Any]]) -> KeySet:
    signing = [key for key in keys if _may_sign(key)]
    if keys and not signing:
        return KeySet(number=0, keys=())
    usable = PyJWKSet.from_dict({"keys": list(_spell_out(signing))})
    return KeySet(number=len(signing), keys=usable.keys)


def _may_sign(key: dict[str, Any]) -> bool:
    """Return whether `key` may sign. Without ``use`` and ``key_ops`` it may: RFC 7517, 4.2, 4.3."""
    uses = key.get("key_ops")
    return key.get("use") in (None, "sig") and (
        uses is None or (isinstance(uses, list) and "verify" in uses)
    )


def _spell_out(keys: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a key for each algorithm, because PyJWT accepts a key for one algorithm only."""
    for key in keys:
        if key.get("kty") == "RSA" and "alg" not in key:
            yield from ({**key, "alg": algorithm} for algorithm in _OF_RSA)
        else:
            yield key
