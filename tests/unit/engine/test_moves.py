"""Requests of one session, one of which moves it to a new key while the others are on their way."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from bff_sessions.contract import (
    UserSessionsFilter,
    UserSessionStoreLeases,
    UserSessionUpdate,
)
from bff_sessions.engine import SessionStore, renewal
from bff_sessions.engine.auth import HashState, check_hash
from bff_sessions.engine.moves import can_follow
from bff_sessions.engine.tickets import open_ticket
from bff_sessions.exceptions import AbilityMissing
from bff_sessions.models import Session
from bff_sessions.protection import next_session_keys
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from tests.support.factories import UserFactory
from tests.support.middleware import DJANGOS, OURS
from tests.support.minimal import MinimalStore
from tests.support.stores import MINIMAL

ALICE = {"oidc": {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}}


@pytest.fixture
def alice(any_store):
    session = SessionStore()
    session.update(ALICE)
    session.save()
    return session.session_key


def loaded(session_key):
    session = SessionStore(session_key)
    session.get("")
    return session


def current(sid="s1"):
    """The data of alice's session, wherever it is."""
    [row] = get_store().get_user_sessions(UserSessionsFilter(session_id=sid))
    return open_ticket(row, SessionStore().serializer())[1]


def test_save_follows_a_session_that_moved(alice, calls):
    mover, follower = loaded(alice), loaded(alice)
    mover["mover"] = 1
    calls.cycle_key(mover)
    calls.set(follower, "follower", 1)
    calls.save(follower)
    assert current() == {**ALICE, "mover": 1, "follower": 1}
    assert follower.keeps_cookie_of_others
    assert follower.store_key == mover.store_key
    # It goes on from there.
    calls.set(follower, "follower", 2)
    calls.save(follower)
    assert current()["follower"] == 2


def test_cycle_key_of_a_follower_moves_nothing_more(alice, calls):
    mover, follower = loaded(alice), loaded(alice)
    calls.cycle_key(mover)
    calls.cycle_key(follower)
    calls.set(follower, "follower", 1)
    calls.save(follower)
    assert loaded(mover.session_key)["follower"] == 1
    assert not mover.keeps_cookie_of_others


def test_follower_that_has_saved_moves_nothing(alice, calls):
    mover, follower = loaded(alice), loaded(alice)
    calls.cycle_key(mover)
    calls.set(follower, "follower", 1)
    calls.save(follower)
    for _ in range(2):
        calls.cycle_key(follower)
    assert follower.keeps_cookie_of_others
    assert loaded(mover.session_key)["follower"] == 1


def test_nothing_follows_a_session_that_does_not_open(alice, calls, settings):
    late, mover = loaded(alice), loaded(alice)
    mover.cycle_key()
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "ENCRYPTION_KEYS": ["another key" * 4]}
    calls.set(late, "late", 1)
    with pytest.raises(UpdateError):
        calls.save(late)


def test_nothing_merges_into_a_new_sign_in_under_the_same_key(alice, calls):
    late, again = loaded(alice), loaded(alice)
    again["oidc"] = {**ALICE["oidc"], "sid": "s2"}
    again.save()
    assert again.session_key == alice
    calls.set(late, "late", 1)
    with pytest.raises(UpdateError):
        calls.save(late)
    assert current("s2") == {"oidc": {**ALICE["oidc"], "sid": "s2"}}


def test_mark_of_a_moved_session_is_absent(alice, calls):
    late = loaded(alice)
    row = get_store().get_user_session(late.store_key)
    mark = UserSessionUpdate.of(replace(row, ticket=b"\0moved\0"))
    get_store().update_user_session(row.key, mark)
    assert SessionStore(alice).get("oidc") is None
    assert not calls.exists(SessionStore(), alice)
    calls.set(late, "late", 1)
    with pytest.raises(UpdateError):
        calls.save(late)


def test_cookie_stays_if_nothing_is_written(alice, settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    session = loaded(alice)
    session.slide = False
    session.save()
    assert session.keeps_cookie_of_others


def test_exclusive_follows_a_session_that_moved(alice):
    mover, follower = loaded(alice), loaded(alice)
    mover.cycle_key()
    if get_store().get_ability(UserSessionStoreLeases) is None:
        with pytest.raises(AbilityMissing, match="UserSessionStoreLeases"):
            follower.exclusive()
        return
    with follower.exclusive():
        follower["follower"] = 1
    assert loaded(mover.session_key)["follower"] == 1


def test_renewal_follows_a_session_that_moved(alice, settings, monkeypatch):
    mover, follower = loaded(alice), loaded(alice)
    mover.cycle_key()
    monkeypatch.setattr(renewal, "is_due", lambda state: True)
    follower.save()
    assert follower.keeps_cookie_of_others


@pytest.mark.usefixtures("djangos_middleware")
def test_without_our_middleware_a_follower_is_refused(alice, calls):
    mover, follower = loaded(alice), loaded(alice)
    calls.cycle_key(mover)
    calls.set(follower, "follower", 1)
    with pytest.raises(UpdateError):
        calls.save(follower)
    with pytest.raises(SessionInterrupted):
        calls.cycle_key(follower)
    assert "follower" not in current()


def test_nothing_follows_into_the_next_sign_in(alice, calls):
    late = loaded(alice)
    calls.flush(loaded(alice))
    again = SessionStore()
    again.update(ALICE)  # The same issuer, subject and sid.
    again.save()
    calls.set(late, "late", 1)
    with pytest.raises(UpdateError):
        calls.save(late)
    assert current() == ALICE


def test_nothing_follows_a_revoked_session(alice, calls):
    mover, late = loaded(alice), loaded(alice)
    calls.cycle_key(mover)
    revoke_sessions(UserSessionsFilter(subject_id="alice"))
    calls.set(late, "late", 1)
    with pytest.raises(UpdateError):
        calls.save(late)
    assert loaded(mover.session_key).session_key is None


def test_sign_out_of_a_follower_ends_the_session(alice, calls):
    mover, follower = loaded(alice), loaded(alice)
    calls.cycle_key(mover)
    calls.flush(follower)
    assert loaded(mover.session_key).session_key is None


def test_sign_in_id_survives_moves_and_no_sign_in(any_store, calls):
    session = SessionStore()
    session["cart"] = 1
    session.save()
    ids = [session.get_user_session().sign_in_id]
    session.cycle_key()
    assert session.get_user_session().sign_in_id == ids[0]
    session.update(ALICE)
    session.save()
    ids.append(session.get_user_session().sign_in_id)
    public_id = session.get_user_session().public_id
    calls.cycle_key(session)
    assert session.get_user_session().sign_in_id == ids[1]
    assert session.get_user_session().public_id == public_id
    session["oidc"] = {**ALICE["oidc"], "sid": "s2"}
    session.save()
    ids.append(session.get_user_session().sign_in_id)
    session.flush()
    session.update(ALICE)
    session.save()
    ids.append(session.get_user_session().sign_in_id)
    assert len(set(ids)) == 4


# Through the middleware, as Django moves sessions

NUMBER = 6


class Together:
    """Lets requests wait for each other once all have loaded the session."""

    def __init__(self):
        self.barrier = threading.Barrier(NUMBER)

    def __call__(self, request):
        request.session.get("x")
        self.barrier.wait(10)


together = Together()


def look(request):
    together(request)
    return HttpResponse(request.user.username)


def write(request):
    together(request)
    name = request.user.username
    request.session[f"written {request.GET['n']}"] = 1
    return HttpResponse(name)


def change_password(request):
    together(request)
    user = request.user
    user.set_password("new")
    user.save()
    update_session_auth_hash(request, user)
    return HttpResponse(user.username)


def sign_out(request):
    logout(request)
    return HttpResponse()


urlpatterns = [
    path("look", look),
    path("write", write),
    path("password", change_password),
    path("sign-out", sign_out),
]


@pytest.fixture
def browser(settings, transactional_db):
    settings.ROOT_URLCONF = __name__
    together.barrier.reset()
    client = Client()
    client.force_login(UserFactory(username="alice"))
    return client


@pytest.fixture(params=[OURS, DJANGOS], ids=["ours", "djangos"])
def middleware(request, settings):
    settings.MIDDLEWARE = [request.param if name == OURS else name for name in settings.MIDDLEWARE]
    return request.param


def send(browser, *paths):
    """The answers to all at once, each sent with the cookie that the browser has now."""
    cookie = {"cookie": f"sessionid={browser.cookies['sessionid'].value}"}

    def request(path):
        try:
            return Client(headers=cookie, raise_request_exception=False).get(path)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(request, paths))


def rotate(settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is only for tests, and long enough"


def cookies_of(answers):
    """The session cookies that the answers set; None for one that an answer deletes."""
    set_cookies = [a.cookies["sessionid"] for a in answers if "sessionid" in a.cookies]
    return [cookie.value if cookie["max-age"] != 0 else None for cookie in set_cookies]


def test_new_secret_key_refuses_no_request(browser, middleware, settings):
    rotate(settings)
    paths = [f"/write?n={n}" for n in range(NUMBER)]
    answers = send(browser, *paths)
    assert [(a.status_code, a.content) for a in answers] == [(200, b"alice")] * NUMBER
    # In whatever order they come, the browser has the new cookie.
    [cookie] = set(cookies_of(answers))
    assert cookie != browser.cookies["sessionid"].value
    assert len(cookies_of(answers)) == NUMBER
    session = loaded(cookie)
    assert {f"written {n}" for n in range(NUMBER)} <= set(session.keys())
    assert Session.objects.count() == 1


def test_key_after_a_new_secret_key_is_a_secret_of_the_server(browser, middleware, settings):
    old = browser.cookies["sessionid"].value
    guesses = next_session_keys(old)  # With the key of before.
    rotate(settings)
    keys = next_session_keys(old)
    answers = send(browser, *["/look"] * NUMBER)
    assert not {*guesses} & {*cookies_of(answers)}
    assert {*cookies_of(answers)} <= {*keys, *next_session_keys(old)}


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1_000_000_000.0

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("bff_sessions.protection.time", clock)
    return clock


@pytest.mark.parametrize(("seconds", "is_found"), [(0, True), (4.9, True), (5, True), (10, False)])
def test_old_key_leads_to_the_next_for_ten_seconds(browser, settings, clock, seconds, is_found):
    old = browser.cookies["sessionid"].value
    rotate(settings)
    [new, *_] = cookies_of(send(browser, *["/look"] * NUMBER))
    clock.now += seconds
    session = loaded(old)
    assert (session.get("_auth_user_id") is not None) == is_found
    assert session.session_key == (new if is_found else None)
    assert session.modified == is_found  # So that the browser gets the cookie.


@pytest.mark.parametrize("end", ["sign out", "revoke", "password"])
def test_old_key_leads_nowhere_after_the_end(browser, settings, end):
    old = browser.cookies["sessionid"].value
    rotate(settings)
    [new, *_] = cookies_of(send(browser, *["/look"] * NUMBER))
    if end == "sign out":
        loaded(new).flush()
    elif end == "revoke":
        revoke_sessions(UserSessionsFilter(user_id=loaded(new)["_auth_user_id"]))
    else:
        loaded(new).cycle_key()  # As a change of password does.
    assert loaded(old).session_key is None


def test_old_key_leads_nowhere_without_fallbacks(browser, settings):
    old = browser.cookies["sessionid"].value
    rotate(settings)
    send(browser, *["/look"] * NUMBER)
    settings.SECRET_KEY_FALLBACKS = []
    assert loaded(old).session_key is None


def test_lease_is_on_the_session_that_the_old_key_leads_to(browser, settings):
    old = browser.cookies["sessionid"].value
    rotate(settings)
    [new, *_] = cookies_of(send(browser, *["/look"] * NUMBER))
    session = SessionStore(old)
    with session.exclusive():
        assert get_store().acquire_lease(loaded(new).store_key, "other", 1) is False


def test_move_for_a_new_secret_key_saves_the_new_hash(browser, settings):
    session = loaded(browser.cookies["sessionid"].value)
    before = session["_auth_user_hash"]
    rotate(settings)
    session.cycle_key()
    # Or a request that finds it before Django sets the hash would move it once more.
    assert loaded(session.session_key)["_auth_user_hash"] != before
    assert check_hash(dict(session.items()))[0] is HashState.CURRENT


def test_password_change_gives_its_key_to_no_other_request(browser, middleware):
    old = browser.cookies["sessionid"].value
    answers = send(browser, "/password", *["/look"] * (NUMBER - 1))
    changed, *others = answers
    assert changed.status_code == 200
    [new] = cookies_of([changed])
    assert new not in (None, old)
    # Whoever sent the others has no cookie that lives.
    assert new not in cookies_of(others)
    for cookie in {old, *cookies_of(others)} - {None}:
        assert not loaded(cookie).get("_auth_user_id")
    assert loaded(new)["_auth_user_id"]


def test_password_change_leaves_the_browser_a_cookie_in_every_order(browser):
    answers = send(browser, "/password", *["/look"] * (NUMBER - 1))
    [new] = cookies_of(answers[:1])
    for order in itertools.islice(itertools.permutations(answers), 50):
        [cookie] = cookies_of(order)
        assert cookie == new


def test_writes_beside_a_password_change_count(browser):
    # What looks at the user first may find the new password already, so this one does not.
    old = browser.cookies["sessionid"].value
    late = loaded(old)
    answers = send(browser, "/password", *["/look"] * (NUMBER - 1))
    late["late"] = 1
    late.save()
    [new] = cookies_of(answers[:1])
    assert loaded(new)["late"] == 1


def put_new_password():
    user = UserFactory._meta.model.objects.get(username="alice")
    user.set_password("new")
    # Not by save(), which ends the other sessions: the request that does it spares its own.
    type(user).objects.filter(pk=user.pk).update(password=user.password)
    return user


@pytest.fixture
def one(monkeypatch):
    """Requests wait for no other."""
    monkeypatch.setattr(together, "barrier", threading.Barrier(1))


def test_session_with_an_old_password_ends_at_once(browser, middleware, one):
    put_new_password()
    assert browser.get("/look").content == b""
    assert not Session.objects.exists()


@pytest.mark.parametrize("end", ["sign-out", "flush", "login"])
def test_session_with_an_old_password_is_gone_after(browser, middleware, one, end):
    user = put_new_password()
    key = browser.cookies["sessionid"].value
    if end == "sign-out":
        assert browser.get("/sign-out").cookies["sessionid"]["max-age"] == 0
    elif end == "flush":
        loaded(key).flush()
    else:
        login(type("Request", (), {"session": loaded(key), "META": {}})(), user)
    assert loaded(key).session_key is None


def test_sign_out_ends_what_another_request_has_taken_along(browser, one):
    key = browser.cookies["sessionid"].value
    mover, late = loaded(key), loaded(key)
    user = put_new_password()
    mover.cycle_key()
    mover["_auth_user_hash"] = user.get_session_auth_hash()
    mover.save()
    # As get_user() does, which finds the new password.
    late.flush()
    assert loaded(mover.session_key)["_auth_user_id"]
    late.signs_out = True
    late.flush()
    assert loaded(mover.session_key).session_key is None


def test_user_that_cannot_be_asked_for_keeps_no_session_alive(browser, monkeypatch):
    key = browser.cookies["sessionid"].value

    def fail(*args):
        raise RuntimeError

    monkeypatch.setattr("django.contrib.auth.backends.ModelBackend.get_user", fail)
    loaded(key).flush()
    assert loaded(key).session_key is None


class Backend:
    """A backend that expects a key of the type that the model has."""

    def get_user(self, user_id):
        assert isinstance(user_id, int)
        return UserFactory._meta.model.objects.get(pk=user_id)


def test_backend_is_asked_as_django_asks_it(browser, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Backend"]
    session = loaded(browser.cookies["sessionid"].value)
    data = {**dict(session.items()), "_auth_user_backend": f"{__name__}.Backend"}
    assert check_hash(data)[0] is HashState.CURRENT


def test_sign_out_deletes_the_session_at_once(browser, middleware):
    browser.get("/sign-out")
    assert not Session.objects.exists()


def test_signing_in_as_somebody_else_deletes_the_session_at_once(browser):
    key = browser.cookies["sessionid"].value
    session = loaded(key)
    request = type("Request", (), {"session": session, "META": {}})()
    login(request, UserFactory())
    assert loaded(key).session_key is None


def test_middleware_that_is_no_class_cannot_follow(settings):
    settings.MIDDLEWARE = ["nope.nope", f"{__name__}.rotate", DJANGOS]
    assert not can_follow()
    settings.MIDDLEWARE = [OURS]
    assert can_follow()


@pytest.mark.parametrize("verb", ["create_user_session", "delete_user_session"])
def test_save_waits_for_a_move_that_is_under_way(settings, monkeypatch, verb):
    settings.BFF_SESSIONS = {"STORE": MINIMAL}
    session = SessionStore()
    session.update(ALICE)
    session.save()
    mover, follower = loaded(session.session_key), loaded(session.session_key)
    follower["follower"] = 1
    original, reached, go_on = getattr(MinimalStore, verb), threading.Event(), threading.Event()

    def wait(self, *args, **kwargs):
        if threading.current_thread() is thread:
            reached.set()
            assert go_on.wait(10)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MinimalStore, verb, wait)
    thread = threading.Thread(target=mover.cycle_key)
    thread.start()
    assert reached.wait(10)
    pauses = []

    def rest(seconds):
        pauses.append(seconds)
        go_on.set()
        thread.join(10)

    monkeypatch.setattr("bff_sessions.sansio.time.sleep", rest)
    follower.save()
    assert len(pauses) == 1
    assert current()["follower"] == 1


def test_save_gives_up_on_a_move_that_never_ends(settings, monkeypatch):
    settings.BFF_SESSIONS = {"STORE": MINIMAL}
    session = SessionStore()
    session.update(ALICE)
    session.save()
    follower = loaded(session.session_key)
    follower["follower"] = 1
    row, store = session.get_user_session(), get_store()
    store.update_user_session(row.key, UserSessionUpdate.of(row.moving(row.renewed)))
    pauses = []
    monkeypatch.setattr("bff_sessions.sansio.time.sleep", pauses.append)
    with pytest.raises(UpdateError):
        follower.save()
    assert 0 < sum(pauses) < 1
