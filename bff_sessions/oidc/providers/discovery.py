"""Read the metadata of a provider: OpenID Connect Discovery 1.0."""

from __future__ import annotations

from typing import Any, Final

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.providers.sources import Source
from bff_sessions.oidc.transport.http import NotFound, asking, get_json

_METADATA: Final = "metadata"


def get_default_url(issuer: str) -> str:
    """Return the default URL of the provider's metadata."""
    # 4: "any terminating / MUST be removed prior to appending /.well-known/...".
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


class Discovery:
    """The provider's metadata.

    Args:
        url: the URL of the metadata; None if the provider has none.
        may_be_missing: whether "not found" at `url` means that the provider has no metadata. If
            False, it is a fault, because no endpoint would be known.
    """

    def __init__(self, issuer: str, url: str | None, *, may_be_missing: bool) -> None:
        self._issuer = issuer
        self._url = url
        self._may_be_missing = may_be_missing
        self._source = Source(issuer, _METADATA, self._read)

    def get(self) -> dict[str, Any]:
        """Return the metadata, which is empty if the provider has none.

        Raises:
            ProviderUnavailable: if it cannot be read, or names another issuer.
        """
        return {} if self._url is None else self._source.get()

    def _read(self) -> dict[str, Any]:
        try:
            with asking(self._issuer, _METADATA):
                document = get_json(self._url or "")
        except NotFound:
            if not self._may_be_missing:
                raise
            return {}
        # 4.3: "MUST exactly match the issuer value used".
        if document.get("issuer") != self._issuer:
            raise ProviderUnavailable(f"The {_METADATA} of {self._issuer} names another issuer.")
        # The provider has metadata, so "not found" is a fault from now on.
        self._may_be_missing = False
        return document
