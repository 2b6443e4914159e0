"""The transmitter of the tests: it signs security event tokens with the keys of a provider."""

import time
from secrets import token_hex

from tests.support.provider import CLIENT_ID, KEYS, sign

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
OAUTH = "https://schemas.openid.net/secevent/oauth/event-type/"
SESSION_REVOKED = f"{CAEP}session-revoked"
CONTENT_TYPE = "application/secevent+jwt"


def opaque(id):
    return {"format": "opaque", "id": id}


def email(address):
    return {"format": "email", "email": address}


def complex_subject(**members):
    return {"format": "complex", **members}


class Transmitter:
    """Makes tokens of the issuer of `provider`, or of another one with the same keys."""

    typ = "secevent+jwt"

    def __init__(self, provider, issuer=None, audience=CLIENT_ID):
        self.provider, self.audience = provider, audience
        self.issuer = provider.issuer if issuer is None else issuer

    def subject(self, sub="alice"):
        return {"format": "iss_sub", "iss": self.provider.issuer, "sub": sub}

    def claims(self, event=SESSION_REVOKED, payload=None, without=(), **changes):
        """Those of a good token about alice."""
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": int(time.time()),
            "jti": token_hex(8),
            "sub_id": self.subject(),
            "events": {event: payload or {}},
        }
        claims |= changes
        return {name: value for name, value in claims.items() if name not in without}

    def token(self, *args, key=None, algorithm="RS256", headers=None, **changes):
        """A token; good, unless told otherwise. See claims()."""
        header = {"alg": algorithm, "kid": algorithm, "typ": self.typ} | (headers or {})
        return sign(header, self.claims(*args, **changes), key or KEYS[algorithm], algorithm)
