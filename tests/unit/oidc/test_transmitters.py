"""Transmitters with keys, an issuer or metadata of their own."""

import time

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from bff_sessions.models import Logout, Session
from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.shared_signals.transmitters import find_transmitters, get_metadata_url
from tests.support.factories import SessionFactory
from tests.support.provider import CLIENT_ID, Provider
from tests.support.transmitter import (
    CONTENT_TYPE,
    SSF,
    Transmitter,
    complex_subject,
    opaque,
)

pytestmark = pytest.mark.django_db

METADATA = "/.well-known/ssf-configuration"


@pytest.fixture
def other():
    """A server that is no provider here."""
    with Provider() as server:
        server.configuration = {}
        server.answers["/.well-known/openid-configuration"] = (404, {}, b"")
        yield server


@pytest.fixture
def post(client):
    def post(token):
        return client.post(reverse("bff_sessions:signals"), token, CONTENT_TYPE)

    return post


def find_transmitter(issuer):
    (transmitter,) = find_transmitters(issuer)
    return transmitter


def test_transmitter_shares_the_keys_of_its_provider(provider, configure):
    configure(SIGNALS={})
    transmitter = find_transmitter(provider.issuer)
    assert transmitter.signer is get_provider(provider.issuer)
    assert find_transmitter(provider.issuer) is transmitter


def test_keys_can_have_a_url_of_their_own(provider, other, configure, post):
    configure(SIGNALS={"JWKS_URI": f"{other.issuer}/keys"})
    SessionFactory(issuer=provider.issuer)
    assert post(Transmitter(provider).token()).status_code == 202
    assert not Session.objects.exists()
    assert (provider.requests, other.requests) == ([], ["/keys"])


def test_other_issuer_has_metadata_of_its_own(provider, other, configure, post):
    other.answers[METADATA] = (
        200,
        {},
        {"issuer": other.issuer, "jwks_uri": f"{other.issuer}/keys", "spec_version": "1_0"},
    )
    configure(SIGNALS={"ISSUER": other.issuer})
    SessionFactory(issuer=provider.issuer)
    token = Transmitter(provider, other.issuer).token
    assert post(token()).status_code == 202
    assert not Session.objects.exists()
    assert (provider.requests, other.requests) == ([], [METADATA, "/keys"])
    # The provider itself is no transmitter then, and the subject is still the provider's.
    response = post(token(iss=provider.issuer))
    assert (response.status_code, response.json()["err"]) == (400, "invalid_issuer")
    SessionFactory(issuer=other.issuer)
    assert post(token(sub_id={"format": "iss_sub", "iss": other.issuer, "sub": "alice"}))
    assert Session.objects.count() == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((404, {}, b""), "The provider answered with status 404."),
        ((200, {}, {"issuer": "https://idp.example"}), "names another issuer"),
        ((200, {}, b"["), "did not answer with a JSON object"),
    ],
)
def test_transmitter_without_usable_metadata_sends_again(
    provider, other, configure, post, caplog, answer, text
):
    other.answers[METADATA] = answer
    configure(SIGNALS={"ISSUER": other.issuer})
    response = post(Transmitter(provider, other.issuer).token())
    assert response.status_code == 503
    assert text in caplog.text


def test_metadata_without_keys_refuses_the_token(provider, other, configure, post):
    other.answers[METADATA] = (200, {}, {"issuer": other.issuer})
    configure(SIGNALS={"ISSUER": other.issuer})
    response = post(Transmitter(provider, other.issuer).token())
    assert (response.status_code, response.json()["err"]) == (400, "invalid_key")


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://tr.example", f"https://tr.example{METADATA}"),
        ("https://tr.example/", f"https://tr.example{METADATA}"),
        ("https://tr.example:8443/issuer1", f"https://tr.example:8443{METADATA}/issuer1"),
        ("https://tr.example/a/b/", f"https://tr.example{METADATA}/a/b"),
    ],
)
def test_path_of_the_issuer_follows_that_of_the_metadata(issuer, url):
    # SSF 1.0, 7.2.1.
    assert get_metadata_url(issuer) == url


def test_issuer_may_differ_by_a_slash(provider, configure, post):
    configure(SIGNALS={"ISSUER": provider.issuer + "/", "JWKS_URI": f"{provider.issuer}/keys"})
    SessionFactory(issuer=provider.issuer)
    assert post(Transmitter(provider).token()).status_code == 400
    assert post(Transmitter(provider, provider.issuer + "/").token()).status_code == 202
    assert not Session.objects.exists()


def test_algorithms_of_the_transmitter_do_not_change_those_of_the_provider(provider, configure):
    configure(SIGNALS={"ALGORITHMS": ["ES256"]}, ALGORITHMS=["RS256"])
    transmitter = find_transmitter(provider.issuer)
    assert transmitter.signer.options.algorithms == ["ES256"]
    assert get_provider(provider.issuer).options.algorithms == ["RS256"]


@pytest.mark.parametrize("more", [{}, {"ISSUER": "https://transmitter.example"}])
def test_options_of_the_provider_apply_to_keys_elsewhere(provider, configure, more):
    signals = {"JWKS_URI": "http://transmitter.example/keys", **more}
    configure(SIGNALS=signals, ALGORITHMS=["ES384"], ALLOW_HTTP=True)
    transmitter = find_transmitter(more.get("ISSUER", provider.issuer))
    assert transmitter.signer.options.algorithms == ["ES384"]
    assert transmitter.signer.options.allow_http
    configure(SIGNALS={**signals, "ALGORITHMS": ["ES256"]}, ALLOW_HTTP=True)
    transmitter = find_transmitter(more.get("ISSUER", provider.issuer))
    assert transmitter.signer.options.algorithms == ["ES256"]


def test_audience_decides_between_clients(provider, settings, post):
    clients = [
        {"CLIENT_ID": "shop", "SIGNALS": {"AUTHORIZATION": "Bearer of the shop"}},
        {"CLIENT_ID": "wiki"},
        {"CLIENT_ID": "till", "SIGNALS": {"ACTIONS": {"session-revoked": "ignore"}}},
    ]
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: clients}}
    SessionFactory(issuer=provider.issuer)
    token = Transmitter(provider).token
    for audience, expected in [
        (["wiki", "till"], ["till"]),
        (["till", "shop"], ["shop", "till"]),
        (["wiki"], ["shop"]),
    ]:
        found = find_transmitters(provider.issuer, audience)
        assert [each.audiences for each in found] == [(each,) for each in expected]
    assert post(token(aud="till")).status_code == 202
    for audience, code in [("shop", "authentication_failed"), ("wiki", "authentication_failed")]:
        assert post(token(aud=audience)).json()["err"] == code
    assert Session.objects.count() == 1


def test_one_transmitter_may_speak_for_several_providers(
    provider, another_provider, settings, post
):
    shared = {"ISSUER": "https://transmitter.example", "JWKS_URI": f"{provider.issuer}/keys"}
    settings.BFF_SESSIONS = {
        "PROVIDERS": {
            provider.issuer: {"CLIENT_ID": "shop", "SIGNALS": shared},
            another_provider.issuer: {"CLIENT_ID": "shop-2", "SIGNALS": shared},
        }
    }
    for each in (provider, another_provider):
        SessionFactory(issuer=each.issuer)
    transmitter = Transmitter(another_provider, "https://transmitter.example")
    assert post(transmitter.token(aud="shop-2")).status_code == 202
    assert Session.objects.get().issuer == provider.issuer
    assert post(transmitter.token(aud="shop-3")).json()["err"] == "invalid_audience"


@pytest.fixture
def shared(provider, another_provider, settings):
    """Let the first provider be the transmitter of both, and sign alice in at both."""

    def configure(first=None, second=None):
        keys = {"ISSUER": provider.issuer, "JWKS_URI": f"{provider.issuer}/keys"}
        settings.BFF_SESSIONS = {
            "PROVIDERS": {
                provider.issuer: {"CLIENT_ID": "shop", "SIGNALS": first or {}},
                another_provider.issuer: {"CLIENT_ID": "shop-2", "SIGNALS": keys | (second or {})},
            }
        }
        for issuer in (provider.issuer, another_provider.issuer):
            SessionFactory(issuer=issuer, session_id="laptop")
        return Transmitter(provider, audience=["shop", "shop-2"])

    return configure


def signed_in(provider, another_provider):
    return [
        Session.objects.filter(issuer=each.issuer).count() for each in (provider, another_provider)
    ]


def lines(caplog):
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "bff_sessions.signals"
    ]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (lambda first, second: Transmitter(first).subject(), [0, 1]),
        (lambda first, second: Transmitter(second).subject(), [1, 0]),
        (lambda first, second: opaque("alice"), [0, 0]),
        (lambda first, second: complex_subject(session=opaque("laptop")), [0, 0]),
    ],
    ids=["the first", "the second", "both", "a session of both"],
)
def test_event_for_several_providers_reaches_the_user_of_each(
    provider, another_provider, shared, post, caplog, subject, expected
):
    caplog.set_level("INFO")
    token = shared().token(sub_id=subject(provider, another_provider))
    assert post(token).status_code == 202
    assert signed_in(provider, another_provider) == expected
    accepted = f"An event of {provider.issuer} was accepted (session-revoked)."
    assert lines(caplog) == [("INFO", f"{accepted} Sessions ended: {expected.count(0)}.")]
    caplog.clear()
    assert post(token).status_code == 202
    repeated = f"An event of {provider.issuer} was handled before: session-revoked."
    assert lines(caplog) == [("INFO", repeated)]


def test_event_that_none_of_several_providers_understands_is_logged_once(
    provider, another_provider, shared, post, caplog
):
    token = shared().token(sub_id=opaque("alice") | {"format": "email", "email": "a@b.example"})
    assert post(token).status_code == 202
    assert signed_in(provider, another_provider) == [1, 1]
    ((level, text),) = lines(caplog)
    assert level == "WARNING"
    assert text.endswith("it is an e-mail address, and EMAILS is not set.")


def test_each_provider_decides_what_the_event_does(provider, another_provider, shared, post):
    token = shared(first={"ACTIONS": {"session-revoked": "ignore"}}).token(sub_id=opaque("alice"))
    assert post(token).status_code == 202
    assert signed_in(provider, another_provider) == [1, 0]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (
            {"AUTHORIZATION": "Bearer of the first"},
            "The Authorization header is not the one that this site expects.",
        ),
        (
            {"ALGORITHMS": ["ES256"]},
            "The token is signed with an algorithm that is not allowed.",
        ),
        ({"MAX_AGE": 10, "LEEWAY": 0}, "The token was issued too long ago."),
    ],
    ids=["header", "algorithm", "age"],
)
def test_token_must_fulfil_the_rules_of_each_provider(
    provider, another_provider, shared, post, caplog, first, reason
):
    token = shared(first).token(iat=int(time.time()) - 20, sub_id=opaque("alice"))
    assert post(token).status_code == 202
    assert signed_in(provider, another_provider) == [1, 0]
    ((level, text),) = lines(caplog)
    assert level == "WARNING"
    assert text.startswith(f"A security event was refused for {provider.issuer}. {reason}")


def test_providers_whose_keys_can_be_fetched_do_not_wait_for_others(
    provider, another_provider, shared, post, clock
):
    another_provider.answers["/keys"] = (500, {}, b"")
    transmitter = shared(second={"JWKS_URI": f"{another_provider.issuer}/keys"})
    token = transmitter.token(sub_id=opaque("alice"))
    assert post(token).status_code == 503
    assert signed_in(provider, another_provider) == [0, 1]
    another_provider.answers["/keys"] = (200, {}, {"keys": provider.keys})
    clock.advance(10)
    assert post(token).status_code == 202
    assert signed_in(provider, another_provider) == [0, 0]


def test_keys_that_cannot_be_fetched_matter_more_than_a_refusal(
    provider, another_provider, shared, post
):
    another_provider.answers["/keys"] = (500, {}, b"")
    second = {"JWKS_URI": f"{another_provider.issuer}/keys"}
    token = shared({"AUTHORIZATION": "Bearer of the first"}, second).token()
    assert post(token).status_code == 503


def test_token_is_remembered_by_the_times_of_each_provider(shared, post):
    day = 24 * 60 * 60
    transmitter = shared({"MAX_AGE": day, "LEEWAY": 1}, {"MAX_AGE": 2 * day, "LEEWAY": 2})
    issued = int(time.time()) - 5
    assert post(transmitter.token(iat=issued, sub_id=opaque("alice"))).status_code == 202
    remembered = Logout.objects.values_list("expires", flat=True)
    expected = [issued + day + 1, issued + 2 * day + 2]
    assert sorted(each.timestamp() for each in remembered) == expected


def test_stream_is_verified_by_the_state_of_one_of_several(shared, post):
    transmitter = shared({"STATE": "first"}, {"STATE": "second"})
    for state, status in [("first", 202), ("second", 202), ("third", 400)]:
        token = transmitter.token(f"{SSF}verification", {"state": state})
        assert post(token).status_code == status


def test_each_client_understands_the_subject_in_its_way(provider, settings, post):
    clients = [
        {"CLIENT_ID": "shop", "SIGNALS": {}},
        {"CLIENT_ID": "till", "SIGNALS": {"OPAQUE": "session"}},
    ]
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: clients}}
    for session_id in ("laptop", "phone"):
        SessionFactory(issuer=provider.issuer, session_id=session_id)
    transmitter = Transmitter(provider, audience=["shop", "till"])
    assert post(transmitter.token(sub_id=opaque("laptop"))).status_code == 202
    assert Session.objects.get().session_id == "phone"
    assert post(transmitter.token(sub_id=opaque("alice"))).status_code == 202
    assert not Session.objects.exists()


class Callable:
    """Stands for the function of a project."""

    providers = {}
    asked = []

    def __call__(self, issuer):
        self.asked.append(issuer)
        return self.providers.get(issuer)


find_provider = Callable()


@pytest.fixture
def looked_up(provider, settings, monkeypatch):
    monkeypatch.setattr(find_provider, "providers", {})
    monkeypatch.setattr(find_provider, "asked", [])
    settings.BFF_SESSIONS = {"PROVIDERS": f"{__name__}.find_provider"}
    return find_provider


def test_callable_may_return_signals(provider, looked_up, post):
    looked_up.providers[provider.issuer] = {"CLIENT_ID": "shop", "SIGNALS": {}}
    SessionFactory(issuer=provider.issuer)
    assert post(Transmitter(provider).token()).status_code == 202
    assert not Session.objects.exists()
    assert looked_up.asked == [provider.issuer]


@pytest.mark.parametrize("options", [None, {"CLIENT_ID": "shop"}])
def test_callable_without_signals_refuses_the_token(provider, looked_up, post, options):
    looked_up.providers[provider.issuer] = options
    response = post(Transmitter(provider).token())
    assert (response.status_code, response.json()["err"]) == (400, "invalid_issuer")


def test_callable_that_fails_makes_the_transmitter_send_again(
    provider, looked_up, post, monkeypatch
):
    monkeypatch.setattr(find_provider, "providers", {provider.issuer})
    assert post(Transmitter(provider).token()).status_code == 503


def test_callable_is_not_asked_for_what_is_no_issuer(provider, looked_up, post):
    for issuer in ("a\0b", "https://idp.example?a", "x" * 300, ["a"], None):
        assert post(Transmitter(provider).token(iss=issuer)).status_code == 400
    assert looked_up.asked == []


def test_changed_settings_take_effect_at_once(provider, configure):
    configure(SIGNALS={"AUDIENCE": "first"})
    assert find_transmitter(provider.issuer).audiences == ("first",)
    configure(SIGNALS={"AUDIENCE": ["second", "third"]})
    assert find_transmitter(provider.issuer).audiences == ("second", "third")
    configure(SIGNALS={})
    assert find_transmitter(provider.issuer).audiences == (CLIENT_ID,)
    configure()
    assert find_transmitters(provider.issuer) == []


def test_secrets_are_not_shown(provider, configure):
    configure(SIGNALS={"AUTHORIZATION": "Bearer hidden", "STATE": "hidden, too"})
    assert "hidden" not in repr(find_transmitter(provider.issuer))


@pytest.mark.parametrize(
    "signals",
    [[], {"AUTHORIZATION": ""}, {"EMAILS": "shop.nope"}, {"MAX_AGE": -1}, {"NOPE": 1}],
    ids=str,
)
def test_wrong_options_are_no_fault_of_the_token(provider, configure, client, signals):
    with pytest.raises(ImproperlyConfigured, match="SIGNALS"):
        configure(SIGNALS=signals)
    client.raise_request_exception = False
    token = Transmitter(provider).token()
    assert client.post(reverse("bff_sessions:signals"), token, CONTENT_TYPE).status_code == 500
