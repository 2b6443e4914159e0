"""send_event(), with which projects test what security events do."""

from unittest import mock

import pytest

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.models import Session
from bff_sessions.testing.events import send_event
from tests.support.factories import SessionFactory

pytestmark = pytest.mark.django_db

IDP = "https://idp.example"


@pytest.fixture
def provide(settings):
    def provide(signals, **options):
        settings.ROOT_URLCONF = "tests.support.oidc_urls"
        options = {"CLIENT_ID": "shop", "SIGNALS": signals, **options}
        settings.BFF_SESSIONS = {"PROVIDERS": {IDP: options}}
        for session_id in ("laptop", "phone"):
            SessionFactory(session_id=session_id)
        SessionFactory(subject_id="bob", session_id="tablet")

    return provide


def left():
    return sorted(Session.objects.values_list("session_id", flat=True))


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"sub": "alice"}, ["tablet"]),
        ({"sid": "phone"}, ["laptop", "tablet"]),
        ({"sub": "alice", "sid": "laptop"}, ["phone", "tablet"]),
        ({"sub": "bob", "sid": "laptop"}, ["laptop", "phone", "tablet"]),
        ({"subject": {"format": "opaque", "id": "bob"}}, ["laptop", "phone"]),
    ],
    ids=str,
)
def test_event_ends_what_it_names(provide, client, named, expected):
    provide({})
    assert send_event(client, "session-revoked", **named).status_code == 202
    assert left() == expected


@pytest.mark.parametrize(
    "algorithm", ["RS256", "PS384", "ES256", "ES384", "ES512", "ES256K", "EdDSA"]
)
def test_event_is_signed_as_the_site_expects(provide, client, algorithm):
    provide({"ALGORITHMS": [algorithm]})
    assert send_event(client, "account-disabled", sub="alice").status_code == 202
    assert left() == ["tablet"]


@pytest.mark.parametrize(
    "signals",
    [
        {"AUTHORIZATION": ["Bearer new", "Bearer old"]},
        {"AUDIENCE": ["a", "b"]},
        {"ALGORITHMS": {"ES256"}},
        {"ISSUER": "https://transmitter.example", "SUBJECT_ISSUERS": "https://other.example"},
        {"ISSUER": "https://transmitter.example", "JWKS_URI": "https://transmitter.example/keys"},
    ],
    ids=str,
)
def test_event_fits_the_options(provide, client, signals):
    provide(signals)
    assert send_event(client, "session-revoked", sub="alice", issuer=IDP).status_code == 202
    assert left() == ["tablet"]


def test_payload_and_uri_are_sent(provide, client):
    provide({"ACTIONS": {"https://vendor.example/event": "end"}})
    payload = {"change_type": "create"}
    assert send_event(client, "credential-change", sub="alice", payload=payload).status_code == 202
    assert left() == ["laptop", "phone", "tablet"]
    assert send_event(client, "https://vendor.example/event", sub="bob").status_code == 202
    assert left() == ["laptop", "phone"]


@pytest.mark.parametrize("event", ["verification", "stream-updated"])
def test_events_of_the_stream_can_be_sent(provide, client, event, caplog):
    caplog.set_level("INFO", "bff_sessions.signals")
    provide({})
    stream = {"format": "opaque", "id": "stream"}
    assert send_event(client, event, subject=stream).status_code == 202
    assert "stream" in caplog.text


def test_site_without_signals_is_named(provide, client):
    provide(None)
    with pytest.raises(ValueError, match="SIGNALS"):
        send_event(client, "session-revoked", sub="alice")


def test_event_needs_a_subject(provide, client):
    provide({})
    with pytest.raises(ValueError, match="sub, sid or subject"):
        send_event(client, "session-revoked")


def test_key_exists_for_one_call_only(provide, client, monkeypatch):
    provide({})
    sent = []
    real = client.post
    monkeypatch.setattr(client, "post", lambda *args, **kwargs: sent.append((args, kwargs)))
    send_event(client, "session-revoked", sub="alice")
    no_keys = mock.Mock(side_effect=ProviderUnavailable)
    monkeypatch.setattr("bff_sessions.oidc.providers.keys.SigningKeys.get", no_keys)
    ((args, kwargs),) = sent
    assert real(*args, **kwargs).status_code == 503
    assert left() == ["laptop", "phone", "tablet"]
