"""The site of docs/how-to/tenants.md: a schema and a provider's client for each tenant."""

import contextlib
import io
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.management import ManagementUtility
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django_tenants.utils import schema_context, schema_exists
from shops.models import Domain, Shop

import bff_sessions
from bff_sessions import get_access_token
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.models import Logout, Session, TokenRevocation
from bff_sessions.oidc.providers import get_provider
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from tests.support.factories import SessionFactory
from tests.support.provider import Provider

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ("north", "south")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def provider():
    with Provider() as provider:
        yield provider


@pytest.fixture(autouse=True)
def shops(transactional_db, provider, settings):
    """Two tenants that share a provider, each with a client and a user 1 of its own."""
    settings.ALLOWED_HOSTS = ["*"]
    shops = {}
    for name in NAMES:
        shop = shops[name] = Shop(
            schema_name=name,
            issuer=provider.issuer,
            client_id=f"{name}-shop",
            client_secret=f"secret-of-{name}",
        )
        # A schema takes some seconds, so it stays when a test ends.
        shop.auto_create_schema = not schema_exists(name)
        shop.save()
        Domain.objects.create(tenant=shop, domain=f"{name}.example")
        with schema_context(name):
            User.objects.get_or_create(pk=1, username=f"user-of-{name}")
    yield shops
    for name in NAMES:
        with schema_context(name):
            for model in (Session, Logout, TokenRevocation):
                model.objects.all().delete()
    connection.set_schema_to_public()
    provider.posts.clear()
    provider.revoked.clear()


def sign_in(name, provider, **token):
    """Sign the user 1 of a tenant in, and return a client of its host."""
    client = Client(headers={"host": f"{name}.example"})
    data = provider.sign_in(sid="laptop")["oidc"]
    token = {key: data[key] for key in ("access_token", "refresh_token")} | {
        "expires_in": 300,
        **token,
    }
    claims = {"iss": provider.issuer, "sub": "alice", "sid": "laptop", "aud": f"{name}-shop"}
    with schema_context(name):
        request = HttpRequest()
        request.session = SessionStore()
        bff_sessions.sign_in(request, User.objects.get(pk=1), token, claims=claims)
        request.session.save()
        client.cookies["sessionid"] = request.session.session_key
    return client


def post_logout(name, token):
    client = Client(headers={"host": f"{name}.example"})
    return client.post("/bff/backchannel-logout", urlencode({"logout_token": token}), FORM)


def number_of_sessions():
    counts = []
    for name in NAMES:
        with schema_context(name):
            counts.append(Session.objects.count())
    return counts


def test_cookie_of_one_tenant_is_worth_nothing_at_another(provider):
    north = sign_in("north", provider)
    assert north.get("/bff/user", headers={"X-CSRF": "1"}).status_code == 200
    south = Client(headers={"host": "south.example"})
    south.cookies["sessionid"] = north.cookies["sessionid"].value
    assert south.get("/bff/user", headers={"X-CSRF": "1"}).status_code == 401


def test_logout_token_reaches_its_tenant_only(provider):
    for name in NAMES:
        sign_in(name, provider)
    token = provider.token(aud="south-shop")
    assert post_logout("north", token).status_code == 400
    assert number_of_sessions() == [1, 1]
    assert post_logout("south", token).status_code == 200
    assert number_of_sessions() == [1, 0]


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_refreshed_and_revoked_as_the_client_of_the_tenant(provider, name):
    client = sign_in(name, provider, expires_in=1)
    with schema_context(name):
        request = RequestFactory().get("/")
        request.session = SessionStore(client.cookies["sessionid"].value)
        assert provider.is_valid(get_access_token(request, margin=100))
        assert revoke_sessions(UserSessionsFilter(subject_id="alice")) == 1
    run("all_tenants_command", "--no-public", "revoke_tokens")
    assert len(provider.revoked) == 1
    used = {authorization for authorization, _ in provider.posts}
    with schema_context(name):
        expected = get_provider(provider.issuer).authentication.of("token_endpoint")[1]
    assert used == {expected}


def test_expired_sessions_of_all_tenants_are_cleaned_up(provider):
    for name in NAMES:
        with schema_context(name):
            SessionFactory(expired=True)
            SessionFactory()
    text = run("all_tenants_command", "--no-public", "cleanup_sessions")
    assert text.count("1 expired session deleted") == 2
    assert number_of_sessions() == [1, 1]


def test_changed_client_is_used_at_once(provider, shops):
    shop = shops["north"]
    with schema_context("north"):
        assert get_provider(provider.issuer).client_id == "north-shop"
    shop.client_id = "north-till"
    shop.save()
    with schema_context("north"):
        assert get_provider(provider.issuer).client_id == "north-till"
    assert post_logout("north", provider.token(aud="north-till")).status_code == 200


def test_open_page_is_watched_in_the_schema_of_its_tenant(provider, watcher, settings):
    options = {"EVENTS_THREADS": 8, "EVENTS_EVERY": 0.1}
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, **options}
    streams = {}
    for name in NAMES:
        response = sign_in(name, provider).get("/bff/events")
        assert response.status_code == 200
        streams[name] = iter(response)
        assert b"event: watching" in next(streams[name])
    with schema_context("north"):
        # Without a signal: as another process ends it.
        get_store().delete_user_sessions(UserSessionsFilter(subject_id="alice"))
    assert b"event: session-ended" in next(streams["north"])
    assert [page.scope.split("\0")[-1] for page in watcher.pages()] == ["south"]
    with schema_context("south"):
        revoke_sessions(UserSessionsFilter(subject_id="alice"))
    assert b"event: session-ended" in next(streams["south"])


def test_check_provider_shows_the_urls_of_a_tenant(provider):
    provider.answers["/token"] = (400, {}, {"error": "invalid_grant"})
    try:
        text = run(
            "tenant_command",
            "check_provider",
            "--schema=north",
            provider.issuer,
            "--base-url",
            "https://north.example",
        )
    finally:
        provider.answers.clear()
    assert f"{provider.issuer} as north-shop" in text
    assert "https://north.example/bff/backchannel-logout" in text


def run(*arguments):
    """Run a command as a terminal does, and return what it writes."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        ManagementUtility(["manage.py", *arguments]).execute()
    connection.set_schema_to_public()
    return out.getvalue()
