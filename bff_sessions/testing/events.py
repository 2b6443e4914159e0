"""Send security events to the site under test, as a provider would. Needs the extra ``oidc``."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from functools import cache
from secrets import token_hex
from typing import Any, Final
from unittest import mock

from django.http import HttpResponse
from django.urls import reverse

from bff_sessions.extras import extra
from bff_sessions.oidc.options.event_types import EVENT_TYPES, STREAM_UPDATED, VERIFICATION
from bff_sessions.oidc.options.signals import to_tuple
from bff_sessions.oidc.providers import providers_of
from bff_sessions.oidc.registrations import find_registration, known_registrations
from bff_sessions.oidc.shared_signals.transmitters import Transmitter, get_transmitter

with extra("oidc"):
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

_CURVES: Final[dict[str, Any]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
    "ES256K": ec.SECP256K1,
}
_URIS: Final = {uri.rpartition("/")[2]: uri for uri in (*EVENT_TYPES, STREAM_UPDATED)}


def send_event(
    client: Any,
    event: str,
    *,
    sub: str | None = None,
    sid: str | None = None,
    payload: Mapping[str, Any] | None = None,
    subject: Mapping[str, Any] | None = None,
    issuer: str | None = None,
) -> HttpResponse:
    """Send a signed security event token to ``bff/signals``, and return the answer.

        response = send_event(client, "session-revoked", sub="alice")

    The token is verified as any other, with a key that exists for this call only. No request leaves
    the process.

    Args:
        client: a synchronous test client.
        event: the name of the event type, such as ``account-disabled``, or its URI.
        sub: the user that the event is about.
        sid: the session at the provider that the event is about.
        payload: the members of the event.
        subject: the ``sub_id``, instead of `sub` and `sid`.
        issuer: the provider. By default the first one with ``SIGNALS``.

    Raises:
        ValueError: if no provider has ``SIGNALS``, or the event has no subject.
    """
    transmitter = _find_transmitter(issuer)
    signer = transmitter.signer
    algorithm = next(iter(signer.options.algorithms))
    claims = {
        "iss": signer.issuer,
        "aud": transmitter.audiences[0],
        "iat": int(time.time()),
        "jti": token_hex(),
        "sub_id": subject or _make_subject(transmitter, sub, sid),
        "events": {_find_uri(event): dict(payload or {})},
    }
    private, public = _make_keys(algorithm)
    token = jwt.encode(claims, private, algorithm, headers={"typ": "secevent+jwt"})
    accepted = to_tuple(transmitter.options.authorization)
    headers = {"Authorization": accepted[0]} if accepted else {}
    with mock.patch.object(signer.keys, "find", lambda key_id, algorithm: iter([public])):
        response: HttpResponse = client.post(
            reverse("bff_sessions:signals"),
            token,
            content_type="application/secevent+jwt",
            headers=headers,
        )
    return response


def _find_transmitter(issuer: str | None) -> Transmitter:
    if issuer is None:
        registrations = known_registrations()
    else:
        named = find_registration(issuer)
        registrations = [] if named is None else [named]
    for provider in itertools.chain.from_iterable(map(providers_of, registrations)):
        transmitter = get_transmitter(provider)
        if transmitter is not None:
            return transmitter
    raise ValueError("No such provider in BFF_SESSIONS['PROVIDERS'] has SIGNALS.")


def _find_uri(event: str) -> str:
    return VERIFICATION[0] if event == "verification" else _URIS.get(event, event)


def _make_subject(transmitter: Transmitter, sub: str | None, sid: str | None) -> dict[str, Any]:
    issuer = next(iter(transmitter.resolver.issuers))
    members: dict[str, Any] = {}
    if sub is not None:
        members["user"] = {"format": "iss_sub", "iss": issuer, "sub": sub}
    if sid is not None:
        members["session"] = {"format": "opaque", "id": sid}
    if not members:
        raise ValueError("send_event() needs sub, sid or subject.")
    return {"format": "complex", **members}


@cache
def _make_keys(algorithm: str) -> tuple[Any, jwt.PyJWK]:
    """Return a private key for `algorithm`, and its public key."""
    private: Any
    if algorithm in _CURVES:
        private = ec.generate_private_key(_CURVES[algorithm]())
    elif algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(65537, 2048)
    to_jwk: Any = jwt.get_algorithm_by_name(algorithm)
    jwk = to_jwk.to_jwk(private.public_key(), as_dict=True)
    return private, jwt.PyJWK({**jwk, "alg": algorithm})
