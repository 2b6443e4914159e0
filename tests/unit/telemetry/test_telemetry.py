"""Metrics and traces with OpenTelemetry."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, OperationalError

from bff_sessions import get_access_token, measuring
from bff_sessions.contract import EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import BffSessionsError, ProviderUnavailable
from bff_sessions.models import TokenRevocation
from bff_sessions.oidc.transport import http
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.telemetry import gauges
from tests.support.endpoints import claims
from tests.support.factories import SessionFactory
from tests.support.provider import Provider
from tests.support.sessions import start
from tests.support.stores import CACHED, MEMORY
from tests.support.telemetry import Exported
from tests.support.transmitter import CONTENT_TYPE, Transmitter

SECRET = "alice-of-the-secret-subject"


@pytest.fixture
def exported(monkeypatch):
    with Exported(monkeypatch) as exported:
        yield exported


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    return lambda: django_capture_on_commit_callbacks(execute=True)


def sign_in(**more):
    session = SessionStore()
    session.update(claims(**more))
    session.save()
    return session


def test_starts_and_ends_are_counted(db, exported, committed):
    with committed():
        sign_in(subject_id="alice", session_id="a")
        sign_in(subject_id="bob", session_id="b")
        sign_in(subject_id="carol", session_id="c")
    with committed():
        revoke_sessions(UserSessionsFilter(subject_id="alice"), reason=EndReason.OPERATOR)
    with committed():
        revoke_sessions(UserSessionsFilter(subject_id="bob"))
    figures = exported.figures()
    assert figures["sessions.started", "default"] == 3
    assert figures["sessions.ended", "default", "operator"] == 1
    assert figures["sessions.ended", "default", "code"] == 1


def test_saves_are_counted_by_result(db, exported):
    session = sign_in()
    first, second = SessionStore(session.session_key), SessionStore(session.session_key)
    first["a"], second["b"] = 1, 2
    first.save()
    second.save()
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    first["c"] = 3
    with pytest.raises(Exception, match="ended"):
        first.save()
    figures = exported.figures()
    assert figures["saves", "saved"] == 2
    assert figures["saves", "merged"] == 1
    assert figures["saves", "ended"] == 1


@pytest.mark.django_db(transaction=True)
def test_retries_are_counted(exported, monkeypatch):
    monkeypatch.setattr("bff_sessions.stores.databases.retrying.is_rolled_back", lambda error: True)
    tries = []

    def work():
        tries.append(None)
        if len(tries) < 3:
            raise OperationalError
        return 1

    assert retry("default", work) == 1
    assert exported.figures()["retries", "repeated"] == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("result", ["refreshed", "refused", "unavailable"])
def test_refreshes_are_counted_by_result(exported, settings, rf, result):
    with Provider() as provider:
        settings.BFF_SESSIONS = provider.settings
        request = rf.get("/")
        request.session = SessionStore(start(**provider.sign_in(expires_in=-1)))
        request.user = AnonymousUser()
        if result == "refused":
            provider.refresh_tokens.clear()
        elif result == "unavailable":
            provider.answers["/token"] = (503, {}, "")
        with nullcontext() if result == "refreshed" else pytest.raises(BffSessionsError):
            get_access_token(request)
    assert exported.figures()["refreshes", result] == 1


@pytest.mark.parametrize("result", ["accepted", "refused", "unavailable"])
def test_logout_tokens_are_counted_by_result(db, exported, settings, client, result):
    settings.ROOT_URLCONF = "tests.support.oidc_urls"
    with Provider() as provider:
        settings.BFF_SESSIONS = provider.settings
        if result == "unavailable":
            provider.answers["/keys"] = (500, {}, "")
        token = "garbage" if result == "refused" else provider.token()
        client.post(
            "/bff/backchannel-logout",
            f"logout_token={token}",
            content_type="application/x-www-form-urlencoded",
        )
    assert exported.figures()["logout_tokens", result] == 1


@pytest.mark.parametrize("result", ["accepted", "refused", "unavailable"])
def test_security_events_are_counted_by_result(db, exported, settings, client, result):
    settings.ROOT_URLCONF = "tests.support.oidc_urls"
    with Provider() as provider:
        settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: provider.options | {"SIGNALS": {}}}}
        if result == "unavailable":
            provider.answers["/keys"] = (500, {}, "")
        token = "garbage" if result == "refused" else Transmitter(provider).token()
        client.post("/bff/signals", token, content_type=CONTENT_TYPE)
    assert exported.figures()["security_events", result] == 1


def test_live_sessions_are_measured(db, exported, settings):
    assert exported.figures()["sessions.live",] == 0
    SessionFactory.create_batch(3)
    SessionFactory.create_batch(2, expired=True)
    assert exported.figures()["sessions.live",] == 3
    settings.BFF_SESSIONS = {"STORE": CACHED}
    assert exported.figures()["sessions.live",] == 3
    settings.BFF_SESSIONS = {"STORE": MEMORY}
    assert ("sessions.live",) not in exported.figures()


@pytest.mark.django_db(transaction=True)
def test_reads_through_the_cache_are_counted(exported, settings, monkeypatch):
    settings.BFF_SESSIONS = {"STORE": CACHED}
    session = sign_in()
    for _ in range(3):
        SessionStore(session.session_key).load()
    figures = exported.figures()
    assert figures["cache_reads", "miss"] == 1
    assert figures["cache_reads", "hit"] == 2

    monkeypatch.setattr("bff_sessions.stores.cached.backend.Cache.get", lambda cache, names: None)
    SessionStore(session.session_key).load()
    assert exported.figures()["cache_reads", "fault"] == 1


def test_outbox_is_measured(db, exported):
    assert exported.figures()["outbox.size",] == 0
    assert exported.figures()["outbox.age",] == 0
    now = datetime.now(UTC)
    for number in range(2):
        TokenRevocation.objects.create(
            digest=str(number),
            issuer="https://idp.example",
            token=b"",
            due=now,
            created=now - timedelta(seconds=60),
        )
    figures = exported.figures()
    assert figures["outbox.size",] == 2
    assert 60 <= figures["outbox.age",] < 120


def test_figure_that_cannot_be_read_is_logged_without_its_text(db, exported, monkeypatch, caplog):
    def fail(rows):
        raise DatabaseError(SECRET)

    monkeypatch.setattr("bff_sessions.oidc.models.TokenRevocationQuerySet.oldest", fail)
    assert ("outbox.age",) not in exported.figures()
    assert ("outbox.size",) in exported.figures()
    assert SECRET not in caplog.text
    assert "A figure could not be read: DatabaseError." in caplog.text


def test_database_that_cannot_be_named_costs_its_figure_only(caplog):
    def fail():
        raise LookupError(SECRET)

    observe = gauges._gauge(fail, lambda: 1.0)
    # The router of a project may fail.
    assert list(observe(None)) == []
    assert caplog.messages == ["A figure could not be read: LookupError."]


def test_calls_of_the_store_are_spans(db, exported):
    session = sign_in()
    SessionStore(session.session_key).load()
    names = [span.name for span in exported.spans()]
    assert "bff_sessions.store.create_user_session" in names
    assert names[-1] == "bff_sessions.store.get_user_session"


def test_calls_of_asynchronous_code_are_spans(exported, monkeypatch):
    async def absent(key):
        return None

    monkeypatch.setattr(type(get_store()), "aget_user_session", staticmethod(absent))
    async_to_sync(SessionStore("k" * 32).aload)()
    assert [span.name for span in exported.spans()] == ["bff_sessions.store.get_user_session"]


def test_request_to_a_provider_is_a_span_that_names_its_error(exported, monkeypatch):
    def fail(exchange, seconds):
        raise ProviderUnavailable(SECRET)

    monkeypatch.setattr(http, "run_in_time", fail)
    with pytest.raises(ProviderUnavailable):
        http.get(f"https://idp.example/{SECRET}")
    (span,) = exported.spans()
    assert span.name == "bff_sessions.provider.request"
    assert span.attributes == {"error.type": "ProviderUnavailable"}
    assert not span.status.is_ok
    assert SECRET not in exported.text()


def test_nothing_that_is_exported_names_a_person_or_a_key(db, exported, committed):
    with committed():
        session = sign_in(subject_id=SECRET, session_id="secret-sid", name="secret-name")
        loaded = SessionStore(session.session_key)
        loaded["a"] = "secret-data"
        loaded.save()
        loaded.cycle_key()
    with committed():
        revoke_sessions(UserSessionsFilter(subject_id=SECRET))
    text = exported.text()
    assert "sessions.ended" in text
    assert "secret" not in text
    assert session.session_key not in text
    assert session.store_key not in text


def test_without_the_app_nothing_is_measured(db, django_assert_num_queries):
    assert measuring._listener is None
    steps = iter(())
    assert measuring.traced("get_user_session", steps) is steps
