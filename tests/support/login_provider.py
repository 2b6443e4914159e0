"""An OpenID Provider for tests: as small as the libraries allow, with real HTTP and signatures."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "shop", "the secret of the shop, and it is long enough"


class Provider:
    """Answers discovery, JWKS, token and userinfo; `authorize()` stands for its sign-in page."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.codes, self.users = {}, {}
        self.email_verified = True
        self.auth_time = int(time.time()) - 5
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def authorize(self, url, *, sub, sid=None):
        """Where the user `sub` is sent who signs in at `url`, to where the library sent them."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert query["client_id"] == CLIENT_ID
        code = token_urlsafe()
        claims = {"sub": sub, "nonce": query.get("nonce")}
        self.codes[code] = claims if sid is None else claims | {"sid": sid}
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def make_id_token(self, claims):
        now = int(time.time())
        times = {"auth_time": self.auth_time, "iat": now, "exp": now + 60}
        payload = {"iss": self.issuer, "aud": CLIENT_ID, **times, **claims}
        return jwt.encode(payload, self.key, algorithm="RS256", headers={"kid": "1"})

    def _answer(self, method, path, body, authorization):
        match method, path:
            case "GET", "/.well-known/openid-configuration":
                endpoints = {
                    "authorization_endpoint": "authorize",
                    "token_endpoint": "token",
                    "userinfo_endpoint": "userinfo",
                    "jwks_uri": "jwks",
                }
                urls = {name: f"{self.issuer}/{path}" for name, path in endpoints.items()}
                methods = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
                return {"issuer": self.issuer, **methods, **urls}
            case "GET", "/jwks":
                jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
                return {"keys": [{**jwk, "kid": "1", "alg": "RS256", "use": "sig"}]}
            case "POST", "/token":
                form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
                assert client.items() <= form.items()
                claims, access_token = self.codes.pop(form["code"]), token_urlsafe()
                self.users[access_token] = claims["sub"]
                id_token = self.make_id_token(claims)
                return {"id_token": id_token, "access_token": access_token, "token_type": "Bearer"}
            case "GET", "/userinfo":
                sub = self.users[authorization.removeprefix("Bearer ")]
                name = {"preferred_username": sub, "email": f"{sub}@shop.example"}
                return {"sub": sub, "email_verified": self.email_verified, **name}
        raise AssertionError(path)

    def _make_handler(provider):
        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length", 0))
                body, header = self.rfile.read(length), self.headers.get("Authorization", "")
                try:
                    answer, status = provider._answer(self.command, self.path, body, header), 200
                except Exception as error:
                    answer, status = {"error": repr(error)}, 400
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *args):
                pass

        return Handler
