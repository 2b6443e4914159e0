"""What tests of the endpoints share: browsers, claims and URLs."""

import base64
import json
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.test import AsyncClient

from bff_sessions.contract import UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.stores import get_store
from bff_sessions.testing import altered

ISSUER = "https://idp.example"


def claims(subject_id="alice", session_id="s1", issuer=ISSUER, **more):
    """What a login library keeps in the session."""
    return {"oidc": {"iss": issuer, "sub": subject_id, "sid": session_id, **more}}


def id_token(**claims):
    """As mozilla-django-oidc keeps it, once it has verified it."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2lnbmF0dXJl"


class Browser:
    """A browser with a page of the site in it, which uses fetch() and sends forms."""

    def __init__(self, client):
        self.client = client

    def sign_in(self, data=None):
        session = SessionStore()
        session.update(claims() if data is None else data)
        session.save()
        self.client.cookies["sessionid"] = session.session_key
        return self

    def let_have_begun(self, moment):
        """Let the session have begun at `moment`."""
        older = altered(self.row, created=moment)
        get_store().update_user_session(older.key, UserSessionUpdate.of(older))

    @property
    def row(self):
        """The session in the store; None if it has ended."""
        cookie = self.client.cookies.get("sessionid")
        key = SessionStore(cookie.value if cookie else None).store_key
        return None if key is None else get_store().get_user_session(key)

    def request(self, method, path, *args, **kwargs):
        perform = getattr(self.client, method)
        if isinstance(self.client, AsyncClient):
            perform = async_to_sync(perform)
        return perform(path, *args, **kwargs)

    def fetch(self, method, path, headers=None):
        """A request as the example for front ends makes it."""
        return self.request(method, path, headers={"X-CSRF": "1"} if headers is None else headers)

    def user(self, path="/bff/user"):
        return self.fetch("get", path).json()

    def delete(self, path):
        """As fetch(), with the token that GET user told."""
        token = self.user()["csrf_token"]
        return self.fetch("delete", path, {"X-CSRF": "1", "X-CSRFToken": token})

    def sign_out(self, **form):
        """Sends the form that signs out."""
        response = self.fetch("get", "/bff/user")
        token = response.json()["csrf_token"]
        path = response.json()["logout_url"]
        body = urlencode({"csrfmiddlewaretoken": token, **form})
        return self.request("post", path, body, content_type="application/x-www-form-urlencoded")


def is_error(response, status, code):
    """Whether the response is an error in the one shape that errors have."""
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    body = json.loads(response.content)
    assert body.keys() == {"error", "error_description"}
    assert body["error_description"].endswith(".")
    return (response.status_code, body["error"]) == (status, code)


def alive(rows):
    return [get_store().get_user_session(row.key) is not None for row in rows]


def public_id_of(row):
    return get_store().get_user_session(row.key).public_id


def of_django(user):
    """What django.contrib.auth keeps in the session."""
    return {
        SESSION_KEY: str(user.pk),
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
