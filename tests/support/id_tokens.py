"""ID tokens as a login library keeps them."""

import base64
import json


def id_token(claims):
    """As a provider makes it, and as it is when nobody looks at the signature any more."""
    return ".".join(encode(part) for part in (b'{"alg":"RS256"}', json.dumps(claims), b"signature"))


def encode(part):
    part = part if isinstance(part, bytes) else part.encode()
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
