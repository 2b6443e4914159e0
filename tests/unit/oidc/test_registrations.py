"""Providers that a callable returns, and several clients at one provider."""

import gc
import io
import json
import logging
import time
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from asgiref.sync import async_to_sync
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connections, transaction
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from bff_sessions import aget_access_token, get_access_token
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import ProviderUnavailable, SignInRequired
from bff_sessions.models import Session, TokenRevocation
from bff_sessions.oidc.providers import get_provider, get_providers
from bff_sessions.oidc.refresh import token_endpoint
from bff_sessions.oidc.registrations import find_registration, forget_providers, lookup
from bff_sessions.oidc.sign_in.step_up import get_leeway
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores.orm import OrmUserSessionStore
from tests.support.calls import Calls
from tests.support.factories import SessionFactory
from tests.support.logs import errors
from tests.support.provider import make_id_token, serve
from tests.support.sessions import start

pytestmark = pytest.mark.django_db(transaction=True)

IDP = "https://idp.example"
ALICES = UserSessionsFilter(subject_id="alice")


class Directory:
    """What the callable in PROVIDERS finds, and what it was asked for."""

    def __init__(self):
        self.providers, self.asked, self.error = {}, [], None
        self.before = lambda: None

    def __call__(self, issuer):
        self.asked.append(issuer)
        self.before()
        if self.error is not None:
            raise self.error
        return self.providers.get(issuer)


directory = Directory()


def find(issuer):
    return directory(issuer)


def find_in_database(issuer):
    """Find it as a project does: by a query, which asynchronous code may not run itself."""
    Group.objects.filter(name=issuer).exists()
    return directory(issuer)


def find_without_table(issuer):
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


def swallow_error(issuer):
    with suppress(DatabaseError):
        find_without_table(issuer)


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(lookup, "time", clock)
    return clock


@pytest.fixture
def provider(settings, monkeypatch):
    """A provider that a callable finds."""
    settings.ROOT_URLCONF = "tests.support.oidc_urls"
    monkeypatch.setattr(token_endpoint, "_failed", {})
    with serve(monkeypatch) as provider:
        directory.__init__()
        directory.providers[provider.issuer] = provider.options
        settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.find"}
        yield provider


@pytest.fixture
def clients(provider, settings):
    """The same provider, which knows this site as two clients."""
    settings.BFF_SESSIONS = {
        "PROVIDERS": {
            provider.issuer: [
                {"CLIENT_ID": "shop", "CLIENT_SECRET": "of the shop"},
                {"CLIENT_ID": "till", "CLIENT_SECRET": "of the till", "LEEWAY": 5},
            ]
        }
    }
    return provider


def post_logout(token):
    body = urlencode({"logout_token": token})
    form = "application/x-www-form-urlencoded"
    client = Client(raise_request_exception=False)
    return client.post("/bff/backchannel-logout", body, form)


def request_of(session_key):
    request = RequestFactory().get("/")
    request.session = SessionStore(session_key)
    request.user = AnonymousUser()
    return request


# What the callable returns


def test_callable_is_asked_once(provider, clock):
    first = get_provider(provider.issuer)
    assert first.client_id == "shop"
    clock.now += 59
    assert get_provider(provider.issuer) is first
    assert get_providers() == [first]
    assert directory.asked == [provider.issuer]


def test_callable_is_asked_again_after_its_age(provider, clock):
    first = get_provider(provider.issuer)
    clock.now += 60
    # The keys of a provider belong to the object, so it stays while the options are the same.
    assert get_provider(provider.issuer) is first
    directory.providers[provider.issuer] = {"CLIENT_ID": "till"}
    clock.now += 60
    assert get_provider(provider.issuer).client_id == "till"
    assert len(directory.asked) == 3


def test_age_is_a_setting(provider, settings):
    settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.find", "PROVIDERS_MAX_AGE": 0}
    for _ in range(3):
        assert get_provider(provider.issuer)
    assert len(directory.asked) == 3


def test_removed_provider_is_gone_after_its_age(provider, clock):
    assert get_provider(provider.issuer)
    directory.providers.clear()
    clock.now += 60
    assert get_providers() == []
    assert get_provider(provider.issuer) is None
    assert get_providers() == []


def test_forgotten_provider_is_looked_up_at_once(provider):
    get_provider(provider.issuer)
    directory.providers[provider.issuer] = {"CLIENT_ID": "till"}
    forget_providers("https://other.example")
    assert get_provider(provider.issuer).client_id == "shop"
    forget_providers(provider.issuer)
    assert get_provider(provider.issuer).client_id == "till"


def test_all_providers_are_looked_up_again_and_keep_their_keys(provider):
    first = get_provider(provider.issuer)
    directory.providers[IDP] = {"CLIENT_ID": "shop"}
    get_provider(IDP)
    directory.providers[IDP] = {"CLIENT_ID": "till"}
    forget_providers()
    assert get_provider(provider.issuer) is first
    assert get_provider(IDP).client_id == "till"
    assert len(directory.asked) == 4


def test_provider_that_is_forgotten_during_the_look_up_is_not_remembered(provider):
    def change():
        directory.before = lambda: None
        forget_providers(provider.issuer)

    directory.before = change
    get_provider(provider.issuer)
    get_provider(provider.issuer)
    assert len(directory.asked) == 2


def test_unknown_issuers_are_not_remembered(provider):
    for number in range(5):
        assert get_provider(f"{IDP}/{number}") is None
    directory.providers[f"{IDP}/1"] = {"CLIENT_ID": "shop"}
    assert get_provider(f"{IDP}/1")


def test_memory_is_bounded(provider, monkeypatch):
    monkeypatch.setattr(lookup, "_MAX", 3)
    gone = get_provider(provider.issuer)
    watch = weakref.ref(find_registration(provider.issuer))
    for number in range(5):
        directory.providers[f"{IDP}/{number}"] = {"CLIENT_ID": "shop"}
        get_provider(f"{IDP}/{number}")
    assert [each.issuer for each in get_providers()] == [f"{IDP}/{number}" for number in (2, 3, 4)]
    del gone
    gc.collect()
    assert watch() is None


def test_dictionary_has_no_bound(settings, monkeypatch):
    monkeypatch.setattr(lookup, "_MAX", 3)
    issuers = [f"{IDP}/{number}" for number in range(5)]
    settings.BFF_SESSIONS = {"PROVIDERS": {issuer: {"CLIENT_ID": "shop"} for issuer in issuers}}
    first = get_providers()
    assert all(a is b for a, b in zip(first, get_providers(), strict=True))


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "alice",
        "https://idp.example\0",
        "https://idp.example?a=1",
        f"{IDP}/{'a' * 300}",
        "\ud800",
    ],
    ids=ascii,
)
def test_callable_is_not_asked_for_what_is_not_an_issuer(provider, issuer):
    assert get_provider(issuer) is None
    assert directory.asked == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("shop", "must be a dictionary, or a list"),
        ([], "must be a dictionary, or a list"),
        ({}, "CLIENT_ID"),
        ({"CLIENT_ID": "shop", "CLIENT_SECRET": 7}, "CLIENT_SECRET"),
        ({"CLIENT_ID": "shop", "SECRET": "s3cret"}, "has no option 'SECRET'"),
        ([{"CLIENT_ID": "shop"}, {"CLIENT_ID": "shop"}], "twice"),
    ],
    ids=str,
)
def test_malformed_options_are_refused(provider, given, message):
    directory.providers[IDP] = given
    with pytest.raises(ImproperlyConfigured, match=message) as caught:
        get_provider(IDP)
    assert "s3cret" not in str(caught.value)


def test_error_of_the_callable_makes_the_provider_unavailable(provider):
    directory.error = OperationalError("secret")
    with pytest.raises(ProviderUnavailable, match="OperationalError") as caught:
        get_provider(provider.issuer)
    assert "secret" not in str(caught.value)
    directory.error = None
    assert get_provider(provider.issuer)


def test_error_of_a_lazy_value_makes_the_provider_unavailable(provider):
    def fail():
        raise OperationalError("secret")

    directory.providers[IDP] = {"CLIENT_ID": "shop", "CLIENT_SECRET": SimpleLazyObject(fail)}
    with pytest.raises(ProviderUnavailable, match="OperationalError"):
        get_provider(IDP)


def test_changed_list_is_noticed(provider, clock):
    algorithms = ["RS256"]
    directory.providers[IDP] = {"CLIENT_ID": "shop", "ALGORITHMS": algorithms}
    before = get_provider(IDP)
    algorithms[0] = "ES256"
    assert before.options.algorithms == ["RS256"]
    clock.now += 60
    assert get_provider(IDP).options.algorithms == ["ES256"]


@pytest.mark.parametrize("name", ["find_without_table", "swallow_error"])
def test_failing_query_does_not_break_the_transaction_of_the_caller(settings, name):
    settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.{name}"}
    with transaction.atomic():
        with suppress(ProviderUnavailable):
            find_registration(IDP)
        Group.objects.create(name="editors")
    assert Group.objects.filter(name="editors").exists()


def test_each_schema_has_providers_of_its_own(provider, monkeypatch):
    connection = connections["default"]  # The proxy cannot delete an attribute of a connection.
    for name in ("north", "south"):
        monkeypatch.setattr(connection, "schema_name", name, raising=False)
        directory.providers[provider.issuer] = {"CLIENT_ID": name}
        assert get_provider(provider.issuer).client_id == name
    monkeypatch.setattr(connection, "schema_name", "north")
    assert get_provider(provider.issuer).client_id == "north"
    assert [each.client_id for each in get_providers()] == ["north"]
    forget_providers(provider.issuer)
    assert get_provider(provider.issuer).client_id == "south"


def test_each_database_of_the_sessions_has_providers_of_its_own(provider, monkeypatch):
    # A router may choose it for each tenant, while the default database is always the same.
    for name in ("north", "south"):
        monkeypatch.setattr(OrmUserSessionStore, "scope", name)
        directory.providers[provider.issuer] = {"CLIENT_ID": name}
        assert get_provider(provider.issuer).client_id == name
    monkeypatch.setattr(OrmUserSessionStore, "scope", "north")
    assert get_provider(provider.issuer).client_id == "north"


# What uses it


def test_logout_token_of_a_provider_that_a_callable_finds(provider):
    SessionFactory(issuer=provider.issuer, subject_id="alice", session_id="laptop")
    assert post_logout(provider.token()).status_code == 200
    assert not Session.objects.exists()


def test_logout_comes_again_while_the_callable_fails(provider, caplog):
    SessionFactory(issuer=provider.issuer, subject_id="alice", session_id="laptop")
    token, directory.error = provider.token(), OperationalError("secret")
    response = post_logout(token)
    assert response.status_code == 503
    assert response["Retry-After"]
    assert "secret" not in caplog.text + response.content.decode()
    directory.error = None
    assert post_logout(token).status_code == 200
    assert not Session.objects.exists()


def test_failing_callable_is_one_error_whatever_issuers_are_named(provider, caplog):
    directory.error = LookupError()
    for number in range(20):
        token = provider.token(iss=f"https://{number}.example")
        assert post_logout(token).status_code == 503
    ((name, text),) = errors(caplog)
    assert name == "bff_sessions.logout"
    assert "'https://0.example'" in text


def test_logout_token_of_an_unknown_issuer_is_refused(provider, caplog):
    response = post_logout(provider.token(iss=IDP))
    assert response.status_code == 400
    assert directory.asked == [IDP]  # Once: anybody can send such a token.
    assert "The callable in BFF_SESSIONS['PROVIDERS'] returns None for it." in caplog.text


@pytest.mark.parametrize("error", [None, OperationalError("secret")], ids=["works", "fails"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_sign_in_finds_an_earlier_logout(provider, error, is_async):
    post_logout(provider.token(without=["sub"]))
    forget_providers(provider.issuer)
    directory.error = error
    session = Calls(is_async=is_async).start(**provider.sign_in(sid="laptop"))
    assert not session.exists(session.session_key)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_access_token_is_refreshed(provider, settings, is_async):
    settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.find_in_database"}
    request = request_of(start(**provider.sign_in(expires_in=-1)))
    get = async_to_sync(aget_access_token) if is_async else get_access_token
    assert provider.is_valid(get(request))


def test_access_token_is_not_refreshed_while_the_callable_fails(provider):
    key = start(**provider.sign_in(expires_in=-1))
    directory.error = OperationalError
    with pytest.raises(ProviderUnavailable):
        get_access_token(request_of(key))
    directory.error = None
    assert provider.is_valid(get_access_token(request_of(key)))


def test_refresh_token_is_revoked(provider):
    data = provider.sign_in()
    start(**data)
    directory.error = OperationalError  # Then the token is sent later.
    assert revoke_sessions(ALICES) == 1
    directory.error = None
    call_command("revoke_tokens", verbosity=0)
    assert provider.revoked == [data["oidc"]["refresh_token"]]


@pytest.mark.parametrize("name", ["find_without_table", "swallow_error"])
def test_refresh_token_is_saved_while_a_query_of_the_callable_fails(provider, settings, name):
    start(**provider.sign_in())
    settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.{name}"}
    assert revoke_sessions(ALICES) == 1
    is_broken = connections["default"].vendor == "postgresql"
    assert TokenRevocation.objects.count() == (name == "find_without_table" or is_broken)


def test_invalid_options_of_one_provider_answer_as_if_it_were_unavailable(provider, client, caplog):
    data = provider.sign_in(expires_in=-1)
    client.cookies["sessionid"] = key = start(**data)
    token, good = provider.token(), directory.providers[provider.issuer]
    directory.providers[provider.issuer] = good | {"CLIENT_SECRET": ""}
    forget_providers(provider.issuer)
    assert post_logout(token).status_code == 503
    assert "'CLIENT_SECRET'] must be a text" in caplog.text
    assert get_leeway(provider.issuer, {}) == 60
    with pytest.raises(ProviderUnavailable, match="CLIENT_SECRET"):
        get_access_token(request_of(key))
    assert client.post("/bff/logout")["Location"] == "/"
    assert not Session.objects.exists()
    directory.providers[provider.issuer] = good
    TokenRevocation.objects.update(due=datetime.now(UTC))
    call_command("revoke_tokens", verbosity=0)
    assert provider.revoked == [data["oidc"]["refresh_token"]]


def test_client_key_that_cannot_sign_answers_as_if_the_provider_were_unavailable(provider, client):
    directory.providers[provider.issuer] = {"CLIENT_ID": "shop", "CLIENT_KEYS": ["garbage"]}
    assert client.get("/bff/jwks", {"iss": provider.issuer}).status_code == 503
    with pytest.raises(ProviderUnavailable, match="CLIENT_KEYS"):
        get_access_token(request_of(start(**provider.sign_in(expires_in=-1))))


def test_leeway_is_the_default_while_the_callable_fails(provider):
    directory.providers[provider.issuer] = {"CLIENT_ID": "shop", "LEEWAY": 5}
    assert get_leeway(provider.issuer, {}) == 5
    forget_providers(provider.issuer)
    directory.error = OperationalError
    assert get_leeway(provider.issuer, {}) == 60


def test_check_provider_needs_a_name(provider):
    with pytest.raises(CommandError, match="cannot be listed: name one"):
        call_command("check_provider")
    with pytest.raises(CommandError, match="returns None for it"):
        call_command("check_provider", IDP)
    out = io.StringIO()
    call_command("check_provider", provider.issuer, stdout=out)
    assert out.getvalue().startswith(f"{provider.issuer} as shop")
    directory.error = OperationalError
    forget_providers(provider.issuer)
    with pytest.raises(CommandError, match="OperationalError"):
        call_command("check_provider", provider.issuer)


def new_key():
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_public_keys_of_a_provider_are_found_by_its_issuer(provider, client, caplog):
    directory.providers[provider.issuer] |= {"CLIENT_KEYS": [new_key()]}
    assert client.get("/bff/jwks").status_code == 404
    assert client.get("/bff/jwks", {"iss": IDP}).status_code == 404
    response = client.get("/bff/jwks", {"iss": provider.issuer})
    (key,) = response.json()["keys"]
    assert "d" not in key
    assert response["Cache-Control"] == "public, max-age=300"
    directory.error = OperationalError
    forget_providers(provider.issuer)
    response = client.get("/bff/jwks", {"iss": provider.issuer})
    assert response.status_code == 503
    assert response["Cache-Control"] == "no-store"
    for n in range(20):
        response = client.get("/bff/jwks", {"iss": f"https://{n}.example"})
        assert response.status_code == 503
    # However many issuers a stranger names.
    assert [name for name, _ in errors(caplog)] == ["bff_sessions.oidc"]
    directory.error = None
    provider.answers["/token"] = (400, {}, {"error": "invalid_grant"})
    out = io.StringIO()
    call_command(
        "check_provider", provider.issuer, "--base-url", "https://shop.example", stdout=out
    )
    issuer = urlencode({"iss": provider.issuer})
    assert f"https://shop.example/bff/jwks?{issuer}\n" in out.getvalue()


# Several clients


@pytest.mark.parametrize("audience", ["shop", "till", ["till"], ["other", "till"]], ids=str)
def test_logout_token_for_any_client_is_accepted(clients, audience):
    SessionFactory(issuer=clients.issuer, subject_id="alice", session_id="laptop")
    assert post_logout(clients.token(aud=audience)).status_code == 200
    assert not Session.objects.exists()


@pytest.mark.parametrize("audience", ["other", [], None, [7], {"shop": "till"}], ids=str)
def test_logout_token_for_no_client_is_refused(clients, audience):
    response = post_logout(clients.token(aud=audience))
    assert response.status_code == 400
    assert "aud" in response.json()["error_description"]


def test_clients_share_metadata_and_keys(clients):
    for each in get_providers():
        assert next(each.keys.find("RS256", "RS256"))
    assert clients.requests == ["/.well-known/openid-configuration", "/keys"]


def test_clients_with_other_urls_have_keys_of_their_own(clients, settings):
    (provider,) = settings.BFF_SESSIONS["PROVIDERS"].values()
    settings.BFF_SESSIONS = {
        "PROVIDERS": {clients.issuer: [provider[0], {**provider[1], "JWKS_URI": f"{IDP}/keys"}]}
    }
    shop, till = get_providers()
    assert shop.keys is not till.keys
    assert till.find_endpoint("jwks_uri") == f"{IDP}/keys"


def test_each_client_has_options_of_its_own(clients):
    issued = int(time.time()) + 30
    assert post_logout(clients.token(aud="till", iat=issued)).status_code == 400
    assert post_logout(clients.token(aud="shop", iat=issued)).status_code == 200
    assert get_leeway(clients.issuer, {"aud": "till"}) == 5
    assert get_leeway(clients.issuer, {"aud": ["other", "shop"]}) == 60


AUDIENCES = {
    "aud": {"aud": "till"},
    "one in a list": {"aud": ["till"]},
    "azp": {"aud": ["shop", "till"], "azp": "till"},
    "another audience, too": {"aud": ["api", "till"]},
    "azp of another": {"aud": ["till"], "azp": "app"},
}


def in_claims(provider, named):
    return provider.sign_in(expires_in=-1, **named)


def of_mozilla(provider, named):
    oidc = provider.sign_in()["oidc"]
    return {
        "oidc_id_token": make_id_token(iss=provider.issuer, sub="alice", **named),
        "oidc_access_token": oidc["access_token"],
        "oidc_refresh_token": oidc["refresh_token"],
        "oidc_token_expiration": int(time.time()) - 1,
    }


@pytest.mark.parametrize("named", AUDIENCES.values(), ids=AUDIENCES)
@pytest.mark.parametrize("sign_in", [in_claims, of_mozilla], ids=["claims", "mozilla"])
def test_tokens_are_refreshed_and_revoked_as_their_client(clients, sign_in, named):
    key = start(**sign_in(clients, named))
    assert clients.is_valid(get_access_token(request_of(key)))
    assert revoke_sessions(ALICES) == 1
    assert TokenRevocation.objects.get().client_id == "till"
    call_command("revoke_tokens", verbosity=0)
    assert len(clients.revoked) == 1
    used = {authorization for authorization, _ in clients.posts}
    assert used == {"Basic dGlsbDpvZit0aGUrdGlsbA=="}  # till:of+the+till


@pytest.mark.parametrize("named", [{}, {"aud": "other"}, {"aud": [7]}], ids=str)
def test_tokens_of_an_unknown_client_are_not_sent(clients, caplog, named):
    key = start(**clients.sign_in(expires_in=-1, **named))
    for _ in range(2):
        with pytest.raises(SignInRequired):
            get_access_token(request_of(key))
    assert SessionStore(key).exists(key)
    assert revoke_sessions(ALICES) == 1
    assert clients.posts == []
    assert not TokenRevocation.objects.exists()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "names none of the clients" in record.getMessage()


def test_tokens_of_several_audiences_are_revoked_after_the_callable_failed(clients, settings):
    directory.providers[clients.issuer] = settings.BFF_SESSIONS["PROVIDERS"][clients.issuer]
    settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.find"}
    start(**clients.sign_in(aud=["a\0b", "x" * 256, "api", "till"]))
    directory.error = OperationalError
    assert revoke_sessions(ALICES) == 1
    directory.error = None
    call_command("revoke_tokens", verbosity=0)
    assert len(clients.revoked) == 1
    assert clients.posts[0][0] == "Basic dGlsbDpvZit0aGUrdGlsbA=="


def test_callable_that_fails_is_asked_once_for_all_tokens(provider):
    for number in range(3):
        start(**provider.sign_in(sid=f"{number}"))
    assert revoke_sessions(ALICES) == 3
    forget_providers(provider.issuer)
    directory.asked, directory.error = [], OperationalError
    call_command("revoke_tokens", verbosity=0)
    assert directory.asked == [provider.issuer]


def test_client_that_fails_does_not_keep_others_from_refreshing(clients):
    shop, till = (
        start(**clients.sign_in(aud=name, sid=name, expires_in=-1)) for name in ("shop", "till")
    )
    clients.answers["/token"] = (429, {}, {})
    with pytest.raises(ProviderUnavailable):
        get_access_token(request_of(shop))
    clients.answers.clear()
    assert clients.is_valid(get_access_token(request_of(till)))


def test_client_that_fails_does_not_keep_others_from_revoking(clients):
    for client in ("shop", "till"):
        start(**clients.sign_in(aud=client, sid=client))
    revoke_sessions(ALICES)

    def refuse_the_shop(form):
        is_shop = clients.forms[-1][2]["Authorization"].startswith("Basic c2hvcD")
        answer = (401, {}, {"error": "invalid_client"})
        clients.answers = {"/revocation": answer} if is_shop else {}

    clients.before["/revocation"] = refuse_the_shop
    call_command("revoke_tokens", verbosity=0)
    assert TokenRevocation.objects.get().client_id == "shop"


def test_token_of_an_older_version_is_revoked_as_the_first_client(clients):
    start(**clients.sign_in(aud="till"))
    revoke_sessions(ALICES)
    TokenRevocation.objects.update(client_id="")
    call_command("revoke_tokens", verbosity=0)
    assert clients.posts[0][0].startswith("Basic c2hvcD")


@pytest.mark.parametrize("named", [*AUDIENCES.values(), {}], ids=[*AUDIENCES, "none"])
def test_sign_out_names_the_client(clients, client, named):
    clients.configuration["end_session_endpoint"] = f"{clients.issuer}/end"
    client.cookies["sessionid"] = start(**clients.sign_in(**named))
    query = parse_qs(urlsplit(client.post("/bff/logout")["Location"]).query)
    assert query["client_id"] == ["till" if named else "shop"]


def test_check_provider_checks_each_client(clients):
    out = io.StringIO()
    call_command("check_provider", "--json", stdout=out)
    reports = json.loads(out.getvalue())["providers"]
    assert [(each["issuer"], each["client_id"]) for each in reports] == [
        (clients.issuer, "shop"),
        (clients.issuer, "till"),
    ]


def test_public_keys_of_all_clients_are_published(clients, client, settings):
    options = [{"CLIENT_ID": name, "CLIENT_KEYS": [new_key()]} for name in ("shop", "till")]
    settings.BFF_SESSIONS = {"PROVIDERS": {clients.issuer: options}}
    assert len(client.get("/bff/jwks").json()["keys"]) == 2
