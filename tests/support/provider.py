"""A provider on this machine: discovery, keys, and tokens that are really signed."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

__all__ = ["CLIENT_ID", "EVENT", "KEYS", "LocalProvider", "encode", "public_jwk"]

CLIENT_ID = "shop"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
KEYS = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "PS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def public_jwk(key, algorithm, **members):
    jwk = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return jwk | members


def encode(value):
    """A segment of a JSON Web Token."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


class LocalProvider:
    """Answers on a port of this machine; what it was asked for is in `requests`."""

    def __init__(self):
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.answer(self, b"")

            def do_POST(self):
                provider.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.configuration = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint": f"{self.issuer}/token",
            "revocation_endpoint": f"{self.issuer}/revoke",
        }
        self.keys = [
            public_jwk(key, algorithm, kid=algorithm, use="sig", alg=algorithm)
            for algorithm, key in KEYS.items()
        ]
        self.requests, self.posts = [], []
        # Instead of what it would answer, by path: (status, headers, body).
        self.answers = {}
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.005], daemon=True)
        self.thread.start()

    def answer(self, handler, body):
        self.requests.append(handler.path)
        if handler.command == "POST":
            self.posts.append((handler.headers["Authorization"], body.decode()))
        documents = {
            "/.well-known/openid-configuration": self.configuration,
            "/keys": {"keys": self.keys},
            "/token": {"access_token": "new"},
        }
        path = handler.path.removeprefix(self.issuer)
        status, headers, content = self.answers.get(
            path, (200 if path in documents else 404, {}, json.dumps(documents.get(path)).encode())
        )
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def claims(self, without=(), **changes):
        """Those of a good logout token."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 120,
            "jti": token_hex(8),
            "events": {EVENT: {}},
            "sub": "alice",
            "sid": "laptop",
        }
        claims |= changes
        return {name: value for name, value in claims.items() if name not in without}

    def token(self, *, key=None, algorithm="RS256", headers=None, without=(), **changes):
        """A logout token; good, unless told otherwise."""
        # Not through jwt.encode(), which refuses to sign some of what is to be refused.
        header = {"alg": algorithm, "kid": algorithm, "typ": "logout+jwt"} | (headers or {})
        header = {name: value for name, value in header.items() if value is not ...}
        signer = jwt.get_algorithm_by_name(algorithm)
        signed = f"{encode(header)}.{encode(self.claims(without, **changes))}"
        signature = signer.sign(signed.encode(), key or KEYS[algorithm])
        return f"{signed}.{encode(signature)}"
