"""The keys with which a provider signs: JSON Web Key Set, RFC 7517."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from jwt import PyJWK, PyJWKClient, PyJWKClientError, PyJWKSet
from jwt.exceptions import PyJWTError

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.http import MAX_AGE, Source, get_json

__all__ = ["SigningKeys"]

logger = logging.getLogger("bff_sessions.logout")

_OF_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class SigningKeys(PyJWKClient):
    """Keeps the keys for `MAX_AGE`, and looks again for one that it does not know.

    For unknown key ids it asks the provider once in 30 seconds at most, which is PyJWT's doing.
    The first fetch does not count, so that a key that comes right after it is found.

    Args:
        issuer: the provider.
        uri: tells where its keys are; may raise `ProviderUnavailable`.
    """

    def __init__(self, issuer: str, uri: Callable[[], str]) -> None:
        super().__init__(issuer, lifespan=MAX_AGE)
        self._source = Source(lambda: _read(uri()))
        self._lock = threading.Lock()
        self._prefetch = threading.Lock()
        self._fetches = 0

    def fetch_data(self) -> dict[str, Any]:
        # Not PyJWT's own, which reads answers of any length and tries again after each failure.
        fetched = self._source.fetch()
        self._fetches += 1
        return fetched

    def find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """The key of that id that may have signed with `algorithm`; None if there is none.

        Without an id, the only key for `algorithm`: OpenID Connect Core 1.0, 10.1 asks for ids
        only where there are several.

        Raises:
            ProviderUnavailable: if the keys cannot be had; or if the id is unknown and the provider
                was asked too short a time ago to ask once more: it may be that of a new key.
        """
        with self._lock:
            if key_id is not None:
                before = self._fetches
                try:
                    self.get_signing_key(key_id)  # Looks again.
                except PyJWKClientError:
                    if self._fetches > before:
                        return None
                    error = ProviderUnavailable("Its keys were asked for a moment ago.")
                    error.retry_after = self.cooldown_duration
                    raise error from None
            fitting = [
                key
                for key in self.get_jwk_set().keys
                if key.algorithm_name == algorithm
                and key.public_key_use in (None, "sig")
                and key_id in (None, key.key_id)
            ]
        return fitting[0] if len(fitting) == 1 else None

    def prefetch(self) -> None:
        """Have the keys at hand, if nobody is looking for them already. Without waiting."""
        is_fresh = self.jwk_set_cache is not None and self.jwk_set_cache.get() is not None
        if is_fresh or not self._prefetch.acquire(blocking=False):
            return
        thread = threading.Thread(target=self._prefetch_now, name="bff_sessions keys", daemon=True)
        try:
            thread.start()
        except BaseException:
            self._prefetch.release()  # Or no later sign-in tries again.
            raise

    def _prefetch_now(self) -> None:
        try:
            with self._lock:
                self.get_jwk_set()
        except ProviderUnavailable as error:
            # Nobody needs them yet; who does will say so.
            logger.info("The keys of a provider could not be fetched in advance: %s", error)
        except Exception as error:
            logger.warning(
                "The keys of a provider could not be fetched in advance: %s", type(error).__name__
            )
        finally:
            self._prefetch.release()


def _read(uri: str) -> dict[str, Any]:
    try:
        document = {"keys": list(_spell_out(get_json(uri)["keys"]))}
        PyJWKSet.from_dict(document)
    except (PyJWTError, LookupError, TypeError, ValueError, AttributeError):
        raise ProviderUnavailable("The provider's key set has no key of use.") from None
    return document


def _spell_out(keys: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Let every key name its algorithm, which PyJWT takes it for good for then, and no other."""
    for key in keys:
        if key.get("kty") == "RSA" and "alg" not in key:
            yield from ({**key, "alg": algorithm} for algorithm in _OF_RSA)
        else:
            yield key
