"""How this site authenticates at a provider: RFC 6749, 2.3.1; OpenID Connect Core 1.0, 9."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import quote_plus

from bff_sessions import conf
from bff_sessions.oidc.options.providers import ProviderOptions
from bff_sessions.oidc.registrations.client_keys import (
    ClientKey,
    ClientKeyInvalid,
    load_client_keys,
)
from bff_sessions.oidc.registrations.lookup import RegistrationInvalid

# RFC 7523, 2.2
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, kw_only=True)
class ClientAuthentication:
    """The credentials of this site as a client of one provider.

    Args:
        issuer: the provider.
        options: its options.
        find_endpoint: returns the URL of an endpoint, see Provider.find_endpoint().
        find_methods: returns the methods that the metadata names for an endpoint.
    """

    issuer: str
    options: ProviderOptions
    find_endpoint: Callable[[str], str | None]
    find_methods: Callable[[str], object]

    @cached_property
    def keys(self) -> Sequence[ClientKey]:
        """The keys with which this site signs, newest first; empty if it has none.

        Raises:
            RegistrationInvalid: if one of them cannot sign.
        """
        try:
            return load_client_keys(self.options.client_keys or ())
        except ClientKeyInvalid:
            place = f"{conf.place_of('PROVIDERS')}[{self.issuer!r:.120}]['CLIENT_KEYS']"
            raise RegistrationInvalid(
                f"{place} has a key that is not a private key that can sign."
            ) from None

    def of(self, endpoint: str) -> tuple[dict[str, str], str | None]:
        """Return the fields of the form and the Authorization header of a request to `endpoint`.

        Raises:
            RegistrationInvalid: if a key cannot sign.
            ProviderUnavailable: if the metadata are needed and cannot be read.
        """
        client_id, secret = self.options.client_id, self.options.client_secret
        method = self._method(endpoint)
        if method == "private_key_jwt":
            # RFC 7523, 2.2, makes client_id optional, but some servers demand it.
            return {
                "client_id": client_id,
                "client_assertion_type": _ASSERTION,
                "client_assertion": self.keys[0].assert_client(client_id, self._audience()),
            }, None
        if secret is None:
            return {"client_id": client_id}, None
        if method == "client_secret_post":
            return {"client_id": client_id, "client_secret": secret}, None
        # RFC 6749, 2.3.1: both are form-encoded first, so the only colon is the one between them.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
        return {}, f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _method(self, endpoint: str) -> str:
        method = self.options.token_endpoint_auth_method
        if method is not None:
            return method
        if self.keys:
            return "private_key_jwt"
        if self.options.client_secret is None:
            return "none"
        # RFC 8414, 2: "If omitted, the default is client_secret_basic", which every server accepts.
        methods = self.find_methods(endpoint)
        has_form_only = isinstance(methods, list) and (
            "client_secret_post" in methods and "client_secret_basic" not in methods
        )
        return "client_secret_post" if has_form_only else "client_secret_basic"

    def _audience(self) -> str:
        # OpenID Connect Core 1.0, 9: "The Audience SHOULD be the URL of the Authorization Server's
        # Token Endpoint", also of a request to another endpoint.
        if self.options.client_assertion_audience == "issuer":
            return self.issuer
        return self.find_endpoint("token_endpoint") or self.issuer
