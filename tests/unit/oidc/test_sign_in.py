"""A sign-in that a logout of its provider overtakes."""

import threading
import time
from contextlib import contextmanager
from unittest import mock
from urllib.parse import urlencode

import pytest
from django.db import connection, connections, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bff_sessions import bind_identity
from bff_sessions.engine import SessionStore
from bff_sessions.models import Logout, Session
from bff_sessions.oidc.logout import handling
from bff_sessions.oidc.providers import get_provider
from bff_sessions.signals import sessions_ended
from tests.support.calls import Calls
from tests.support.factories import UserFactory, ago
from tests.support.old_sessions import sign_in_data
from tests.support.transmitter import CAEP, CONTENT_TYPE, RISC, Transmitter, complex_subject, opaque

pytestmark = pytest.mark.django_db(transaction=True)

FORM = "application/x-www-form-urlencoded"


def log_out(provider, **claims):
    url = reverse("bff_sessions:backchannel-logout")
    token = provider.token(**claims)
    return Client().post(url, urlencode({"logout_token": token}), FORM).status_code


def claims_of(provider, **more):
    """The claims of the id token with which alice signs in."""
    return {"iss": provider.issuer, "sub": "alice", "sid": "laptop"} | more


def sign_in(calls, claims, session=None):
    session = session or SessionStore()
    calls.update(session, {"oidc": claims})
    calls.save(session)
    return session


def is_signed_in(session):
    return "oidc" in SessionStore(session.session_key)


# A logout first


def test_a_sign_in_after_the_logout_of_its_session_ends_itself(provider, calls):
    assert log_out(provider) == 200
    assert not is_signed_in(sign_in(calls, claims_of(provider)))
    assert not Session.objects.exists()


def test_so_does_one_that_began_as_an_anonymous_session(provider, calls):
    visitor = calls.start(basket=1)
    assert log_out(provider, without=["sub"]) == 200
    assert not is_signed_in(sign_in(calls, claims_of(provider), visitor))
    assert not Session.objects.exists()


def test_a_sign_in_to_another_session_of_the_provider_stays(provider, calls):
    assert log_out(provider) == 200
    assert is_signed_in(sign_in(calls, claims_of(provider, sid="phone")))


def test_a_sign_in_at_another_provider_stays(provider, another_provider, calls):
    assert log_out(provider) == 200
    assert is_signed_in(sign_in(calls, claims_of(another_provider)))
    assert is_signed_in(sign_in(calls, {"iss": "https://idp.example", "sub": "a", "sid": "laptop"}))


def test_of_a_failed_logout_the_sign_in_hears_too(provider, calls, monkeypatch):
    monkeypatch.setattr(handling, "revoke_sessions", lambda filter, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        log_out(provider)
    assert not is_signed_in(sign_in(calls, claims_of(provider)))


def test_after_some_minutes_it_is_over(provider, calls):
    assert log_out(provider) == 200
    Logout.objects.update(received=ago(minutes=3))
    assert is_signed_in(sign_in(calls, claims_of(provider)))


def test_whoever_wants_to_know_of_ended_sessions_is_told(provider, calls):
    told = []

    def receiver(sessions, **kwargs):
        told.extend(session.session_id for session in sessions)

    assert log_out(provider) == 200
    sessions_ended.connect(receiver)
    try:
        sign_in(calls, claims_of(provider))
    finally:
        sessions_ended.disconnect(receiver)
    assert told == ["laptop"]


# By sub alone: who signed in before?


@pytest.mark.parametrize("sid", ["laptop", None])
@pytest.mark.parametrize(
    ("moments", "stays"),
    [
        ({"auth_time": -10}, False),
        ({"auth_time": 0}, False),
        ({"auth_time": 1}, True),
        ({"iat": -1}, False),
        ({"iat": 1}, True),
        ({"auth_time": -10, "iat": 1}, False),
        ({"auth_time": "soon", "iat": -1}, False),
        ({"auth_time": True, "iat": 1}, True),
    ],
    ids=str,
)
def test_a_sign_in_from_before_the_logout_ends_and_a_fresh_one_stays(
    provider, calls, sid, moments, stays
):
    now = int(time.time())
    moments = {
        name: now + moment if type(moment) is int else moment for name, moment in moments.items()
    }
    assert log_out(provider, iat=now, without=["sid"]) == 200
    session = sign_in(calls, claims_of(provider, sid=sid, **moments))
    assert is_signed_in(session) == stays


@pytest.mark.parametrize(("seconds", "stays"), [(-5, True), (5, False)])
def test_without_a_moment_of_the_provider_that_of_the_save_counts(provider, calls, seconds, stays):
    assert log_out(provider, iat=int(time.time()) + seconds, without=["sid"]) == 200
    assert is_signed_in(sign_in(calls, claims_of(provider))) == stays


@pytest.mark.parametrize(("seconds", "stays"), [(-5, False), (5, True)])
def test_the_moment_can_be_bound(provider, seconds, stays):
    now = int(time.time())
    assert log_out(provider, iat=now, without=["sid"]) == 200
    request = RequestFactory().get("/")
    request.session = SessionStore()
    bind_identity(request, issuer=provider.issuer, subject_id="alice", auth_time=now + seconds)
    request.session.save()
    assert Session.objects.exists() == stays


@pytest.mark.parametrize("moment", ["soon", True, -1, float("nan"), 1e12])
def test_a_moment_that_is_none_is_not_bound(provider, moment):
    request = RequestFactory().get("/")
    request.session = SessionStore()
    with pytest.raises(ValueError, match="auth_time"):
        bind_identity(request, subject_id="alice", auth_time=moment)


def test_others_of_the_same_provider_stay(provider, calls):
    now = int(time.time())
    assert log_out(provider, iat=now, without=["sid"]) == 200
    assert is_signed_in(sign_in(calls, claims_of(provider, sub="bob", sid="b", auth_time=now - 9)))


def test_logout_of_another_session_ends_an_earlier_sign_in_without_a_sid(provider, calls):
    now = int(time.time())
    assert log_out(provider, iat=now) == 200
    for claims, stays in [
        ({"sid": None, "auth_time": now - 9}, False),
        ({"sid": None, "auth_time": now + 1}, True),
        ({"sid": None, "auth_time": now - 9, "sub": "bob"}, True),
        ({"sid": "phone", "auth_time": now - 9}, True),
    ]:
        assert is_signed_in(sign_in(calls, claims_of(provider, **claims))) == stays


@pytest.mark.parametrize(("iat", "stays"), [(-1, False), (1, True)])
def test_event_about_another_session_spares_new_id_tokens_without_a_sid(
    provider, configure, calls, iat, stays
):
    configure(SIGNALS={})
    now, transmitter = int(time.time()), Transmitter(provider)
    subject = complex_subject(user=transmitter.subject(), session=opaque("laptop"))
    token = transmitter.token(f"{CAEP}token-claims-change", iat=now, sub_id=subject)
    assert Client().post(reverse("bff_sessions:signals"), token, CONTENT_TYPE).status_code == 202
    claims = claims_of(provider, sid=None, auth_time=now - 9, iat=now + iat)
    assert is_signed_in(sign_in(calls, claims)) == stays


def test_with_all_sessions_every_earlier_sign_in_ends(provider, configure, calls):
    configure({"BACKCHANNEL_LOGOUT": {"ALL_SESSIONS": True}})
    now = int(time.time())
    sign_in(calls, claims_of(provider))
    assert log_out(provider, iat=now, without=["sub"]) == 200
    assert not is_signed_in(sign_in(calls, claims_of(provider, sid="phone", auth_time=now - 9)))
    assert is_signed_in(sign_in(calls, claims_of(provider, sid="phone", auth_time=now + 1)))


def test_repeated_logout_still_ends_earlier_sign_ins_of_the_subject(
    provider, configure, calls, monkeypatch
):
    configure({"BACKCHANNEL_LOGOUT": {"ALL_SESSIONS": True}})
    now = int(time.time())
    sign_in(calls, claims_of(provider))
    logout = {"iat": now, "jti": "1", "without": ["sub"]}
    with monkeypatch.context() as patched:
        # Interrupted after the last session has ended.
        patched.setattr("bff_sessions.oidc.models.LogoutQuerySet.finish", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            log_out(provider, **logout)
    assert not Session.objects.exists()
    assert log_out(provider, **logout) == 200
    assert not is_signed_in(sign_in(calls, claims_of(provider, sid="phone", auth_time=now - 9)))
    assert is_signed_in(sign_in(calls, claims_of(provider, sid="phone", auth_time=now + 1)))


def test_event_of_an_account_ends_earlier_sign_ins_of_the_user(provider, configure, calls):
    configure(SIGNALS={})
    now = int(time.time())
    sign_in(calls, claims_of(provider))
    subject = complex_subject(session=opaque("laptop"))
    token = Transmitter(provider).token(f"{RISC}account-disabled", iat=now, sub_id=subject)
    assert Client().post(reverse("bff_sessions:signals"), token, CONTENT_TYPE).status_code == 202
    assert not is_signed_in(sign_in(calls, claims_of(provider, sid="phone", auth_time=now - 9)))
    assert is_signed_in(sign_in(calls, claims_of(provider, sid="phone", auth_time=now + 1)))


# At a provider that is not configured


def test_sign_in_at_an_unknown_issuer_is_logged_once(provider, calls, caplog):
    for sid in ("laptop", "phone"):
        sign_in(calls, claims_of(provider, iss=provider.issuer + "/", sid=sid))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"A user signed in at '{provider.issuer}/', which is not in BFF_SESSIONS['PROVIDERS']: "
        "sign-out does not reach the provider, the provider cannot end sessions, and tokens are "
        f"not refreshed. The nearest configured issuer is '{provider.issuer}': only the final "
        "slash differs."
    )
    sign_in(calls, claims_of(provider, iss="https://idp.example", sid="tablet"))
    assert caplog.text.count("https://idp.example") == 1
    assert caplog.text.endswith(f"The nearest configured issuer is '{provider.issuer}'.\n")


def test_configured_slash_is_compared_with_an_issuer_without_it(provider, settings, calls, caplog):
    settings.BFF_SESSIONS = {"PROVIDERS": {f"{provider.issuer}/": {"CLIENT_ID": "shop"}}}
    sign_in(calls, claims_of(provider))
    assert "only the final slash differs" in caplog.text


@pytest.mark.parametrize("claims", [{"sub": "alice"}, {"iss": "https://idp.example", "sub": "a"}])
def test_sign_in_is_not_logged_without_providers(settings, calls, caplog, claims):
    settings.BFF_SESSIONS = {}
    sign_in(calls, claims)
    assert caplog.records == []


def test_user_without_a_provider_is_logged_with_where_claims_belong(provider, calls, caplog):
    user, session = UserFactory(), SessionStore()
    calls.update(session, sign_in_data(user))
    calls.save(session)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith(f"User {user.pk} signed in without the identity of a provider")
    assert "store iss, sub and sid under 'oidc' in the session, or call bind_identity()." in text


def test_issuer_in_the_log_is_short_and_ascii(provider, caplog):
    issuer = "https://idp.example/\n\x1b[2J\u202e" + "x" * 200
    sign_in(Calls(is_async=False), claims_of(provider, iss=issuer))
    (record,) = caplog.records
    assert record.getMessage().isascii()
    assert record.getMessage().isprintable()


# What it costs


def statements(action):
    with CaptureQueriesContext(connection) as queries:
        action()
    return len(queries)


def test_one_statement_more_at_sign_in_and_none_at_any_other_time(provider, settings):
    calls = Calls(is_async=False)  # Statements are counted in this thread.
    assert statements(lambda: calls.start(basket=1)) == 1
    with_provider = statements(lambda: sign_in(calls, claims_of(provider)))
    session = SessionStore(sign_in(calls, claims_of(provider, sid="phone")).session_key)
    session["basket"] = 2
    assert statements(session.save) == 1
    settings.BFF_SESSIONS = {}
    without = statements(lambda: sign_in(calls, claims_of(provider, sid="tablet")))
    assert with_provider == without + 1


def test_keys_are_had_before_the_first_logout(provider, calls):
    assert provider.requests == []
    sign_in(calls, claims_of(provider))
    with get_provider(provider.issuer).keys._prefetch:
        pass
    assert "/keys" in provider.requests


def test_wrong_settings_let_people_sign_in(provider, settings, calls, caplog):
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: {"CLIENT_ID": None}}}
    assert is_signed_in(sign_in(calls, claims_of(provider)))
    assert "CLIENT_ID" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_sign_in_goes_on_without_a_thread(provider, monkeypatch, caplog, error):
    calls = Calls(is_async=False)  # An asynchronous one has a thread itself.
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", mock.Mock(side_effect=error))
        assert is_signed_in(sign_in(calls, claims_of(provider)))
    assert type(error).__name__ in caplog.text
    # The next one tries again.
    sign_in(calls, claims_of(provider, sid="phone"))
    with get_provider(provider.issuer).keys._prefetch:
        pass
    assert "/keys" in provider.requests


def test_sign_in_goes_on_whatever_prefetching_raises(provider, calls, monkeypatch, caplog):
    fault = mock.Mock(side_effect=LookupError("secret"))
    monkeypatch.setattr("bff_sessions.oidc.providers.get_provider", fault)
    assert is_signed_in(sign_in(calls, claims_of(provider)))
    assert "LookupError" in caplog.text
    assert "secret" not in caplog.text


# Both at the same time, in threads


@contextmanager
def in_a_thread(action):
    """Run `action` beside; its result is there when the block has ended."""
    results = []

    def run():
        try:
            results.append(action())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    yield results
    thread.join(30)
    assert len(results) == 1


class Gate:
    """Stops who comes to a point until told."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def stop(self):
        self.reached.set()
        assert self.opened.wait(20)

    def wait(self):
        assert self.reached.wait(20)


def test_a_logout_between_callback_and_save_leaves_no_session(provider, calls):
    callback = SessionStore()  # The provider has answered; nothing is saved.
    callback["oidc"] = claims_of(provider)
    with in_a_thread(lambda: log_out(provider)) as answers:
        pass
    assert answers == [200]
    calls.save(callback)
    assert not Session.objects.exists()


def test_a_sign_in_between_what_a_logout_writes_and_what_it_deletes_is_deleted(
    provider, calls, monkeypatch
):
    gate, real = Gate(), handling.revoke_sessions

    def late(filter, **kwargs):
        gate.stop()
        return real(filter, **kwargs)

    monkeypatch.setattr(handling, "revoke_sessions", late)
    with in_a_thread(lambda: log_out(provider)) as answers:
        gate.wait()
        session = sign_in(calls, claims_of(provider))
        gate.opened.set()
    assert answers == [200]
    assert not is_signed_in(session)


def test_a_sign_in_that_looked_before_the_logout_wrote_is_deleted(provider, calls):
    session = sign_in(calls, claims_of(provider))
    with in_a_thread(lambda: log_out(provider)) as answers:
        pass
    assert answers == [200]
    assert not is_signed_in(session)


def test_a_sign_in_whose_row_is_written_looks_after_the_logout(provider, calls, monkeypatch):
    """Its row is there, deleted by the logout, and not brought back by what the sign-in does."""
    gate, real = Gate(), Logout.objects._queryset_class.ends

    def late(self, *args):
        gate.stop()
        return real(self, *args)

    monkeypatch.setattr("bff_sessions.oidc.models.LogoutQuerySet.ends", late)
    with in_a_thread(lambda: sign_in(calls, claims_of(provider))) as sessions:
        gate.wait()
        assert Session.objects.count() == 1
        assert log_out(provider) == 200
        assert Session.objects.count() == 0
        gate.opened.set()
    assert not is_signed_in(sessions[0])
    assert Session.objects.count() == 0


def test_a_sign_in_inside_a_transaction_looks_after_its_commit(provider):
    """The logout comes when the row is written and not yet committed: it cannot see it."""
    gate, calls = Gate(), Calls(is_async=False)

    def view():
        with transaction.atomic():
            session = sign_in(calls, claims_of(provider))
            gate.stop()
        return session

    with in_a_thread(view) as sessions:
        gate.wait()
        with in_a_thread(lambda: log_out(provider)) as answers:
            if connection.vendor == "sqlite":
                gate.opened.set()  # The logout waits: there is one writer at a time.
        assert answers == [200]
        gate.opened.set()
    assert not is_signed_in(sessions[0])
    assert Session.objects.count() == 0


@pytest.mark.race
@pytest.mark.parametrize("named", [["sub"], ["sid"]], ids=["sid", "sub"])
def test_many_that_race_leave_no_session(provider, calls, named):
    """Whichever way the threads meet."""
    now = int(time.time())
    for round_ in range(15):
        Session.objects.all().delete()
        claims = claims_of(provider, sid=f"s{round_}", auth_time=now - 9)
        start = threading.Barrier(2)

        def sign_in_at_once(start=start, claims=claims):
            start.wait(20)
            return sign_in(calls, claims)

        with in_a_thread(sign_in_at_once) as sessions:
            start.wait(20)
            time.sleep(0.0007 * round_)
            assert log_out(provider, sid=claims["sid"], without=named) == 200
        assert not is_signed_in(sessions[0])
        assert Session.objects.count() == 0
