"""The providers of settings.BFF_SESSIONS["PROVIDERS"]."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.options.addresses import is_secure, is_url
from bff_sessions.oidc.options.backchannel_logout import LogoutOptions, get_logout_options
from bff_sessions.oidc.options.providers import ENDPOINTS, LOGOUT, ProviderOptions
from bff_sessions.oidc.providers.discovery import Discovery, get_default_url
from bff_sessions.oidc.providers.keys import SigningKeys
from bff_sessions.oidc.registrations import Registration, find_registration, known_registrations
from bff_sessions.oidc.registrations.authentication import ClientAuthentication
from bff_sessions.oidc.transport.deadlines import time_limit
from bff_sessions.oidc.transport.http import Response, asking, post_form
from bff_sessions.secret import hidden_frames

# Seconds to wait for a provider. Longer than for keys, because a posted token cannot be sent again.
_POST_TIMEOUT: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An OpenID Provider, and a client that this site is there."""

    issuer: str
    """The provider's ``iss``, exactly."""
    client_id: str
    """The client ID under which this site is registered."""
    client_secret: str | None = field(default=None, repr=False)
    """None for a public client."""
    discovery_url: str | None
    """The URL of the metadata; None if the provider has none."""
    endpoints: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    """Configured URLs by their names in the metadata; None if there is no such endpoint."""
    options: ProviderOptions = field(hash=False)
    """All options, including those from which the attributes above derive."""

    @classmethod
    def of(cls, issuer: str, options: Mapping[str, Any]) -> Provider:
        """Return the provider of BFF_SESSIONS["PROVIDERS"][`issuer`], whose `options` are valid."""
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
        """The options of its logouts: the provider's own override those for all."""
        own = {name: getattr(self.options, name.lower()) for name in LOGOUT}
        return get_logout_options({name: own[name] for name in LOGOUT if own[name] is not None})

    @cached_property
    def keys(self) -> SigningKeys:
        """The keys with which the provider signs."""
        return SigningKeys(self.issuer, lambda: self.find_endpoint("jwks_uri"))

    @cached_property
    def authentication(self) -> ClientAuthentication:
        """How this site authenticates as a client."""
        return ClientAuthentication(
            issuer=self.issuer,
            options=self.options,
            find_endpoint=self.find_endpoint,
            find_methods=self._find_methods,
        )

    @cached_property
    def discovery(self) -> Discovery:
        """The provider's metadata."""
        may_be_missing = any(url is not None for url in self.endpoints.values())
        return Discovery(self.issuer, self.discovery_url, may_be_missing=may_be_missing)

    def has_source_of(self, other: Provider) -> bool:
        """Return whether `other`, of the same issuer, finds metadata and keys at the same URLs."""
        return (self.discovery_url, self.endpoints, self.options.allow_http) == (
            other.discovery_url,
            other.endpoints,
            other.options.allow_http,
        )

    def find_endpoint(self, name: str) -> str | None:
        """Return the URL of an endpoint: the configured one, or the one in the metadata.

        Args:
            name: as in the metadata, for example ``token_endpoint``.

        Returns:
            None if the provider has no such endpoint.

        Raises:
            ProviderUnavailable: if the metadata cannot be read now, or name a URL that is not
                secure.
        """
        if name in self.endpoints:
            return self.endpoints[name]
        url = self.discovery.get().get(name)
        if url is None or url == "":
            return None
        if not is_url(url):
            raise ProviderUnavailable(f"The {name} of the provider {self.issuer} is not a URL.")
        # Only a provider on this machine may name its services: another one must not make this site
        # send requests to them.
        is_here = url.startswith("https://") or not self.issuer.startswith("https://")
        if not (self.options.allow_http or (is_secure(url) and is_here)):
            raise ProviderUnavailable(
                f"The {name} of the provider {self.issuer} is not an https URL."
            )
        return str(url)

    async def afind_endpoint(self, name: str) -> str | None:
        """See find_endpoint()."""
        return await sync_to_async(self.find_endpoint, thread_sensitive=False)(name)

    @hidden_frames()
    def post(
        self, endpoint: str, data: Mapping[str, str], *, timeout: float = _POST_TIMEOUT
    ) -> Response:
        """Post `data` to an endpoint once, authenticated as this client.

        Args:
            endpoint: its name, as for find_endpoint().
            timeout: in seconds, for one wait. The whole call, with a request for the metadata,
                takes twice as long at most.

        Returns:
            The answer, which may be a refusal.

        Raises:
            ProviderUnavailable: if the provider does not have the endpoint, does not answer, or
                asks to try later.
        """
        with time_limit(2 * timeout):
            url = self.find_endpoint(endpoint)
            if url is None:
                raise ProviderUnavailable(f"The provider {self.issuer} has no {endpoint}.")
            own, authorization = self.authentication.of(endpoint)
            with asking(self.issuer, endpoint):
                return post_form(url, {**data, **own}, authorization=authorization, timeout=timeout)

    @hidden_frames()
    async def apost(
        self, endpoint: str, data: Mapping[str, str], *, timeout: float = _POST_TIMEOUT
    ) -> Response:
        """See post()."""
        return await sync_to_async(self.post, thread_sensitive=False)(
            endpoint, data, timeout=timeout
        )

    def _find_methods(self, endpoint: str) -> object:
        """Return how clients may authenticate, as far as the metadata says it."""
        if endpoint in self.endpoints:
            return None
        return self.discovery.get().get(f"{endpoint}_auth_methods_supported")


# The providers live as long as their registration, because their keys and metadata do.
_providers: WeakKeyDictionary[Registration, tuple[Provider, ...]] = WeakKeyDictionary()


def get_providers() -> list[Provider]:
    """Return the configured providers, once for each client.

    If BFF_SESSIONS["PROVIDERS"] names a callable, return those that this process has used lately.

    Raises:
        ImproperlyConfigured: if one of them is not configured correctly.
    """
    return [each for registration in known_registrations() for each in providers_of(registration)]


def get_provider(
    issuer: str, audience: Collection[str] | None = None, *, or_first: bool = False
) -> Provider | None:
    """Return the provider of exactly this issuer; None if it is not configured.

    Args:
        audience: the client IDs that a token names, the most important first. They decide between
            several clients. If they name none of these, return None. If `audience` itself is None,
            any client will do: return the first.
        or_first: whether to return the first client if they name none of these.

    Raises:
        ImproperlyConfigured: if the provider is not configured correctly.
        ProviderUnavailable: if it cannot be looked up now.
    """
    registration = find_registration(issuer)
    if registration is None:
        return None
    index = registration.find_client(audience)
    if index is None and not or_first:
        return None
    return providers_of(registration)[index or 0]


def providers_of(registration: Registration) -> tuple[Provider, ...]:
    """Return the provider as each client of `registration`: the same objects each time."""
    found = _providers.get(registration)
    if found is None:
        new = [Provider.of(registration.issuer, each) for each in registration.clients]
        for provider in new:
            first = next(each for each in new if each.has_source_of(provider))
            # So that one request brings metadata, or keys, for all clients.
            vars(provider).update(discovery=first.discovery, keys=first.keys)
        found = _providers.setdefault(registration, tuple(new))
    return found
