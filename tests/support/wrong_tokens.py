"""Security event tokens that are wrong, whatever their kind is.

Each is made by a function of the provider, or of the transmitter, that signs a good one.
"""

import json

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.provider import CLIENT_ID, KEYS, encode, public_jwk

FORGED = rsa.generate_private_key(65537, 2048)


def pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def hmac(provider, secret, algorithm="HS256", **header):
    """Signed with a shared secret; by hand, as PyJWT refuses to sign with a public key."""
    text = (
        f"{encode({'alg': algorithm, 'typ': provider.typ, **header})}.{encode(provider.claims())}"
    )
    signer = jwt.get_algorithm_by_name(algorithm)
    return f"{text}.{encode(signer.sign(text.encode(), secret))}"


def changed(token, segment, change):
    """`token` with another content of one segment, under the same signature."""
    segments = token.split(".")
    content = jwt.utils.base64url_decode(segments[segment])
    segments[segment] = encode(change(json.loads(content)))
    return ".".join(segments)


def signature_of(token):
    return jwt.utils.base64url_decode(token.rpartition(".")[2])


def signed(token, change):
    """`token` with another signature."""
    return f"{token.rpartition('.')[0]}.{encode(change(signature_of(token)))}"


def raw(provider, header, payload):
    """Whatever it is, well signed."""
    return sign(f"{encode(header)}.{encode(payload)}")


def sign(text):
    signature = jwt.get_algorithm_by_name("RS256").sign(text.encode(), KEYS["RS256"])
    return f"{text}.{encode(signature)}"


HEADER = {"alg": "RS256", "kid": "RS256"}


def claim(provider, name, value):
    if value is ...:
        return provider.token(without=[name])
    return provider.token(**{name: value})


def padded(content):
    """A segment of JSON with two characters of padding."""
    text = json.dumps(content)
    return f"{encode(text.encode() + b' ' * ((1 - len(text)) % 3))}=="


def twice(content, name):
    """An object that names a member twice, with the same value."""
    return f'{{"{name}": {json.dumps(content[name])}, {json.dumps(content)[1:]}'.encode()


# What PyJWT reads although the specifications do not allow it, in header or payload.
LOOSE = {
    "padded": padded,
    **{
        encoding: lambda content, e=encoding: encode(json.dumps(content).encode(e))
        for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")
    },
}

# Not a token
MALFORMED = {
    "empty": lambda p: "",
    "a word": lambda p: "hello",
    "one segment short": lambda p: p.token().rpartition(".")[0],
    "one segment more": lambda p: p.token() + ".e30",
    "encrypted (five segments)": lambda p: p.token() + ".e30.e30",
    "characters outside of base64url": lambda p: p.token().replace(".", ".!", 1),
    "not ASCII": lambda p: p.token() + "ü",
    "signature with a bit too much": lambda p: p.token()[:-1] + "_",
    "header is no JSON": lambda p: raw(p, b"{", p.claims()),
    "header is a list": lambda p: raw(p, [], p.claims()),
    "header of deep lists": lambda p: raw(p, b"[" * 9_000, p.claims()),
    "payload is no JSON": lambda p: raw(p, HEADER, b"{"),
    "payload is a list": lambda p: raw(p, HEADER, []),
    "payload of deep lists": lambda p: raw(p, HEADER, b"[" * 9_000),
    "payload is no UTF-8": lambda p: raw(p, HEADER, b"\xff"),
    "payload of a number with 5,000 digits": lambda p: raw(p, HEADER, b"1" * 5_000),
    "kid is a number": lambda p: p.token(headers={"kid": 1}),
    "kid is null": lambda p: p.token(headers={"kid": None}),
    "a critical extension": lambda p: p.token(headers={"crit": ["exp"], "exp": 1}),
    "an empty crit": lambda p: p.token(headers={"crit": []}),
    **{
        f"header is {name}": lambda p, f=spoil: sign(f"{f(HEADER)}.{encode(p.claims())}")
        for name, spoil in LOOSE.items()
    },
    **{
        f"payload is {name}": lambda p, f=spoil: sign(f"{encode(HEADER)}.{f(p.claims())}")
        for name, spoil in LOOSE.items()
    },
    "padded signature": lambda p: p.token() + "==",
    "plain base64": lambda p: sign(
        f"{encode(HEADER)}.{encode(p.claims(sub='>>>???')).translate({45: 43, 95: 47})}"
    ),
    "header names alg twice": lambda p: raw(p, twice(HEADER, "alg"), p.claims()),
    "payload names jti twice": lambda p: raw(p, HEADER, twice(p.claims(), "jti")),
    "payload is not encoded (b64)": lambda p: p.token(headers={"b64": False, "crit": ["b64"]}),
}
ALGORITHM = {
    "none": lambda p: f"{encode({'alg': 'none', 'typ': p.typ})}.{encode(p.claims())}.",
    "NONE": lambda p: f"{encode({'alg': 'NONE', 'typ': p.typ})}.{encode(p.claims())}.",
    "none, with a signature": lambda p: p.token(headers={"alg": "none"}),
    "no alg": lambda p: p.token(headers={"alg": ...}),
    "alg is null": lambda p: p.token(headers={"alg": None}),
    "alg is a list": lambda p: p.token(headers={"alg": ["RS256"]}),
    "alg is an object": lambda p: p.token(headers={"alg": {"RS256": 1}}),
    "alg is a number": lambda p: p.token(headers={"alg": 256}),
    "alg in small letters": lambda p: p.token(headers={"alg": "rs256"}),
    "HMAC with the public key": lambda p: hmac(p, pem(KEYS["RS256"]), kid="RS256"),
    "HMAC with the client secret": lambda p: hmac(p, b"s" * 64),
    "HMAC with the client id": lambda p: hmac(p, CLIENT_ID.encode(), "HS512"),
    "HMAC with nothing": lambda p: hmac(p, b""),
    "an unknown one": lambda p: p.token(headers={"alg": "XS256"}),
    "one that is not in use (ES256K)": lambda p: p.token(headers={"alg": "ES256K"}),
}
ISSUER = {
    "absent": lambda p: p.token(without=["iss"]),
    "null": lambda p: p.token(iss=None),
    "empty": lambda p: p.token(iss=""),
    "a list": lambda p: p.token(iss=[p.issuer]),
    "a number": lambda p: p.token(iss=1),
    "somebody else": lambda p: p.token(iss="https://idp.example"),
    "with a slash more": lambda p: p.token(iss=p.issuer + "/"),
    "in capitals": lambda p: p.token(iss=p.issuer.upper()),
    "with a blank more": lambda p: p.token(iss=p.issuer + " "),
}
KEY = {
    "kid of a key for another algorithm": lambda p: p.token(headers={"kid": "ES256"}),
    "RSA key that is for PS256 only": lambda p: p.token(
        key=KEYS["PS256"], headers={"kid": "PS256"}
    ),
    "no kid, and several keys": lambda p: p.token(headers={"kid": ...}),
    "no kid, and no key for the algorithm": lambda p: p.token(
        algorithm="RS512", key=FORGED, headers={"kid": ...}
    ),
}
# Of a key that the provider may publish soon.
UNKNOWN_KEY = {
    "unknown kid": lambda p: p.token(headers={"kid": "unknown"}),
    "empty kid": lambda p: p.token(headers={"kid": ""}),
    "a key of the token's own (jwk)": lambda p: p.token(
        key=FORGED, headers={"kid": "forged", "jwk": public_jwk(FORGED, "RS256")}
    ),
    "a key set of the token's own (jku)": lambda p: p.token(
        key=FORGED, headers={"kid": "forged", "jku": "https://forged.example/keys"}
    ),
}
SIGNATURE = {
    "by another RSA key": lambda p: p.token(key=FORGED),
    "by another EC key": lambda p: p.token(
        algorithm="ES256", key=ec.generate_private_key(ec.SECP256R1())
    ),
    "absent": lambda p: p.token().rpartition(".")[0] + ".",
    "of another token": lambda p: signed(p.token(), lambda _: signature_of(p.token())),
    "cut off": lambda p: signed(p.token(), lambda signature: signature[:-1]),
    "sub changed": lambda p: changed(p.token(sub="bob"), 1, lambda c: c | {"sub": "alice"}),
    "header changed": lambda p: changed(p.token(), 0, lambda h: h | {"cty": "JWT"}),
    # Kid and key of the algorithm that it pretends: what remains is the signature.
    "PS256 told to be RS256": lambda p: p.token(
        algorithm="PS256", key=KEYS["RS256"], headers={"alg": "RS256", "kid": "RS256"}
    ),
    "ES256 with r and s of zero": lambda p: signed(p.token(algorithm="ES256"), lambda _: bytes(64)),
}
AUDIENCE = {
    "absent": lambda p: p.token(without=["aud"]),
    "null": lambda p: p.token(aud=None),
    "empty": lambda p: p.token(aud=""),
    "an empty list": lambda p: p.token(aud=[]),
    "somebody else": lambda p: p.token(aud="another"),
    "a list of others": lambda p: p.token(aud=["another", "a third"]),
    "in capitals": lambda p: p.token(aud="SHOP"),
    "a longer one": lambda p: p.token(aud="shop-2"),
    "several in a text": lambda p: p.token(aud="shop another"),
    "a list in a list": lambda p: p.token(aud=[[CLIENT_ID]]),
    "an object": lambda p: p.token(aud={CLIENT_ID: True}),
    "the issuer": lambda p: p.token(aud=p.issuer),
}
NO_NUMBERS = {
    "absent": ...,
    "null": None,
    "a text": "1999999999",
    "true": True,
    "a list": [1999999999],
    "NaN": float("nan"),
    "infinity": float("inf"),
    "negative": -1,
    "in milliseconds": 1_999_999_999_000,
}
ID = {
    "absent": lambda p: p.token(without=["jti"]),
    "null": lambda p: p.token(jti=None),
    "empty": lambda p: p.token(jti=""),
    "a number": lambda p: p.token(jti=1),
    "a list": lambda p: p.token(jti=["1"]),
}
ISSUED = {name: lambda p, v=value: claim(p, "iat", v) for name, value in NO_NUMBERS.items()}
