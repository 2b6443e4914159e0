"""An OpenID provider over real HTTP that rotates refresh tokens, and kills a family of tokens when
one of them is used twice."""

import json
import threading
import time
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from bff_sessions.oidc import sign_in

__all__ = ["FakeProvider", "serve"]

SECRET = "a secret: of the client"


def make_id_token(**claims):
    parts = ({"alg": "RS256"}, claims)
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"{encoded[0]}.{encoded[1]}.c2lnbmF0dXJl"


class FakeProvider:
    def __init__(self, issuer):
        self.issuer = issuer
        self._lock = threading.Lock()
        self._number = 0
        self.access_tokens = {}  # to their families
        self.refresh_tokens = {}  # to their families; those that can be used
        self.spent = {}
        self.killed = set()
        self.refreshed = []
        self.revoked = []
        self.requests = []  # path, form, headers
        self.secrets = []
        # What a test may change.
        self.expires_in = 300
        self.rotates = True
        self.delay = 0
        self.answers = {}  # path to status, headers, body: instead of what is right
        self.before = {}  # path to what is called before it is answered
        self.has_revocation = True

    @property
    def options(self):
        return {"CLIENT_ID": "shop", "CLIENT_SECRET": SECRET}

    @property
    def settings(self):
        return {"PROVIDERS": {self.issuer: self.options}}

    def sign_in(self, *, expires_in=None, sub="alice", **more):
        """What a session holds after a sign-in."""
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
        return family is not None and family not in self.killed

    def _issue(self, family):
        self._number += 1
        access, refresh = f"access-secret-{self._number}", f"refresh-secret-{self._number}"
        self.secrets += [access, refresh]
        self.access_tokens[access] = self.refresh_tokens[refresh] = family
        return {"access_token": access, "refresh_token": refresh}

    def answer(self, path, form, headers):
        with self._lock:
            self.requests.append((path, form, headers))
        if path in self.before:
            self.before[path](form)
        time.sleep(self.delay)
        if path in self.answers:
            return self.answers[path]
        with self._lock:
            if path == "/.well-known/openid-configuration":
                document = {"issuer": self.issuer, "token_endpoint": f"{self.issuer}/token"}
                if self.has_revocation:
                    document["revocation_endpoint"] = f"{self.issuer}/revocation"
                return 200, {}, document
            if not headers.get("Authorization", "").startswith("Basic "):
                return 401, {}, {"error": "invalid_client"}
            if path == "/revocation":
                self.revoked.append(form["token"])
                self.refresh_tokens.pop(form["token"], None)
                return 200, {}, ""
            return self._refresh(form)

    def _refresh(self, form):
        assert form["grant_type"] == "refresh_token"
        token = form["refresh_token"]
        family = self.refresh_tokens.get(token)
        if token in self.spent:
            self.killed.add(self.spent[token])
        if family is None or family in self.killed:
            return 400, {}, {"error": "invalid_grant", "error_description": f"{token} is spent"}
        self.refreshed.append(token)
        given = self._issue(family)
        if self.rotates:
            self.spent[token] = self.refresh_tokens.pop(token)
        else:
            del given["refresh_token"]
        return 200, {}, {**given, "token_type": "Bearer", "expires_in": self.expires_in}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer({})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer({name: values[0] for name, values in parse_qs(body).items()})

    def _answer(self, form):
        status, headers, document = self.server.provider.answer(self.path, form, dict(self.headers))
        body = document if isinstance(document, str) else json.dumps(document)
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())
        except OSError:
            pass  # Nobody waits for it any more.

    def log_message(self, *args):
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 100


@contextmanager
def serve(monkeypatch):
    # In a thread of its own after each sign-in; not what these tests are about.
    monkeypatch.setattr(sign_in, "_prefetch_keys", lambda issuer: None)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.provider = FakeProvider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield server.provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
