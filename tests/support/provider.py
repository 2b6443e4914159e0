"""The OpenID Provider of the tests: real HTTP, signed logout tokens, and tokens that rotate."""

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex, token_urlsafe
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from bff_sessions.oidc.registrations import lookup

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "EVENT",
    "KEYS",
    "Provider",
    "encode",
    "forget_keys",
    "make_id_token",
    "public_jwk",
    "serve",
    "sign",
]

CLIENT_ID, CLIENT_SECRET = "shop", "a secret: of the client that is long enough"
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


def sign(header, claims, key, algorithm):
    """A token with this header, without the members that are ``...``."""
    # Not through jwt.encode(), which refuses to sign some of what is to be refused.
    header = {name: value for name, value in header.items() if value is not ...}
    signed = f"{encode(header)}.{encode(claims)}"
    signature = jwt.get_algorithm_by_name(algorithm).sign(signed.encode(), key)
    return f"{signed}.{encode(signature)}"


def make_id_token(**claims):
    """Return an ID token as a login library keeps it; nothing verifies its signature again."""
    return f"{encode({'alg': 'RS256'})}.{encode(claims)}.c2lnbmF0dXJl"


def forget_keys():
    """Forget all providers with their keys. A process does not read keys again at once."""
    lookup._entries.clear()


class _Server(ThreadingHTTPServer):
    request_queue_size = 100


class Provider:
    """Answers on a port of this machine, rotates refresh tokens, and records what it was asked for.

    When a refresh token is used twice, its whole family of tokens is void.
    """

    typ = "logout+jwt"

    def __init__(self):
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.answer(self, b"")

            def do_POST(self):
                provider.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *args):
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.configuration = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "revocation_endpoint": f"{self.issuer}/revocation",
        }
        self.keys = [
            public_jwk(key, algorithm, kid=algorithm, use="sig", alg=algorithm)
            for algorithm, key in KEYS.items()
        ]
        # What it was asked for: paths; the header and the body of forms; path, form and headers.
        self.requests, self.posts, self.forms = [], [], []
        # Of tokens to their families.
        self.access_tokens, self.refresh_tokens, self.spent = {}, {}, {}
        self.void, self.refreshed, self.revoked, self.secrets = set(), [], [], []
        # Of codes to claims, and of access tokens of the code flow to subjects.
        self._codes, self._users = {}, {}
        # What a test may change.
        self.email_verified = True
        self.more_claims = {}  # Of ID tokens.
        self.auth_time = int(time.time()) - 5
        self.expires_in = 300
        self.rotates = True
        self.issues_refresh_tokens = True  # At sign-in.
        self.delay = 0
        self.answers = {}  # Path to (status, headers, body), instead of the right answer.
        self.before = {}  # Path to a function of the form, called before the answer.
        self._lock = threading.Lock()
        self._number = 0
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.005], daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def options(self):
        return {"CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}

    @property
    def settings(self):
        return {"PROVIDERS": {self.issuer: self.options}}

    def answer(self, handler, body):
        path = handler.path.removeprefix(self.issuer)
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        with self._lock:
            self.requests.append(handler.path)
            self.forms.append((path, form, dict(handler.headers)))
            if handler.command == "POST":
                self.posts.append((handler.headers["Authorization"], body.decode()))
        if path in self.before:
            self.before[path](form)
        time.sleep(self.delay)
        # One look: a test may change the answers at any time.
        answer = self.answers.get(path)
        status, headers, content = answer or self._right_answer(path, form, handler.headers)
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        try:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)
        except OSError:
            pass  # The client has hung up.

    def _right_answer(self, path, form, headers):
        documents = {
            "/.well-known/openid-configuration": self.configuration,
            "/keys": {"keys": self.keys},
        }
        if path in documents:
            return 200, {}, documents[path]
        if path == "/userinfo":
            return 200, {}, self._userinfo(headers["Authorization"].removeprefix("Bearer "))
        if path not in ("/token", "/revocation"):
            return 404, {}, None
        if form.get("grant_type") == "authorization_code":
            return self._redeem(form)
        if not headers.get("Authorization", "").startswith("Basic "):
            return 401, {}, {"error": "invalid_client"}
        with self._lock:
            if path == "/token":
                return self._refresh(form)
            self.revoked.append(form["token"])
            self.refresh_tokens.pop(form["token"], None)
            return 200, {}, ""

    # Sign-in with a code

    def authorize(self, url, *, sub, sid=None):
        """Return where the user `sub` goes who signs in at `url`, where the library led them."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert query["client_id"] == CLIENT_ID
        code = token_urlsafe()
        claims = {"sub": sub, "nonce": query.get("nonce")}
        self._codes[code] = claims if sid is None else claims | {"sid": sid}
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def sign_id_token(self, claims):
        now = int(time.time())
        times = {"auth_time": self.auth_time, "iat": now, "exp": now + 60}
        payload = {"iss": self.issuer, "aud": CLIENT_ID, **times, **self.more_claims, **claims}
        return jwt.encode(payload, KEYS["RS256"], algorithm="RS256", headers={"kid": "RS256"})

    def _redeem(self, form):
        client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        if not client.items() <= form.items() or form["code"] not in self._codes:
            return 400, {}, {"error": "invalid_grant"}
        claims = self._codes.pop(form["code"])
        with self._lock:
            given = self._issue(family=f"{claims['sub']}-{len(self.access_tokens)}")
        self._users[given["access_token"]] = claims["sub"]
        if not self.issues_refresh_tokens:
            del given["refresh_token"]
        if self.expires_in is not None:
            given["expires_in"] = self.expires_in
        tokens = {"id_token": self.sign_id_token(claims), "token_type": "Bearer", **given}
        return 200, {"Content-Type": "application/json"}, tokens

    def _userinfo(self, access_token):
        sub = self._users[access_token]
        name = {"preferred_username": sub, "email": f"{sub}@shop.example"}
        return {"sub": sub, "email_verified": self.email_verified, **name}

    # Tokens of sessions

    def sign_in(self, *, expires_in=None, sub="alice", **more):
        """Return what a session holds after a sign-in."""
        given = self._issue(family=f"{sub}-{len(self.access_tokens)}")
        expires_in = self.expires_in if expires_in is None else expires_in
        return {
            "oidc": {
                "iss": self.issuer,
                "sub": sub,
                "sid": "s1",
                **given,
                "id_token": make_id_token(iss=self.issuer, sub=sub, n=self._number),
                "expires_at": int(time.time()) + expires_in,
                **more,
            }
        }

    def is_valid(self, access_token):
        family = self.access_tokens.get(access_token)
        return family is not None and family not in self.void

    def _issue(self, family):
        self._number += 1
        access, refresh = f"access-secret-{self._number}", f"refresh-secret-{self._number}"
        self.secrets += [access, refresh]
        self.access_tokens[access] = self.refresh_tokens[refresh] = family
        return {"access_token": access, "refresh_token": refresh}

    def _refresh(self, form):
        assert form["grant_type"] == "refresh_token"
        token = form["refresh_token"]
        family = self.refresh_tokens.get(token)
        if token in self.spent:
            self.void.add(self.spent[token])
        if family is None or family in self.void:
            return 400, {}, {"error": "invalid_grant", "error_description": f"{token} is spent"}
        self.refreshed.append(token)
        given = self._issue(family)
        if self.rotates:
            self.spent[token] = self.refresh_tokens.pop(token)
        else:
            del given["refresh_token"]
        return 200, {}, {**given, "token_type": "Bearer", "expires_in": self.expires_in}

    # Logout tokens

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
        header = {"alg": algorithm, "kid": algorithm, "typ": self.typ} | (headers or {})
        return sign(header, self.claims(without, **changes), key or KEYS[algorithm], algorithm)


@contextmanager
def serve(monkeypatch):
    """Serve a provider whose keys no thread fetches after a sign-in."""
    monkeypatch.setattr(
        "bff_sessions.oidc.sign_in.early_logouts._prefetch_keys", lambda issuer: None
    )
    with Provider() as provider:
        yield provider
