"""Transmitters with keys, an issuer or metadata of their own."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from bff_sessions.models import Session
from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.shared_signals.transmitters import find_transmitter, get_metadata_url
from tests.support.factories import SessionFactory
from tests.support.provider import CLIENT_ID, Provider
from tests.support.transmitter import CONTENT_TYPE, Transmitter

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
    assert find_transmitter(provider.issuer, ["wiki", "till"]).audiences == ("till",)
    assert find_transmitter(provider.issuer, ["shop", "till"]).audiences == ("shop",)
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
    assert find_transmitter(provider.issuer) is None


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
