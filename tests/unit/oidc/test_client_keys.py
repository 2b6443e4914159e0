"""This site authenticates with a private key: RFC 7523; OpenID Connect Core 1.0, 9."""

import json
import time
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.core.exceptions import ImproperlyConfigured
from jwt.algorithms import get_default_algorithms

from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.registrations.client_keys import ClientKey, ClientKeyInvalid, _thumbprint
from tests.support.checks import messages, only_message

ISSUER = "https://idp.example"
RSA = rsa.generate_private_key(65537, 2048)
OTHER = ec.generate_private_key(ec.SECP256R1())


def pem(key, encryption=None):
    how = encryption or NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def jwk(key, algorithm, **more):
    value = dict(get_default_algorithms()[algorithm].to_jwk(key, as_dict=True))
    value.pop("key_ops", None)
    return value | more


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (ed448.Ed448PrivateKey.generate(), "EdDSA"),
    ],
    ids=["rsa", "p256", "p384", "p521", "ed25519", "ed448"],
)
def test_key_in_pem_or_jwk_signs(key, algorithm):
    of_pem, of_jwk = ClientKey.of(pem(key)), ClientKey.of(jwk(key, algorithm))
    assert of_pem.public == of_jwk.public
    assert of_pem.algorithm == algorithm
    token = of_pem.assert_client("shop", "https://idp.example/token")
    assert jwt.get_unverified_header(token)["kid"] == of_pem.key_id
    public = jwt.PyJWK.from_dict(dict(of_jwk.public))
    options = {"audience": "https://idp.example/token", "algorithms": [algorithm]}
    claims = jwt.decode(token, public, **options)
    assert claims["iss"] == claims["sub"] == "shop"
    assert 0 < claims["exp"] - time.time() <= 60


def test_key_id_is_the_thumbprint():
    # The example of RFC 7638, 3.1.
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    public = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert _thumbprint(public) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_jwk_names_key_id_and_algorithm():
    key = ClientKey.of(jwk(RSA, "RS256", kid="2026", alg="PS256"))
    assert (key.key_id, key.algorithm) == ("2026", "PS256")
    assert set(key.public) == {"kty", "n", "e", "kid", "alg", "use"}


UNUSABLE = {
    "empty": "",
    "text": "secret",
    "public PEM": public_pem(RSA),
    "encrypted PEM": pem(RSA, BestAvailableEncryption(b"secret")),
    "DSA": pem(dsa.generate_private_key(2048)),
    "empty JWK": {},
    "symmetric JWK": {"kty": "oct", "k": "c2VjcmV0"},
    "JWK without its exponent": {"kty": "RSA", "n": "secret"},
    "algorithm of another type": {**jwk(RSA, "RS256"), "alg": "ES256"},
    "symmetric algorithm": {**jwk(RSA, "RS256"), "alg": "HS256"},
    "no algorithm": {**jwk(RSA, "RS256"), "alg": "none"},
    "key for encryption": {**jwk(RSA, "RS256"), "use": "enc"},
    "key for decryption": {**jwk(RSA, "RS256"), "key_ops": ["decrypt"]},
    "public JWK": dict(ClientKey.of(pem(RSA)).public),
    "key ID that is a number": jwk(RSA, "RS256", kid=7),
    "None": None,
    "number": 7,
}


@pytest.mark.parametrize("given", UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_sign_is_refused_without_being_quoted(given):
    with pytest.raises(ClientKeyInvalid) as caught:
        ClientKey.of(given)
    assert str(caught.value) == "A key in CLIENT_KEYS is not a private key that can sign."
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_key_is_not_shown(configure):
    key = ClientKey.of(pem(RSA))
    assert str(key.private) not in repr(key)
    secret = jwk(OTHER, "ES256")["d"]
    assert secret not in repr(configure(CLIENT_KEYS=[jwk(OTHER, "ES256")]))


# Requests to the provider


def form_of(provider):
    header, body = provider.posts[-1]
    assert header is None
    return {name: value for name, (value,) in parse_qs(body).items()}


def claims_of(form, audience):
    key = ClientKey.of(pem(RSA))
    return jwt.decode(
        form["client_assertion"],
        jwt.PyJWK.from_dict(dict(key.public)),
        algorithms=["RS256"],
        audience=audience,
    )


def test_first_key_signs_each_request_anew(provider, configure):
    configured = configure(CLIENT_KEYS=[pem(RSA), pem(OTHER)], CLIENT_SECRET="secret")
    forms = []
    for _ in range(2):
        configured.post("token_endpoint", {"grant_type": "refresh_token"})
        forms.append(form_of(provider))
    assert forms[0].keys() == {
        "grant_type",
        "client_id",
        "client_assertion_type",
        "client_assertion",
    }
    # RFC 7523, 2.2
    type_ = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert forms[0]["client_assertion_type"] == type_
    first, second = (claims_of(form, f"{provider.issuer}/token") for form in forms)
    assert first["jti"] != second["jti"]


def test_audience_is_the_token_endpoint_also_of_a_revocation(provider, configure):
    configure(CLIENT_KEYS=[pem(RSA)]).post("revocation_endpoint", {"token": "t"})
    assert claims_of(form_of(provider), f"{provider.issuer}/token")


def test_audience_may_be_the_issuer(provider, configure):
    options = {"CLIENT_KEYS": [pem(RSA)], "CLIENT_ASSERTION_AUDIENCE": "issuer"}
    configure(**options).post("token_endpoint", {})
    assert claims_of(form_of(provider), provider.issuer)


def test_another_method_comes_before_the_keys(provider, configure):
    configured = configure(
        CLIENT_KEYS=[pem(RSA)],
        CLIENT_SECRET="s",
        TOKEN_ENDPOINT_AUTH_METHOD="client_secret_post",
    )
    configured.post("token_endpoint", {})
    assert form_of(provider) == {"client_id": "shop", "client_secret": "s"}


def test_key_that_cannot_sign_names_its_setting(provider, configure):
    configured = configure(CLIENT_KEYS=["secret"])
    with pytest.raises(ImproperlyConfigured) as caught:
        configured.post("token_endpoint", {})
    assert str(caught.value) == (
        f"BFF_SESSIONS['PROVIDERS'][{provider.issuer!r}]['CLIENT_KEYS'] has a key that is not a "
        "private key that can sign."
    )
    assert provider.posts == []


# The public keys


def test_public_keys_of_all_providers_are_published(client, settings):
    options = {"CLIENT_ID": "shop"}
    settings.ROOT_URLCONF = "tests.support.oidc_urls"
    settings.BFF_SESSIONS = {
        "PROVIDERS": {
            ISSUER: options | {"CLIENT_KEYS": [pem(RSA), pem(OTHER)]},
            "https://b.example": options | {"CLIENT_KEYS": [pem(RSA)]},
            "https://c.example": options,
        }
    }
    response = client.get("/bff/jwks")
    keys = get_provider(ISSUER).authentication.keys
    assert response.json() == {"keys": [dict(key.public) for key in keys]}
    assert all(
        key.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi"})
        for key in json.loads(response.content)["keys"]
    )
    assert "max-age=300" in response["Cache-Control"]
    assert not response.cookies
    assert client.post("/bff/jwks").status_code == 405


def test_two_keys_with_one_key_id_are_both_published(client, settings):
    settings.ROOT_URLCONF = "tests.support.oidc_urls"
    keys = {ISSUER: jwk(RSA, "RS256", kid="1"), "https://b.example": jwk(OTHER, "ES256", kid="1")}
    settings.BFF_SESSIONS = {
        "PROVIDERS": {
            issuer: {"CLIENT_ID": "shop", "CLIENT_KEYS": [key]} for issuer, key in keys.items()
        }
    }
    published = client.get("/bff/jwks").json()["keys"]
    assert [(key["kid"], key["alg"]) for key in published] == [("1", "RS256"), ("1", "ES256")]


@pytest.mark.parametrize("providers", [{}, {ISSUER: {"CLIENT_ID": "shop"}}])
def test_site_without_keys_publishes_none(client, settings, providers):
    settings.ROOT_URLCONF = "tests.support.oidc_urls"
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    assert client.get("/bff/jwks").status_code == 404


# Checks


def provide(settings, **options):
    settings.BFF_SESSIONS = {"PROVIDERS": {ISSUER: {"CLIENT_ID": "shop"} | options}}


@pytest.mark.parametrize("keys", [[pem(RSA)], (jwk(OTHER, "ES256"),), [pem(RSA), pem(OTHER)], None])
def test_good_keys_are_silent(settings, keys):
    provide(settings, CLIENT_KEYS=keys)
    assert messages() == []


@pytest.mark.parametrize(
    "keys",
    [[], {}, "secret", [None], [b"secret"], ["secret"], [{"k": "secret"}]],
    ids=["empty", "dictionary", "text", "None", "bytes", "no PEM", "no JWK"],
)
def test_keys_that_cannot_sign_are_e047(settings, keys):
    provide(settings, CLIENT_KEYS=keys)
    assert "secret" not in str(only_message("E047"))


@pytest.mark.parametrize("audience", ["", None, "token", ["issuer"]])
def test_unknown_audience_is_e048(settings, audience):
    provide(settings, CLIENT_ASSERTION_AUDIENCE=audience)
    only_message("E048")


def test_method_without_its_keys_is_e049(settings):
    provide(settings, TOKEN_ENDPOINT_AUTH_METHOD="private_key_jwt")
    only_message("E049")
