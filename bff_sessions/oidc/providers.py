"""The providers of settings.BFF_SESSIONS["PROVIDERS"]."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Final
from urllib.parse import quote_plus

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from bff_sessions import conf
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.addresses import is_secure, is_url
from bff_sessions.oidc.deadlines import time_limit
from bff_sessions.oidc.discovery import Discovery, get_default_url
from bff_sessions.oidc.http import Response, asking, post_form
from bff_sessions.oidc.keys import SigningKeys
from bff_sessions.oidc.options import LogoutOptions, get_logout_options
from bff_sessions.oidc.provider_options import (
    ENDPOINTS,
    LOGOUT,
    ProviderOptions,
)
from bff_sessions.secret import hidden_frames

__all__ = ["Provider", "get_provider", "get_providers"]

# Seconds for a provider to answer what only it can answer.
_POST_TIMEOUT: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An OpenID Provider at which this site is registered."""

    issuer: str
    """Its ``iss``, to the letter."""
    client_id: str
    """Under which this site is registered there."""
    client_secret: str | None = field(default=None, repr=False)
    """None for a public client."""
    discovery_url: str | None
    """Where its metadata is; None: it has none."""
    endpoints: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    """Configured addresses by their names in the metadata; None: it has no such endpoint."""
    options: ProviderOptions = field(hash=False)
    """All its options; above are those that depend on the issuer, or name this site."""

    @classmethod
    def of(cls, issuer: str, options: Mapping[str, Any]) -> Provider:
        """The provider of BFF_SESSIONS["PROVIDERS"][`issuer`], which has been checked."""
        own = ProviderOptions.of(options)
        return cls(
            issuer=issuer,
            client_id=own.client_id,
            client_secret=own.client_secret,
            discovery_url=options.get("DISCOVERY_URL", get_default_url(issuer)),
            endpoints={name.lower(): options[name] for name in ENDPOINTS if name in options},
            options=own,
        )

    @property
    def logout_options(self) -> LogoutOptions:
        """How its logout tokens are verified; its own options win over those for all."""
        own = {name: getattr(self.options, name.lower()) for name in LOGOUT}
        return get_logout_options({name: own[name] for name in LOGOUT if own[name] is not None})

    @cached_property
    def keys(self) -> SigningKeys:
        """With which it signs."""
        return SigningKeys(self.issuer, lambda: self.find_endpoint("jwks_uri"))

    @cached_property
    def discovery(self) -> Discovery:
        """What it says of itself."""
        may_be_missing = any(url is not None for url in self.endpoints.values())
        return Discovery(self.issuer, self.discovery_url, may_be_missing=may_be_missing)

    def find_endpoint(self, name: str) -> str | None:
        """Return the address of an endpoint: the configured one, or what the provider says.

        Args:
            name: as in the metadata, ``token_endpoint`` for example.

        Returns:
            None if the provider has no such endpoint, which does not change soon.

        Raises:
            ProviderUnavailable: if the provider cannot be asked now, or names an address that
                cannot be trusted.
        """
        if name in self.endpoints:
            return self.endpoints[name]
        url = self.discovery.get().get(name)
        if url is None or url == "":
            return None
        if not is_url(url):
            raise ProviderUnavailable(f"The {name} of the provider {self.issuer} is not a URL.")
        # This machine is for a provider on it: another one shall not have us call its services.
        is_here = url.startswith("https://") or not self.issuer.startswith("https://")
        if not (self.options.allow_http or (is_secure(url) and is_here)):
            raise ProviderUnavailable(f"The {name} of the provider {self.issuer} is not https.")
        return str(url)

    async def afind_endpoint(self, name: str) -> str | None:
        """See find_endpoint()."""
        return await sync_to_async(self.find_endpoint, thread_sensitive=False)(name)

    @hidden_frames()
    def post(
        self, endpoint: str, data: Mapping[str, str], *, timeout: float = _POST_TIMEOUT
    ) -> Response:
        """Post `data` to an endpoint as this client: RFC 6749, 2.3.1. Never sent twice.

        Args:
            endpoint: its name, as for endpoint().
            timeout: in seconds, for one wait. Everything together, with the question where the
                endpoint is, takes twice as long at most.

        Returns:
            What it answers, good or bad (``status_code``, ``json()``), unless it asks to wait.

        Raises:
            ProviderUnavailable: if nobody answers, or somebody who wants to be asked later; or if
                there is no such endpoint, which find_endpoint() says first.
        """
        with time_limit(2 * timeout):
            url = self.find_endpoint(endpoint)
            if url is None:
                raise ProviderUnavailable(f"The provider {self.issuer} has no {endpoint}.")
            form, authorization = {**data}, None
            if self.client_secret is None:
                form["client_id"] = self.client_id
            elif self._authenticates_by_form(endpoint):
                form |= {"client_id": self.client_id, "client_secret": self.client_secret}
            else:
                # Each of them form-encoded first, so that the colon is the one between them.
                pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
                authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
            with asking(self.issuer, endpoint):
                return post_form(url, form, authorization=authorization, timeout=timeout)

    @hidden_frames()
    async def apost(
        self, endpoint: str, data: Mapping[str, str], *, timeout: float = _POST_TIMEOUT
    ) -> Response:
        """See post()."""
        return await sync_to_async(self.post, thread_sensitive=False)(
            endpoint, data, timeout=timeout
        )

    def _authenticates_by_form(self, endpoint: str) -> bool:
        method = self.options.token_endpoint_auth_method
        if method is not None:
            return method == "client_secret_post"
        if endpoint in self.endpoints:
            return False  # RFC 6749, 2.3.1: every server takes Basic.
        # RFC 8414, 2: "If omitted, the default is client_secret_basic".
        methods = self.discovery.get().get(f"{endpoint}_auth_methods_supported")
        return isinstance(methods, list) and (
            "client_secret_post" in methods and "client_secret_basic" not in methods
        )


@cache
def get_providers() -> Mapping[str, Provider]:
    """The configured providers by their issuers.

    Raises:
        ImproperlyConfigured: if one of them is not as it has to be.
    """
    conf.check("PROVIDERS", conf.PROVIDERS)
    for issuer, options in conf.PROVIDERS.items():
        for message in ProviderOptions.find_faults_of(issuer, options):
            if message.is_serious():
                raise ImproperlyConfigured(f"{message.msg} {message.hint}")
    return {issuer: Provider.of(issuer, options) for issuer, options in conf.PROVIDERS.items()}


def get_provider(issuer: str) -> Provider | None:
    """The provider of exactly that issuer; None if none is configured.

    Raises:
        ImproperlyConfigured: as get_providers().
    """
    return get_providers().get(issuer)


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "BFF_SESSIONS":
        get_providers.cache_clear()


setting_changed.connect(_forget, dispatch_uid="bff_sessions.oidc.providers")
