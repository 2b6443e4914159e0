"""Find out whether a provider can be used as it is configured: manage.py check_provider.

Each check asks the provider, through the same functions as sign-outs and refreshes do.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.findings import Finding, Verdict, fault, ok, warning
from bff_sessions.oidc.providers import Provider
from bff_sessions.oidc.providers.keys import KeySetMissing
from bff_sessions.oidc.shared_signals.transmitters import get_transmitter
from bff_sessions.oidc.transport.http import Response, get, knock
from bff_sessions.oidc.transport.refusals import Meaning, Refusal

# Seconds: the Date header has whole ones, and an answer may take some.
_CLOCKS_AGREE: Final = 5
# The endpoints by their names in the metadata, each with what is missing without it.
_ENDPOINTS: Final = {
    "authorization_endpoint": "your login library may need it",
    "token_endpoint": "access tokens cannot be refreshed",
    "revocation_endpoint": "refresh tokens of ended sessions stay valid until they expire",
    "end_session_endpoint": "sign-out ends the session here, and not at the provider",
}


def diagnose(provider: Provider) -> Iterator[Finding]:
    """Yield what the checks of `provider` find, each as soon as it is known."""
    metadata = yield from _check_metadata(provider)
    if metadata is None:
        return  # Every other check would report the same.
    yield check_keys(provider, metadata)
    has_token_endpoint = False
    for name, loss in _ENDPOINTS.items():
        finding = _check_endpoint(provider, name, loss)
        yield finding
        if name == "token_endpoint":
            has_token_endpoint = finding.verdict is Verdict.OK
    if has_token_endpoint:
        yield _check_client(provider)
    if metadata:
        yield from _check_support(metadata)
    yield from _check_signals(provider)


def _check_metadata(provider: Provider) -> Generator[Finding, None, dict[str, Any] | None]:
    """Yield what is found of the metadata, and return it; None if it cannot be used."""
    url = provider.discovery_url
    if url is None:
        yield ok("metadata", "Not fetched, because DISCOVERY_URL is None.")
        return {}
    try:
        response = get(url)
    except ProviderUnavailable as error:
        yield fault("metadata", f"{_shown_url(url)}: {error}")
        return None
    if response.status_code in (404, 410) and any(provider.endpoints.values()):
        text = f"{_shown_url(url)} was not found, so only the configured endpoints are used."
        yield warning("metadata", text)
        return {}
    if response.status_code != 200:
        text = f"The status of {_shown_url(url)} is {response.status_code}."
        yield fault("metadata", f"{text} Compare the issuer with the provider's documentation.")
        return None
    try:
        metadata = response.json()
    except ProviderUnavailable:
        text = f"The answer of {_shown_url(url)} is not a JSON object."
        yield fault("metadata", f"{text} Is this the issuer of an OpenID Provider?")
        return None
    yield ok("metadata", _shown_url(url))
    issuer = metadata.get("issuer")
    if issuer != provider.issuer:
        text = f"BFF_SESSIONS['PROVIDERS'] has {provider.issuer!a:.120}, and the metadata names"
        yield fault("issuer", f"{text} {issuer!a:.120}. Write the issuer that it names.")
        return None
    yield ok("issuer", "The metadata names the same issuer.")
    yield _check_clock(provider, response)
    return metadata


def _check_clock(provider: Provider, response: Response) -> Finding:
    if response.time is None:
        return warning("clock", "Unknown, because the answer has no valid Date.")
    ahead, leeway = response.time - time.time(), provider.logout_options.leeway
    side = "ahead of" if ahead > 0 else "behind"
    text = f"The provider's clock is {abs(ahead):.0f} s {side} this host's; LEEWAY is {leeway:g} s."
    if abs(ahead) <= _CLOCKS_AGREE:
        return ok("clock", text)
    if abs(ahead) <= leeway:
        return warning("clock", text)
    return fault("clock", f"{text} Its logout tokens are refused.")


def check_keys(provider: Provider, metadata: dict[str, Any]) -> Finding:
    """Return whether the provider has keys that fit its options and its `metadata`."""
    try:
        keys = provider.keys.get()
    except (KeySetMissing, ProviderUnavailable) as error:
        return fault("keys", f"{error} Logout tokens cannot be verified.")
    allowed = provider.options.algorithms
    usable = list(dict.fromkeys(key.algorithm_name for key in keys.keys))
    usable = [name for name in usable if name in allowed]
    number = f"{keys.number} signing {'key' if keys.number == 1 else 'keys'}"
    if keys.has_private:
        text = "The provider publishes the private part of one, with which anybody can sign."
        return fault("keys", f"{number}. {text} It must replace that key.")
    if not usable:
        return fault("keys", f"{number}, of which none fits ALGORITHMS: {', '.join(allowed)}.")
    signs_with = metadata.get("id_token_signing_alg_values_supported")
    if isinstance(signs_with, list) and not set(map(str, signs_with)) & set(usable):
        names = ", ".join(f"{name!a:.20}" for name in signs_with[:10])
        return warning("keys", f"{number}, but the provider signs with {names}.")
    return ok("keys", f"{number}, for {', '.join(usable)}.")


def _check_signals(provider: Provider) -> Iterator[Finding]:
    """Yield whether security events can be verified, if the provider has a transmitter."""
    transmitter = get_transmitter(provider)
    if transmitter is None:
        return
    found = check_keys(transmitter.signer, {})
    text = f"{transmitter.signer.issuer}: {found.text}"
    if found.verdict is Verdict.FAULT:
        yield fault("signals", text.replace("Logout tokens", "Security events"))
        return
    audiences = ", ".join(f"{each!a:.120}" for each in transmitter.audiences)
    header = "no" if transmitter.options.authorization is None else "an"
    text += f" Expected are the aud {audiences} and {header} Authorization header."
    yield Finding("signals", found.verdict, text)


def _check_endpoint(provider: Provider, name: str, loss: str) -> Finding:
    try:
        url = provider.find_endpoint(name)
        if url is None:
            return warning(name, f"None: {loss}.")
    except ProviderUnavailable as error:
        return fault(name, str(error))
    try:
        status = knock(url)
    except ProviderUnavailable as error:
        return fault(name, f"{_shown_url(url)}: {error}")
    if status >= 500:
        return warning(name, f"{_shown_url(url)}: The status is {status}.")
    # A refusal is right, because the request has no parameters.
    return ok(name, _shown_url(url))


def _check_client(provider: Provider) -> Finding:
    """Ask for a refresh with a made-up token: the refusal says what the client is allowed to do."""
    data = {"grant_type": "refresh_token", "refresh_token": secrets.token_urlsafe()}
    try:
        response = provider.post("token_endpoint", data)
    except ProviderUnavailable as error:
        return warning("client", str(error))
    refusal = Refusal.of(response)
    secret = "CLIENT_KEYS" if provider.authentication.keys else "CLIENT_SECRET"
    if refusal.code == "invalid_client" or refusal.status == 401:
        return fault(
            "client",
            f"The provider does not accept CLIENT_ID and {secret} ({refusal}). Compare "
            "them, and TOKEN_ENDPOINT_AUTH_METHOD, with the registration there.",
        )
    if refusal.meaning is Meaning.CLIENT:
        text = f"The client is not allowed to refresh access tokens ({refusal})."
        text += " Allow it at the provider."
        return warning("client", text)
    if refusal.meaning in (Meaning.WAIT, Meaning.UNCLEAR):
        return warning("client", f"Unknown, because the provider answers with {refusal}.")
    return ok("client", "The provider accepts the client, and refuses a made-up refresh token.")


def _check_support(metadata: dict[str, Any]) -> Iterator[Finding]:
    """Yield what the metadata says: OpenID Connect Discovery 1.0, 3, and the logout drafts."""
    if metadata.get("backchannel_logout_supported") is True:
        yield ok("back-channel logout", "Supported.")
        if metadata.get("backchannel_logout_session_supported") is True:
            yield ok("sid", "Logout tokens can name one session.")
        else:
            text = (
                "The metadata does not promise a sid: a logout may end all sessions of a subject."
            )
            yield warning("sid", text)
    else:
        front = metadata.get("frontchannel_logout_supported") is True
        other = " It names front-channel logout, which bff_sessions does not use." if front else ""
        text = "The metadata does not name it: sign-out at the provider may not end sessions here."
        yield warning("back-channel logout", text + other)
    grants = metadata.get("grant_types_supported")
    # 3: "If omitted, the default value is ["authorization_code", "implicit"]", but many omit it.
    if isinstance(grants, list) and "refresh_token" not in grants:
        yield warning("refresh grant", "The metadata does not name it among the grant types.")
    elif isinstance(grants, list):
        yield ok("refresh grant", "Supported.")


def _shown_url(url: str) -> str:
    """Return `url` without its query, which may hold a secret."""
    return f"{urlunsplit(urlsplit(url)._replace(query='', fragment='')):.200}"
