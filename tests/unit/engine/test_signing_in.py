"""A session is of one person: claims of somebody who was signed in before do not stay."""

import itertools
import math
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import SESSION_KEY, alogin, login

from bff_sessions import bind_identity
from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.oidc.tokens import read_tokens
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.testing.fixtures import sealed
from tests.support.factories import UserFactory
from tests.support.id_tokens import id_token
from tests.support.sessions import request_with
from tests.support.stores import MINIMAL

ISSUER = "https://idp.example"


def claims_of(subject_id, **more):
    return {"iss": ISSUER, "sub": subject_id, "sid": f"sid of {subject_id}", **more}


def bind(session, subject_id):
    bind_identity(
        request_with(session),
        issuer=ISSUER,
        subject_id=subject_id,
        session_id=f"sid of {subject_id}",
    )


def keep_claims(session, subject_id):
    session["oidc"] = claims_of(subject_id, access_token=f"access token of {subject_id}")


def keep_id_token(session, subject_id):
    session["oidc_id_token"] = id_token(claims_of(subject_id))
    session["oidc_access_token"] = f"access token of {subject_id}"
    session["oidc_refresh_token"] = f"refresh token of {subject_id}"


WAYS = {"bound": bind, "claims": keep_claims, "id token": keep_id_token}


def set_user(session, user):
    session[SESSION_KEY] = str(user.pk)


def update_user(session, user):
    session.update({SESSION_KEY: str(user.pk)})


LOGINS = {
    "login": lambda session, user: login(request_with(session), user),
    "alogin": lambda session, user: async_to_sync(alogin)(request_with(session), user),
    "key": set_user,
    "akey": lambda session, user: async_to_sync(session.aset)(SESSION_KEY, str(user.pk)),
    "update": update_user,
}


def by(names):
    return pytest.mark.parametrize("way", [WAYS[name] for name in names], ids=list(names))


def logins(names=LOGINS):
    return pytest.mark.parametrize("log_in", [LOGINS[name] for name in names], ids=list(names))


@pytest.fixture
def of_mallory(any_store):
    """Starts a session in which mallory is signed in, for another browser to use."""

    def start(*ways):
        session = SessionStore()
        for way in ways:
            way(session, "mallory")
        session["cart"] = 1
        session.save()
        return session.session_key

    return start


def found(session_key):
    session = SessionStore(session_key)
    row = session.get_user_session()
    assert row is not None
    return session, row


@logins()
@by(WAYS)
def test_claims_of_before_go_when_a_user_signs_in(of_mallory, log_in, way):
    key = of_mallory(way)
    user = UserFactory()
    session = SessionStore(key)
    log_in(session, user)
    session.save()
    session, row = found(session.session_key)
    assert (row.issuer, row.subject_id, row.user_id) == (None, str(user.pk), str(user.pk))
    assert "mallory" not in repr(dict(session.items()))
    assert read_tokens(session) is None
    assert session.session_key != key
    assert SessionStore(key).get_user_session() is None


class PickleSerializer:
    def dumps(self, data):
        return pickle.dumps(data)

    def loads(self, plain):
        return pickle.loads(plain)


def test_claims_that_hold_a_nan_go_when_a_user_signs_in(of_mallory, settings):
    """A NaN differs from itself, so that these claims seemed to be written anew."""
    settings.SESSION_SERIALIZER = f"{__name__}.PickleSerializer"
    claims = claims_of("mallory", score=math.nan)
    key = of_mallory(lambda session, name: session.update({"oidc": claims}))
    session = SessionStore(key)
    login(request_with(session), UserFactory())
    session.save()
    assert "mallory" not in repr(dict(found(session.session_key)[0].items()))


@logins()
@by(WAYS)
@pytest.mark.parametrize("is_first", [True, False], ids=["claims first", "user first"])
def test_claims_of_the_user_who_signs_in_stay(of_mallory, log_in, way, is_first):
    session = SessionStore(of_mallory(way))
    user = UserFactory()
    if is_first:
        way(session, "alice")
        log_in(session, user)
    else:
        log_in(session, user)
        way(session, "alice")
    session.save()
    session, row = found(session.session_key)
    assert (row.subject_id, row.session_id) == ("alice", "sid of alice")
    assert row.user_id == str(user.pk)
    assert "mallory" not in repr(dict(session.items()))


@pytest.mark.parametrize(
    ("before", "after"),
    list(itertools.permutations(WAYS.values(), 2)),
    ids=lambda way: way.__name__,
)
def test_claims_of_before_go_when_others_come(of_mallory, before, after):
    key = of_mallory(before)
    session = SessionStore(key)
    after(session, "alice")
    session.save()
    session, row = found(session.session_key)
    assert row.subject_id == "alice"
    assert "mallory" not in repr(dict(session.items()))
    assert session.session_key != key


def test_all_claims_of_before_go_at_once(of_mallory):
    session = SessionStore(of_mallory(*WAYS.values()))
    login(request_with(session), UserFactory())
    session.save()
    session, _ = found(session.session_key)
    assert "mallory" not in repr(dict(session.items()))
    assert session["cart"] == 1


@logins(["login", "alogin"])
def test_claims_that_are_written_again_after_the_login_stay(of_mallory, log_in):
    session = SessionStore(of_mallory(bind))
    user = UserFactory()
    log_in(session, user)
    bind(session, "mallory")  # She registers: the same person, and now a user.
    session.save()
    _, row = found(session.session_key)
    assert (row.issuer, row.subject_id, row.user_id) == (ISSUER, "mallory", str(user.pk))


@by(WAYS)
def test_claims_stay_when_the_same_user_signs_in_again(any_store, db, way):
    user, session = UserFactory(), SessionStore()
    login(request_with(session), user)
    way(session, "alice")
    session.save()
    session = SessionStore(session.session_key)
    login(request_with(session), user)
    session.save()
    _, row = found(session.session_key)
    assert (row.subject_id, row.user_id) == ("alice", str(user.pk))


def test_two_sources_of_one_sign_in_may_name_two_subjects(any_store):
    session = SessionStore()
    keep_claims(session, "alice")
    bind(session, "alice here")
    session.save()
    session = SessionStore(session.session_key)
    # As a refreshed token does.
    session["oidc"] = {**session["oidc"], "access_token": "new"}
    session.save()
    session, row = found(session.session_key)
    assert row.subject_id == "alice here"
    assert session["oidc"]["access_token"] == "new"


def test_other_data_stays_when_a_user_signs_in(of_mallory):
    session = SessionStore(of_mallory(keep_claims))
    login(request_with(session), UserFactory())
    session.save()
    session, _ = found(session.session_key)
    assert session["cart"] == 1


def resolve_user(data):
    """A resolver that reads nothing but a key of its own."""
    from bff_sessions import Identity

    return Identity(subject_id=data["who"], user_id=data.get(SESSION_KEY))


def test_another_user_moves_the_session_whatever_the_resolver(settings, transactional_db):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": f"{__name__}.resolve_user"}
    session = SessionStore()
    session["who"] = "somebody"
    session.save()
    key = session.session_key
    session = SessionStore(key)
    session[SESSION_KEY] = "7"
    session.save()
    assert session.session_key != key
    assert get_store().get_user_session(session.store_key).user_id == "7"
    assert SessionStore(key).get_user_session() is None


# Tokens that are refreshed in the request that signs in


def refresh(session, way):
    """What get_access_token() does with the tokens of whoever is signed in."""
    with session.refreshing():
        if way is keep_id_token:
            session["oidc_access_token"] = "a new token of mallory"
        else:
            session["oidc"] = {**session["oidc"], "access_token": "a new token of mallory"}


@logins()
@by(["claims", "id token"])
@pytest.mark.parametrize("is_saved", [False, True])
def test_refreshed_tokens_of_before_go_too(of_mallory, log_in, way, is_saved):
    session = SessionStore(of_mallory(way))
    refresh(session, way)
    if is_saved:
        session.save()
    log_in(session, user := UserFactory())
    session.save()
    session, row = found(session.session_key)
    assert row.subject_id == str(user.pk)
    assert "mallory" not in repr(dict(session.items()))
    assert read_tokens(session) is None


@logins()
def test_claims_changed_in_place_are_still_of_before(of_mallory, log_in):
    session = SessionStore(of_mallory(keep_claims))
    session["oidc"]["seen"] = 1
    session.save()
    log_in(session, UserFactory())
    session.save()
    assert "oidc" not in found(session.session_key)[0]


@logins()
def test_access_token_without_an_id_token_goes(of_mallory, log_in):
    def keep_access_token(session, subject_id):
        session["oidc_access_token"] = f"access token of {subject_id}"

    session = SessionStore(of_mallory(keep_access_token))
    log_in(session, UserFactory())
    session.save()
    assert "oidc_access_token" not in found(session.session_key)[0]


@logins()
@by(WAYS)
def test_same_claims_written_before_the_login_stay(of_mallory, log_in, way):
    session = SessionStore(of_mallory(way))
    way(session, "mallory")  # She signs in again, and has a user now.
    log_in(session, user := UserFactory())
    session.save()
    row = found(session.session_key)[1]
    assert (row.subject_id, row.user_id) == ("mallory", str(user.pk))


@logins()
def test_what_is_no_claim_stays(any_store, db, log_in):
    session = SessionStore()
    session["oidc"] = {"state": "abc", "next": "/orders"}
    session.save()
    session = SessionStore(session.session_key)
    log_in(session, UserFactory())
    session.save()
    assert found(session.session_key)[0]["oidc"] == {"state": "abc", "next": "/orders"}


def test_silently_renewed_id_token_keeps_the_other_tokens(any_store):
    session = SessionStore()
    keep_id_token(session, "alice")
    session.save()
    session = SessionStore(session.session_key)
    session["oidc_id_token"] = id_token(claims_of("alice", iat=2))
    session.save()
    assert found(session.session_key)[0]["oidc_refresh_token"] == "refresh token of alice"


def move(session):
    """Move the stored session to a new key, as another request does."""
    moved = replace(session, key=token_hex(32))
    get_store().rekey_user_session(session.key, sealed(moved, b"{}"), if_version=session.version)


@pytest.mark.parametrize("verb", ["get_user_session", "delete_user_session"])
def test_sign_in_ends_a_session_that_moves_after_it_was_listed(any_store, verb, monkeypatch):
    other = SessionStore()
    keep_claims(other, "alice")
    other.save()
    before = other.get_user_session()
    store, original = get_store(), getattr(get_store(), verb)

    def move_first(*args, **kwargs):
        monkeypatch.undo()
        move(before)
        return original(*args, **kwargs)

    session = SessionStore()
    keep_claims(session, "alice")
    monkeypatch.setattr(store, verb, move_first)
    session.save()
    alice = UserSessionsFilter(subject_id="alice")
    assert [each.key for each in store.get_user_sessions(alice)] == [session.store_key]


def test_sign_in_ends_a_session_that_begins_to_move_after_it_was_listed(settings, monkeypatch):
    settings.BFF_SESSIONS = {"STORE": MINIMAL}
    other = SessionStore()
    keep_claims(other, "alice")
    other.save()
    before = other.get_user_session()
    store, look = get_store(), get_store().get_user_session

    def begin_to_move(key):
        monkeypatch.undo()
        moving = UserSessionUpdate.of(before.moving(datetime.now(UTC)))
        store.update_user_session(before.key, moving, if_version=before.version)
        return look(key)

    session = SessionStore()
    keep_claims(session, "alice")
    monkeypatch.setattr(store, "get_user_session", begin_to_move)
    session.save()
    # So the move deletes the session under the new key, too: see contract/moving.py.
    assert store.delete_user_session(before.key) is False


def test_session_that_moves_is_announced_once_when_a_sign_in_ends_it(settings):
    settings.BFF_SESSIONS = {"STORE": MINIMAL}
    other = SessionStore()
    keep_claims(other, "alice")
    other.save()
    store, before, told = get_store(), other.get_user_session(), []
    # Between the second and the third step of contract/moving.py.
    moving = before.moving(datetime.now(UTC))
    store.update_user_session(before.key, UserSessionUpdate.of(moving), if_version=before.version)
    new = sealed(replace(before, key=token_hex(32)), b"{}")
    store.create_user_session(new.moving(datetime.now(UTC)))

    def receiver(sessions, **kwargs):
        told.extend(session.sign_in_id for session in sessions)

    sessions_ended.connect(receiver)
    try:
        session = SessionStore()
        keep_claims(session, "alice")
        session.save()
    finally:
        sessions_ended.disconnect(receiver)
    alice = UserSessionsFilter(subject_id="alice")
    assert [each.key for each in store.get_user_sessions(alice)] == [session.store_key]
    assert told == [before.sign_in_id]
