"""What a provider says of itself: OpenID Connect Discovery 1.0."""

from __future__ import annotations

from typing import Any, Final

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.http import NotFound, Source, asking, get_json

__all__ = ["Discovery", "get_default_url"]

_METADATA: Final = "metadata"


def get_default_url(issuer: str) -> str:
    """Return the address of the provider's metadata, unless the site names another one."""
    # 4: "any terminating / MUST be removed prior to appending /.well-known/...".
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


class Discovery:
    """The provider's metadata.

    Args:
        url: where it is; None: the provider has none.
        may_be_missing: whether nothing at `url` means that the provider has none. Otherwise it is a
            fault, as without metadata nothing would be known of the provider.
    """

    def __init__(self, issuer: str, url: str | None, *, may_be_missing: bool) -> None:
        self._issuer = issuer
        self._url = url
        self._may_be_missing = may_be_missing
        self._source = Source(issuer, _METADATA, self._read)

    def get(self) -> dict[str, Any]:
        """Return it; empty if the provider has none.

        Raises:
            ProviderUnavailable: if it cannot be read, or is that of another issuer.
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
            raise ProviderUnavailable(f"The {_METADATA} of {self._issuer} name another issuer.")
        # It has metadata: nothing at its address is a fault from now on.
        self._may_be_missing = False
        return document
