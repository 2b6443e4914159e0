"""System checks of OpenID Providers, and of how they end sessions and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.rules import is_list
from bff_sessions.oidc.options.backchannel_logout import LogoutOptions
from bff_sessions.oidc.options.providers import ProviderOptions
from bff_sessions.oidc.options.token_revocation import RevocationOptions
from bff_sessions.oidc.registrations.registration import clients_of, find_faults

_NO_EXTRA = Fault(
    "E021",
    "BFF_SESSIONS['PROVIDERS'] needs PyJWT and requests, which are not installed.",
    "Run pip install 'django-bff-sessions[oidc]'.",
)
_TWO_SPELLINGS = Fault(
    "W021",
    "BFF_SESSIONS['PROVIDERS'] has both {issuer!r:.120} and {other!r:.120}.",
    "Keep the one that the provider sends; 'manage.py check_provider' compares them.",
)
_TWO_TRANSMITTERS = Fault(
    "E132",
    "BFF_SESSIONS['PROVIDERS'] has two transmitters with the issuer {issuer!r:.120} and the "
    "audience {audience!r:.120}.",
    "Leave SIGNALS out for one of them, or set another ISSUER or AUDIENCE in it.",
)


def check_providers() -> Iterator[CheckMessage]:
    if not conf.PROVIDERS or any(conf.SETTINGS["PROVIDERS"].find_faults("", conf.PROVIDERS)):
        return  # No provider is configured, or check_settings() reports the setting.
    if not (find_spec("jwt") and find_spec("requests")):
        yield _NO_EXTRA()
    else:
        yield from _check_client_keys()
    for issuer, given in _listed().items():
        yield from find_faults(issuer, given)
        if f"{issuer}/" in _listed():
            yield _TWO_SPELLINGS(issuer=issuer, other=f"{issuer}/")
    yield from _check_transmitters()


def _check_transmitters() -> Iterator[CheckMessage]:
    """Yield a fault for each value of ``aud`` that two transmitters of one issuer have."""
    found: set[tuple[str, str]] = set()
    for provider, given in _listed().items():
        for options in clients_of(given):
            signals = options.get("SIGNALS")
            if not isinstance(signals, dict):
                continue  # There are none, or find_faults_of() reports it.
            issuer = str(signals.get("ISSUER") or provider)
            given_audience: Any = signals.get("AUDIENCE") or options.get("CLIENT_ID")
            audiences = given_audience if is_list(given_audience) else [given_audience]
            own = {(issuer, str(audience)) for audience in audiences}
            for _, audience in sorted(own & found):
                yield _TWO_TRANSMITTERS(issuer=issuer, audience=audience)
            found |= own


def _check_client_keys() -> Iterator[CheckMessage]:
    from bff_sessions.oidc.registrations.client_keys import ClientKeyInvalid, load_client_keys

    table = ProviderOptions.table()
    for issuer, given in _listed().items():
        for index, options in enumerate(clients_of(given)):
            keys = options.get("CLIENT_KEYS")
            number = "" if options is given else f"[{index}]"
            place = f"{conf.place_of('PROVIDERS')}[{issuer!r:.120}]{number}['CLIENT_KEYS']"
            if keys is None or any(table["CLIENT_KEYS"].find_faults(place, keys)):
                continue  # There is none, or find_faults_of() reports it.
            try:
                load_client_keys(keys)
            except ClientKeyInvalid:
                yield table["CLIENT_KEYS"].refuse(place, keys)


def _listed() -> dict[str, Any]:
    """Return the providers; none if a callable returns them."""
    return conf.PROVIDERS if isinstance(conf.PROVIDERS, dict) else {}


def check_logout() -> Iterator[CheckMessage]:
    if isinstance(conf.BACKCHANNEL_LOGOUT, dict):
        place = conf.place_of("BACKCHANNEL_LOGOUT")
        yield from LogoutOptions.find_faults(place, conf.BACKCHANNEL_LOGOUT)


def check_revocation() -> Iterator[CheckMessage]:
    if isinstance(conf.TOKEN_REVOCATION, dict):
        place = conf.place_of("TOKEN_REVOCATION")
        yield from RevocationOptions.find_faults(place, conf.TOKEN_REVOCATION)
