"""The transmitters of shared signals: SSF 1.0, 7."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from bff_sessions.conf import place_of
from bff_sessions.conf.rules import import_callable
from bff_sessions.oidc.options.signals import SESSION, SignalsOptions, to_tuple
from bff_sessions.oidc.providers import Provider, providers_of
from bff_sessions.oidc.registrations import (
    Registration,
    are_looked_up,
    find_registration,
    known_registrations,
)
from bff_sessions.oidc.shared_signals.subjects import Resolver

_METADATA: Final = "/.well-known/ssf-configuration"


@dataclass(frozen=True, kw_only=True)
class Transmitter:
    """The transmitter of a provider's security events."""

    provider: Provider
    """The provider whose sessions it may end."""
    signer: Provider
    """The issuer of its tokens, with its keys: often the same provider."""
    options: SignalsOptions = field(hash=False)
    resolver: Resolver = field(hash=False)
    """How its subjects are understood."""

    @property
    def audiences(self) -> tuple[str, ...]:
        """The values of ``aud`` that name this site."""
        return to_tuple(self.options.audience, self.provider.client_id)

    def accepts(self, authorization: str) -> bool:
        """Return whether `authorization`, a header, is the one that the transmitter must send."""
        expected = to_tuple(self.options.authorization)
        return not expected or any_equal(authorization, expected)


def any_equal(given: str, expected: tuple[str, ...]) -> bool:
    """Return whether `given` is one of the `expected` secrets, each compared in constant time."""
    content = given.encode("utf-8", "replace")
    return any(hmac.compare_digest(content, each.encode()) for each in expected)


def get_transmitter(provider: Provider) -> Transmitter | None:
    """Return the transmitter of `provider`; None if it has none."""
    if provider.options.signals is None:
        return None
    # It lives as long as the provider, because it has keys, too.
    kept: dict[str, Any] = vars(provider)
    transmitter: Transmitter = kept.get("transmitter") or _make(provider)
    kept["transmitter"] = transmitter
    return transmitter


def find_transmitters(issuer: object, audience: Collection[str] = ()) -> list[Transmitter]:
    """Return the transmitters whose tokens have exactly this ``iss`` and this ``aud``.

    One issuer may be the transmitter of several providers, and of several clients of one. If
    `audience`, the texts in ``aud``, names none of them, return the first alone. If
    BFF_SESSIONS["PROVIDERS"] names a callable, only transmitters with the issuer of their provider
    are found.

    Raises:
        ImproperlyConfigured: if a provider is not configured correctly.
        ProviderUnavailable: if the provider cannot be looked up now.
    """
    if not isinstance(issuer, str):
        return []
    found = [each for each in _candidates(issuer) if each.signer.issuer == issuer]
    return [each for each in found if set(audience) & set(each.audiences)] or found[:1]


def _candidates(issuer: str) -> Iterator[Transmitter]:
    if are_looked_up():
        registration = find_registration(issuer)
        registrations: Sequence[Registration] = [] if registration is None else [registration]
    else:
        registrations = known_registrations()
    for each in registrations:
        for provider in providers_of(each):
            transmitter = get_transmitter(provider)
            if transmitter is not None:
                yield transmitter


def _make(provider: Provider) -> Transmitter:
    options = SignalsOptions.of(provider.options.signals or {})
    place = f"{place_of('PROVIDERS')}[{provider.issuer!r:.120}]['SIGNALS']['EMAILS']"
    emails = options.emails
    return Transmitter(
        provider=provider,
        signer=_find_signer(provider, options),
        options=options,
        resolver=Resolver(
            issuers=to_tuple(options.subject_issuers, provider.issuer),
            opaque_is_session=options.opaque == SESSION,
            find_by_email=None if emails is None else import_callable(emails, place),
            critical=to_tuple(options.critical_members),
        ),
    )


def _find_signer(provider: Provider, options: SignalsOptions) -> Provider:
    issuer = options.issuer or provider.issuer
    algorithms = options.algorithms or provider.options.algorithms
    if options.jwks_uri is None and issuer == provider.issuer:
        if algorithms == provider.options.algorithms:
            return provider
        return replace(provider, options=replace(provider.options, algorithms=algorithms))
    own: dict[str, Any] = {
        "CLIENT_ID": provider.client_id,
        "ALGORITHMS": algorithms,
        "ALLOW_HTTP": provider.options.allow_http,
        "DISCOVERY_URL": get_metadata_url(issuer),
    }
    return Provider.of(
        issuer, own if options.jwks_uri is None else {**own, "JWKS_URI": options.jwks_uri}
    )


def get_metadata_url(issuer: str) -> str:
    """Return the URL of the metadata of the transmitter `issuer`."""
    # SSF 1.0, 7.2.1: between the host and the path, without a final slash.
    parts = urlsplit(issuer)
    return urlunsplit(parts._replace(path=_METADATA + parts.path.removesuffix("/")))
