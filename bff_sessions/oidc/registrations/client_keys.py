"""The private keys of this site as a client: JSON Web Key, RFC 7517; assertions, RFC 7523.

OpenID Connect Core 1.0, 9, calls this way to authenticate ``private_key_jwt``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any, Final

from bff_sessions.exceptions import BffSessionsError
from bff_sessions.extras import extra
from bff_sessions.secret import hidden_frames

with extra("oidc"):
    import jwt
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from jwt import PyJWK
    from jwt.algorithms import get_default_algorithms

# Seconds. An assertion is used at once, and clocks may differ.
_LIFETIME: Final = 60
# The algorithm of a key that names none, by its type and curve.
_ALGORITHMS: Final = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "EdDSA",
    ("OKP", "Ed448"): "EdDSA",
}
# An algorithm of each type of key, whose class in PyJWT turns a key of that type into a JWK.
_FAMILIES: Final[Mapping[type, str]] = {
    RSAPrivateKey: "RS256",
    EllipticCurvePrivateKey: "ES256",
    Ed25519PrivateKey: "EdDSA",
    Ed448PrivateKey: "EdDSA",
}
# RFC 7638, 3.2; RFC 8037, 2: the members that make a thumbprint.
_REQUIRED: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}
_REQUIRED_OF_OKP: Final = ("crv", "kty", "x")


class ClientKeyInvalid(BffSessionsError):
    """A key in CLIENT_KEYS is not a private key that can sign."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientKey:
    """A private key with which this site signs."""

    key_id: str
    algorithm: str
    private: Any = field(repr=False)
    """The key, of the package cryptography."""
    public: Mapping[str, Any]
    """The public key as a JWK."""

    @classmethod
    @hidden_frames()
    def of(cls, given: Mapping[str, Any] | str) -> ClientKey:
        """Return the key in a JWK or in PEM text.

        Raises:
            ClientKeyInvalid: if it is not a private key of a type that can sign, if its ``use`` or
                ``key_ops`` is for something else, or if its ``kid`` is not a text.
        """
        try:
            jwk = dict(given) if isinstance(given, Mapping) else _from_pem(given)
            algorithm = jwk.get("alg") or _ALGORITHMS[jwk["kty"], jwk.get("crv")]
            private = PyJWK.from_dict({**jwk, "alg": algorithm}).key
            public = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
        except Exception:
            # Without the error's own text, which may quote the key.
            raise ClientKeyInvalid from None
        key_id = jwk.get("kid") or _thumbprint(public)
        if not (isinstance(key_id, str) and _may_sign(jwk)):  # RFC 7517, 4.5
            raise ClientKeyInvalid from None
        public = {
            **{name: public[name] for name in sorted(public) if name != "key_ops"},
            "kid": key_id,
            "alg": algorithm,
            "use": "sig",
        }
        return cls(key_id=key_id, algorithm=algorithm, private=private, public=public)

    @hidden_frames()
    def assert_client(self, client_id: str, audience: str) -> str:
        """Return a new assertion that this site is the client: RFC 7523, 3.

        Args:
            client_id: the client ID of this site at the provider.
            audience: what the provider expects as ``aud``.
        """
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": token_urlsafe(),
            "iat": now,
            "exp": now + _LIFETIME,
        }
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.key_id})


def load_client_keys(given: Sequence[Mapping[str, Any] | str]) -> tuple[ClientKey, ...]:
    """Return the keys of the option CLIENT_KEYS.

    Raises:
        ClientKeyInvalid: if one of them is not a private key that can sign.
    """
    return tuple(map(ClientKey.of, given))


def _may_sign(jwk: Mapping[str, Any]) -> bool:
    """Return whether `jwk` is meant for signatures: RFC 7517, 4.2 and 4.3."""
    operations = jwk.get("key_ops", ["sign"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "sign" in operations


def _from_pem(text: str) -> dict[str, Any]:
    private = load_pem_private_key(text.encode(), password=None)
    name = next(name for kind, name in _FAMILIES.items() if isinstance(private, kind))
    return dict(get_default_algorithms()[name].to_jwk(private, as_dict=True))


def _thumbprint(public: Mapping[str, Any]) -> str:
    """Return the JWK Thumbprint: RFC 7638, 3."""
    names = _REQUIRED.get(public["kty"], _REQUIRED_OF_OKP)
    members = json.dumps({name: public[name] for name in names}, separators=(",", ":"))
    digest = hashlib.sha256(members.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
