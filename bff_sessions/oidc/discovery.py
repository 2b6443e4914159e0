"""What a provider says of itself: OpenID Connect Discovery 1.0."""

from __future__ import annotations

import threading
import time
from typing import Any

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.http import MAX_AGE, Source, get_json

__all__ = ["Discovery"]


class Discovery:
    """The provider's configuration document, kept for `MAX_AGE`."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._source = Source(self._read)
        self._lock = threading.Lock()
        self._document: dict[str, Any] = {}
        self._until = float("-inf")

    def get(self) -> dict[str, Any]:
        """The document.

        Raises:
            ProviderUnavailable: if it cannot be had, or is somebody else's.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                self._document = self._source.fetch()
                self._until = time.monotonic() + MAX_AGE
            return self._document

    def _read(self) -> dict[str, Any]:
        # 4: "any terminating / MUST be removed prior to appending /.well-known/...".
        document = get_json(self._issuer.removesuffix("/") + "/.well-known/openid-configuration")
        # 4.3: "MUST exactly match the issuer value used".
        if document.get("issuer") != self._issuer:
            raise ProviderUnavailable("The provider's configuration names another issuer.")
        return document
