from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user, login
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpResponse, JsonResponse
from django.test import Client
from django.urls import path

from bff_sessions.contract import DELETED, DeletedSession, EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import RevocationUnconfirmed, SessionMissing
from bff_sessions.models import Session
from bff_sessions.protection import store_key
from bff_sessions.revocation import (
    arevoke_session,
    arevoke_sessions,
    revoke_session,
    revoke_sessions,
)
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from tests.support.factories import SessionFactory, UserFactory
from tests.support.stores import MINIMAL

# The signal is sent after the commit.
pytestmark = pytest.mark.django_db(transaction=True)

ALICE = UserSessionsFilter(subject_id="alice")
REVOKE = pytest.mark.parametrize(
    "revoke", [revoke_sessions, async_to_sync(arevoke_sessions)], ids=["sync", "async"]
)


@pytest.fixture
def heard():
    """What receivers of the signal got."""
    calls = []

    def receiver(sender, **kwargs):
        kwargs.pop("signal")
        calls.append((sender, kwargs))

    sessions_ended.connect(receiver)
    yield calls
    assert sessions_ended.disconnect(receiver)


@pytest.fixture
def broken_receiver():
    def receiver(**kwargs):
        raise RuntimeError("a fault of the receiver")

    sessions_ended.connect(receiver)
    yield
    assert sessions_ended.disconnect(receiver)


@pytest.fixture
def broken_async_receiver():
    async def receiver(**kwargs):
        raise RuntimeError("a fault of the receiver")

    sessions_ended.connect(receiver)
    yield
    assert sessions_ended.disconnect(receiver)


def deleted(row, reason=EndReason.CODE):
    return DeletedSession(**{name: getattr(row, name) for name in DELETED}, reason=reason)


def signal_of(sessions, reason=EndReason.CODE, actor=None):
    """What a receiver gets outside of a request."""
    return {"sessions": sessions, "reason": reason, "actor": actor, "request": None}


# By filter


@REVOKE
def test_the_number_of_sessions_that_ended_is_returned(revoke):
    SessionFactory.create_batch(3)
    bob = SessionFactory(subject_id="bob")
    assert revoke(ALICE) == 3
    assert Session.objects.get() == bob
    assert revoke(ALICE) == 0


@REVOKE
def test_expired_sessions_are_deleted_and_not_counted(revoke, heard):
    old, row = SessionFactory(expired=True), SessionFactory(endless=True)
    assert revoke(ALICE) == 1
    assert not Session.objects.exists()
    old, row = deleted(old, EndReason.EXPIRED), deleted(row)
    assert {(end["reason"], *end["sessions"]) for _, end in heard} == {
        (EndReason.EXPIRED, old),
        (EndReason.CODE, row),
    }


@REVOKE
def test_revoking_by_sid_leaves_other_sessions(revoke):
    SessionFactory(session_id="1")
    other = SessionFactory(session_id="2")
    assert revoke(UserSessionsFilter(subject_id="alice", session_id="1")) == 1
    assert Session.objects.get() == other


@REVOKE
def test_revoking_at_one_provider_leaves_the_subject_of_another(revoke):
    SessionFactory(issuer="https://a.example")
    other = SessionFactory(issuer="https://b.example")
    assert revoke(UserSessionsFilter(subject_id="alice", issuer="https://a.example")) == 1
    assert Session.objects.get() == other


@REVOKE
def test_one_session_can_be_spared(revoke):
    SessionFactory.create_batch(2)
    mine = SessionFactory()
    assert revoke(UserSessionsFilter(subject_id="alice", exclude_key=mine.key)) == 2
    assert Session.objects.get() == mine


@REVOKE
def test_the_signal_tells_once_what_ended(revoke, heard):
    rows = SessionFactory.create_batch(3)
    revoke(ALICE)
    ((sender, kwargs),) = heard
    assert sender is OrmUserSessionStore
    assert set(kwargs) == {"sessions", "reason", "actor", "request"}
    assert isinstance(kwargs["sessions"], list)
    by_key = {session.key: session for session in kwargs["sessions"]}
    assert by_key == {row.key: deleted(row) for row in rows}


@REVOKE
def test_the_sessions_of_the_signal_do_not_print_key_or_ticket(revoke, heard):
    row = SessionFactory(ticket=b"the encrypted data")
    revoke(ALICE)
    sessions = heard[0][1]["sessions"]
    text = f"{sessions} {sessions[0]!s}"
    assert "alice" in text
    assert row.key not in text
    assert "encrypted" not in text


@REVOKE
def test_there_is_no_signal_when_nothing_ended(revoke, heard):
    SessionFactory(subject_id="bob")
    revoke(ALICE)
    assert heard == []


@REVOKE
def test_a_receiver_finds_the_sessions_gone(revoke):
    left = []

    def receiver(**kwargs):
        left.append(Session.objects.count())

    SessionFactory()
    sessions_ended.connect(receiver)
    try:
        revoke(ALICE)
    finally:
        sessions_ended.disconnect(receiver)
    assert left == [0]


@REVOKE
@pytest.mark.parametrize("broken", ["broken_receiver", "broken_async_receiver"])
def test_a_failing_receiver_neither_undoes_nor_hides_a_revocation(revoke, broken, request, caplog):
    # Connected before the good one, so that it could keep it from hearing.
    request.getfixturevalue(broken)
    heard = request.getfixturevalue("heard")
    SessionFactory.create_batch(2)
    assert revoke(ALICE) == 2
    assert not Session.objects.exists()
    assert len(heard) == 1
    assert "a fault of the receiver" in caplog.text


@REVOKE
def test_asynchronous_receivers_hear_of_it_too(revoke):
    calls = []

    async def receiver(sessions, **kwargs):
        calls.append(sessions)

    row = SessionFactory()
    sessions_ended.connect(receiver)
    try:
        revoke(ALICE)
    finally:
        sessions_ended.disconnect(receiver)
    assert calls == [[deleted(row)]]


@REVOKE
def test_it_works_with_another_store(revoke, settings, heard):
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.memory.InMemoryUserSessionStore"}
    session = make_session()
    get_store().create_user_session(session)
    assert revoke(ALICE) == 1
    assert get_store().get_user_session(session.key) is None
    ended = replace(DeletedSession.of(session), reason=EndReason.CODE)
    assert heard == [(InMemoryUserSessionStore, signal_of([ended]))]


@REVOKE
def test_more_sessions_than_fit_into_one_statement_end(revoke, heard):
    Session.objects.bulk_create(SessionFactory.build_batch(1100))
    bob = SessionFactory(subject_id="bob")
    assert revoke(ALICE) == 1100
    assert Session.objects.get() == bob
    assert len(heard) == 1
    assert len({session.key for session in heard[0][1]["sessions"]}) == 1100


@pytest.mark.parametrize("criteria", [{}, {"subject_id": " "}, {"issuer": "https://idp.example"}])
def test_everybody_cannot_be_meant(criteria):
    SessionFactory()
    with pytest.raises(ValueError, match="every session"):
        revoke_sessions(UserSessionsFilter(**criteria))
    assert Session.objects.count() == 1


# By key


@pytest.fixture(params=[revoke_session, async_to_sync(arevoke_session)], ids=["sync", "async"])
def end(request):
    return request.param


@pytest.mark.parametrize("whose", [{}, {"endless": True}])
def test_one_session_ends_and_the_signal_tells(end, whose, heard):
    row = SessionFactory(**whose)
    other = SessionFactory(**whose)
    assert end(row.key) is True
    assert Session.objects.get() == other
    assert heard == [(OrmUserSessionStore, signal_of([deleted(row)]))]


def test_end_of_an_anonymous_session_is_not_announced(end, heard):
    assert end(SessionFactory(anonymous=True).key) is True
    assert not Session.objects.exists()
    assert heard == []


@pytest.mark.parametrize("whose", [{}, {"anonymous": True}])
def test_one_expired_session_ends(end, whose):
    row = SessionFactory(expired=True, **whose)
    assert end(row.key) is True
    assert not Session.objects.exists()


def test_one_expired_session_that_is_ended_has_expired(end, heard):
    row = SessionFactory(expired=True)
    assert end(row.key) is True
    ended = signal_of([deleted(row, EndReason.EXPIRED)], EndReason.EXPIRED)
    assert heard == [(OrmUserSessionStore, ended)]


def test_ending_one_session_twice_ends_it_once(end, heard):
    row = SessionFactory()
    assert end(row.key) is True
    assert end(row.key) is False
    assert len(heard) == 1


def test_the_signal_does_not_tell_of_what_another_has_just_ended(end, heard, monkeypatch):
    row = SessionFactory()
    delete = OrmUserSessionStore.delete_user_session

    def too_late(self, key, **arguments):
        delete(self, key)
        return delete(self, key, **arguments)

    monkeypatch.setattr(OrmUserSessionStore, "delete_user_session", too_late)
    assert end(row.key) is False
    assert heard == []


def test_an_unknown_key_ends_nothing(end, heard):
    SessionFactory()
    assert end("0" * 64) is False
    assert Session.objects.count() == 1
    assert heard == []


def test_a_failing_receiver_neither_undoes_nor_hides_the_end_of_one(end, broken_receiver, heard):
    row = SessionFactory()
    assert end(row.key) is True
    assert not Session.objects.exists()
    assert len(heard) == 1


# Signed out is out


def end_all_of(user_id):
    assert revoke_sessions(UserSessionsFilter(user_id=user_id)) == 1


def end_one_of(user_id):
    assert revoke_session(Session.objects.get(user_id=user_id).key)


def end_all_of_async(user_id):
    assert async_to_sync(arevoke_sessions)(UserSessionsFilter(user_id=user_id)) == 1


WAYS = {"filter": end_all_of, "key": end_one_of, "async": end_all_of_async}


def sign_in(request):
    login(request, UserFactory())
    return HttpResponse()


def show(request):
    return JsonResponse({"user": get_user(request).username, "cart": request.session.get("cart")})


def be_revoked(request, way, doing):
    """Somebody ends the session while this request is on its way."""
    session = request.session
    WAYS[way](str(get_user(request).pk))
    if doing == "write":
        session["cart"] = 1
    elif doing == "write in place":
        session.modified = True
    elif doing == "cycle":
        session.cycle_key()
    elif doing == "sign in again":
        login(request, get_user(request))
    return HttpResponse()


urlpatterns = [
    path("sign-in/", sign_in),
    path("show/", show),
    path("be-revoked/<way>/<doing>/", be_revoked),
]


@pytest.fixture
def browser(client):
    client.get("/sign-in/")
    return client


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("doing", ["write", "write in place", "cycle"])
@pytest.mark.usefixtures("djangos_middleware")
def test_a_request_in_flight_gets_400_and_brings_nothing_back(browser, way, doing):
    session_key = browser.cookies["sessionid"].value
    assert browser.get(f"/be-revoked/{way}/{doing}/").status_code == 400
    assert not Session.objects.exists()
    again = Client()
    again.cookies["sessionid"] = session_key
    assert again.get("/show/").json() == {"user": "", "cart": None}
    assert not Session.objects.exists()


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("way", WAYS)
def test_a_request_in_flight_that_only_reads_ends_as_it_began(browser, way):
    assert browser.get(f"/be-revoked/{way}/read/").status_code == 200
    assert not Session.objects.exists()
    assert browser.get("/show/").json() == {"user": "", "cart": None}


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("djangos_middleware")
def test_a_request_in_flight_that_renews_gets_400(browser, way, settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    assert browser.get(f"/be-revoked/{way}/read/").status_code == 400
    assert not Session.objects.exists()


@pytest.mark.urls(__name__)
@pytest.mark.usefixtures("djangos_middleware")
def test_signing_in_again_in_a_revoked_request_does_not_revive_the_session(browser):
    session_key = browser.cookies["sessionid"].value
    assert browser.get("/be-revoked/filter/sign in again/").status_code == 400
    assert not SessionStore(session_key).exists(session_key)
    assert not Session.objects.exists()


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("way", WAYS)
def test_a_browser_whose_session_was_revoked_is_signed_out_and_can_sign_in_again(browser, way):
    assert browser.get("/show/").json()["user"]
    WAYS[way](Session.objects.get().user_id)
    assert browser.get("/show/").json()["user"] == ""
    browser.get("/sign-in/")
    assert browser.get("/show/").json()["user"]


@pytest.mark.parametrize("change", ["save", "cycle_key"])
def test_a_loaded_session_that_was_revoked_cannot_be_saved(change):
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "5"}
    session.save()
    session = SessionStore(session.session_key)
    session["cart"] = 1
    assert revoke_session(store_key("default", session.session_key))
    with pytest.raises((UpdateError, SessionInterrupted)):
        getattr(session, change)()
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    "revoke", [revoke_session, async_to_sync(arevoke_session)], ids=["sync", "async"]
)
def test_a_session_that_moves_to_another_key_meanwhile_ends(revoke, heard, monkeypatch):
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
    session.save()
    store, key = get_store(), session.store_key
    look = store.get_user_session

    def look_and_let_it_move(key):
        row = look(key)
        monkeypatch.undo()
        SessionStore(session.session_key).cycle_key()
        return row

    monkeypatch.setattr(store, "get_user_session", look_and_let_it_move)
    assert revoke(key)
    assert store.get_user_sessions(ALICE) == []
    assert [ended.session_id for _, told in heard for ended in told["sessions"]] == ["s1"]


CLAIMS = {"oidc": {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}}


def keys_in(heard):
    return [session.key for _, kwargs in heard for session in kwargs["sessions"]]


def test_replaced_session_is_announced_once(any_store, calls, heard):
    old = calls.start(**CLAIMS)
    key = old.get_user_session().key
    new = calls.start(**CLAIMS)
    assert keys_in(heard) == [key]
    assert new.get_user_session() is not None


def test_session_above_the_limit_is_announced_once(any_store, calls, heard, settings):
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "MAX_SESSIONS_PER_SUBJECT": 1}
    key = calls.start(**CLAIMS).get_user_session().key
    other = {"oidc": {**CLAIMS["oidc"], "sid": "s2"}}
    calls.start(**other)
    assert keys_in(heard) == [key]


def test_replaced_session_that_does_not_open_is_left_alone(any_store, calls, heard, settings):
    old = calls.start(**CLAIMS)
    key = old.get_user_session().key
    settings.SECRET_KEY = "another key, and a wrong one"
    calls.start(**CLAIMS)
    assert heard == []
    assert get_store().get_user_session(key) is not None


@REVOKE
def test_session_that_is_moving_is_revoked_once(revoke, heard, settings):
    settings.BFF_SESSIONS = {"STORE": MINIMAL}
    store, session = get_store(), make_session(subject_id="alice", session_id="s1")
    store.create_user_session(session)
    create, numbers = store.create_user_session, []

    def create_and_revoke(new):
        create(new)
        numbers.append(revoke(ALICE))

    store.create_user_session = create_and_revoke
    with pytest.raises(SessionMissing):
        store.rekey_user_session(session.key, replace(session, key="b" * 64), if_version=1)
    assert numbers == [1]
    [(_, told)] = heard
    assert [ended.sign_in_id for ended in told["sessions"]] == [session.sign_in_id]
    assert store.get_user_sessions(ALICE) == []


@pytest.mark.parametrize("by_key", [False, True])
def test_revocation_that_replicas_have_not_confirmed_is_announced(heard, monkeypatch, by_key):
    session = make_session()
    get_store().create_user_session(session)
    verb = "delete_user_session" if by_key else "delete_user_sessions"
    delete = getattr(get_store(), verb)

    def delete_unconfirmed(*args, **kwargs):
        delete(*args, **kwargs)
        raise RevocationUnconfirmed([DeletedSession.of(session)])

    monkeypatch.setattr(get_store(), verb, delete_unconfirmed)
    with pytest.raises(RevocationUnconfirmed, match="too few replicas"):
        revoke_session(session.key) if by_key else revoke_sessions(ALICE)
    [(_, arguments)] = heard
    assert [ended.key for ended in arguments["sessions"]] == [session.key]
