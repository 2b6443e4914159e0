import base64
import json
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

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
        """A request as the README's example makes it."""
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


@pytest.fixture(params=[Client, AsyncClient], ids=["wsgi", "asgi"])
def open_browser(request, db, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    return lambda: Browser(request.param(enforce_csrf_checks=True))


@pytest.fixture
def browser(open_browser):
    return open_browser()


@pytest.fixture
def configure(settings):
    """Adds to BFF_SESSIONS."""
    before = getattr(settings, "BFF_SESSIONS", {})

    def configure(**values):
        settings.BFF_SESSIONS = {**before, **values}

    return configure


def is_error(response, status, code):
    """Whether the response is an error in the one shape that errors have."""
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    body = json.loads(response.content)
    assert body.keys() == {"error", "error_description"}
    assert body["error_description"].endswith(".")
    return (response.status_code, body["error"]) == (status, code)
