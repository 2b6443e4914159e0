"""GET sessions, DELETE sessions/<public_id>, DELETE sessions/others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing.factories import SessionFactory as StoredSessionFactory
from bff_sessions.views import sessions
from tests.support.endpoints import alive, claims, is_error, public_id_of
from tests.support.factories import SessionFactory, ago
from tests.support.stores import MEMORY, NATIVE_EXPIRY


def test_the_sessions_of_the_subject_and_of_nobody_else(browser, strangers):
    other = SessionFactory(session_id="s2")
    SessionFactory(expired=True)
    browser.sign_in()
    response = browser.fetch("get", "/bff/sessions")
    first, second = response.json()["sessions"]
    assert first == {
        "public_id": browser.row.public_id,
        "current": True,
        "created": first["created"],
        "renewed": first["renewed"],
        "expires": first["expires"],
    }
    assert (second["public_id"], second["current"]) == (public_id_of(other), False)
    assert datetime.fromisoformat(second["created"]) < datetime.fromisoformat(second["renewed"])
    assert datetime.fromisoformat(second["expires"]) > datetime.now(UTC)


def test_no_key_and_no_session_id_is_told(browser):
    other = SessionFactory(session_id="secret-sid")
    browser.sign_in(claims(session_id="secret-sid-too"))
    text = browser.fetch("get", "/bff/sessions").content.decode()
    for secret in (other.key, browser.row.key, browser.client.cookies["sessionid"].value):
        assert secret not in text
    assert "secret" not in text


def test_a_session_beyond_the_absolute_lifetime_is_not_shown(browser, configure):
    configure(ABSOLUTE_LIFETIME=timedelta(hours=1))
    old = SessionFactory()
    browser.sign_in()
    (only,) = browser.fetch("get", "/bff/sessions").json()["sessions"]
    assert only["current"]
    assert browser.delete(f"/bff/sessions/{public_id_of(old)}").status_code == 404


def test_ending_another_session_of_ones_own(browser, strangers, revoked):
    other, third = SessionFactory.create_batch(2)
    browser.sign_in()
    response = browser.delete(f"/bff/sessions/{public_id_of(other)}")
    assert (response.status_code, response.content) == (204, b"")
    assert alive([other, third, browser.row]) == [False, True, True]
    assert all(alive(strangers))
    assert revoked == [other.key]


def test_a_session_of_somebody_else_is_404_and_lives_on(browser, strangers, revoked):
    browser.sign_in()
    for row in strangers:
        response = browser.delete(f"/bff/sessions/{public_id_of(row)}")
        assert is_error(response, 404, "session_not_found")
    assert all(alive(strangers))
    assert revoked == []


@pytest.mark.parametrize("public_id", ["0" * 32, "x", "OTHERS", "%00", "é"])
def test_no_session_is_404(browser, public_id):
    browser.sign_in()
    response = browser.delete(f"/bff/sessions/{public_id}")
    assert is_error(response, 404, "session_not_found")


def test_neither_key_nor_session_id_name_a_session(browser):
    other = SessionFactory()
    browser.sign_in()
    for name in (other.key, other.session_id, str(other.pk)):
        assert browser.delete(f"/bff/sessions/{name}").status_code == 404
    assert all(alive([other]))


def test_a_session_that_has_moved_to_a_new_key_meanwhile_ends(open_browser, monkeypatch):
    phone = open_browser().sign_in(claims(session_id="phone"))
    laptop = open_browser().sign_in(claims(session_id="laptop"))
    public_id = phone.row.public_id
    find = sessions.find_session

    def and_then_the_phone_moves(current, public_id):
        found = find(current, public_id)
        session = SessionStore(phone.client.cookies["sessionid"].value)
        session.cycle_key()
        phone.client.cookies["sessionid"] = session.session_key
        return found

    monkeypatch.setattr(sessions, "find_session", and_then_the_phone_moves)
    assert laptop.delete(f"/bff/sessions/{public_id}").status_code == 204
    assert phone.row is None
    assert laptop.row is not None


def test_ending_the_session_at_hand_signs_out(browser, revoked):
    browser.sign_in()
    row = browser.row
    response = browser.delete(f"/bff/sessions/{row.public_id}")
    assert response.status_code == 204
    assert response.cookies["sessionid"]["max-age"] == 0
    assert alive([row]) == [False]
    assert revoked == [row.key]
    assert browser.fetch("get", "/bff/user").status_code == 401


def test_ending_all_others(browser, strangers, revoked):
    others = SessionFactory.create_batch(3)
    browser.sign_in()
    assert browser.delete("/bff/sessions/others").json() == {"ended": 3}
    assert alive(others) == [False] * 3
    assert all(alive(strangers))
    assert browser.row is not None
    assert sorted(revoked) == sorted(row.key for row in others)
    assert browser.delete("/bff/sessions/others").json() == {"ended": 0}


def test_one_browser_throws_out_the_other(open_browser):
    phone = open_browser().sign_in(claims(session_id="phone"))
    laptop = open_browser().sign_in(claims(session_id="laptop"))
    assert [s["current"] for s in phone.fetch("get", "/bff/sessions").json()["sessions"]] == [
        False,
        True,
    ]
    laptop.delete("/bff/sessions/others")
    assert phone.fetch("get", "/bff/user").status_code == 401
    assert laptop.fetch("get", "/bff/user").status_code == 200


def test_nobody_has_no_sessions(browser):
    browser.sign_in({"cart": [1]})
    anonymous = browser.client.cookies["sessionid"].value
    browser.sign_in()
    headers = {"X-CSRF": "1", "X-CSRFToken": browser.user()["csrf_token"]}
    browser.client.cookies["sessionid"] = anonymous
    other = SessionFactory()
    for method, path in [
        ("get", "/bff/sessions"),
        ("delete", "/bff/sessions/others"),
        ("delete", f"/bff/sessions/{public_id_of(other)}"),
    ]:
        assert is_error(browser.fetch(method, path, headers), 401, "not_signed_in")
    assert all(alive([other]))


@pytest.mark.parametrize("target", ["", "one", "others"])
def test_a_request_whose_session_is_revoked_on_its_way_sees_and_ends_nothing(
    browser, monkeypatch, target
):
    other = SessionFactory()
    browser.sign_in()
    token = browser.user()["csrf_token"]
    paths = {"": "", "one": f"/{public_id_of(other)}", "others": "/others"}
    load = sessions.signed_in

    def revoked_meanwhile(request):
        current = load(request)
        revoke_sessions(UserSessionsFilter(session_id="s1"))
        return current

    monkeypatch.setattr(sessions, "signed_in", revoked_meanwhile)
    method, headers = "delete" if target else "get", {"X-CSRF": "1", "X-CSRFToken": token}
    response = browser.fetch(method, f"/bff/sessions{paths[target]}", headers)
    assert is_error(response, 401, "not_signed_in")
    assert all(alive([other]))


def test_local_users_are_told_apart_from_subjects_of_a_provider(browser):
    SessionFactory(subject_id="42")
    browser.sign_in({"_auth_user_id": "42"})
    assert [row.key for row in sessions.sessions_beside(browser.row)] == [browser.row.key]


@pytest.mark.usefixtures("no_tickets")
def test_sessions_are_listed_in_pages_of_100(browser, many):
    browser.sign_in()
    shown, query, sizes = [], "", []
    while True:
        answer = browser.fetch("get", f"/bff/sessions{query}").json()
        assert answer.keys() == {"sessions", "next"}
        shown += answer["sessions"]
        sizes.append(len(answer["sessions"]))
        if answer["next"] is None:
            break
        query = f"?after={answer['next']}"
    assert sizes == [100, 100, 51]
    assert shown[0]["current"]
    assert [one["public_id"] for one in shown[1:]] == [public_id_of(row) for row in many]


@pytest.mark.parametrize(
    "after", ["", "x", "%00", "%C3%A9", "A" * 32, "None", "null", "1", "' OR 1=1", "A" * 3000]
)
def test_garbage_for_a_cursor_is_400(browser, after):
    browser.sign_in()
    assert is_error(browser.fetch("get", f"/bff/sessions?after={after}"), 400, "invalid_cursor")


def test_altered_cursor_is_400(browser, many):
    browser.sign_in()
    cursor = browser.fetch("get", "/bff/sessions").json()["next"]
    for altered in (cursor[:-1], cursor[::-1], cursor.swapcase(), cursor + "A"):
        response = browser.fetch("get", f"/bff/sessions?after={altered}")
        assert is_error(response, 400, "invalid_cursor")


def test_cursor_of_one_subject_shows_nothing_of_it_to_another(browser, open_browser, many):
    cursor = browser.sign_in().fetch("get", "/bff/sessions").json()["next"]
    bob = open_browser().sign_in(claims(subject_id="bob"))
    answer = bob.fetch("get", f"/bff/sessions?after={cursor}").json()
    assert answer == {"sessions": [], "next": None}


def test_pages_end_at_the_absolute_lifetime(browser, many, configure):
    configure(ABSOLUTE_LIFETIME=timedelta(minutes=150, seconds=30))
    browser.sign_in()
    first = browser.fetch("get", "/bff/sessions").json()
    last = browser.fetch("get", f"/bff/sessions?after={first['next']}").json()
    assert (len(first["sessions"]), len(last["sessions"])) == (100, 51)
    assert last["next"] is None
    path = "/bff/sessions/{}".format
    assert browser.delete(path(public_id_of(many[150]))).status_code == 404
    assert browser.delete(path(public_id_of(many[149]))).status_code == 204


@pytest.mark.usefixtures("no_tickets")
def test_session_of_any_page_can_be_ended(browser, many, revoked, monkeypatch):
    browser.sign_in()
    assert browser.delete(f"/bff/sessions/{public_id_of(many[-1])}").status_code == 204
    assert revoked == [many[-1].key]


@pytest.mark.usefixtures("no_tickets")
def test_current_session_may_be_on_any_page(browser, many):
    browser.sign_in()
    browser.let_have_begun(ago(days=1))
    first = browser.fetch("get", "/bff/sessions").json()
    assert not any(one["current"] for one in first["sessions"])
    assert browser.delete("/bff/sessions/others").json() == {"ended": 250}
    (only,) = browser.fetch("get", "/bff/sessions").json()["sessions"]
    assert only["current"]


def test_another_session_of_the_same_sid_is_not_taken_for_the_current_one(browser, monkeypatch):
    browser.sign_in()
    row = browser.row
    SessionFactory(session_id=row.session_id, created=ago(seconds=-60))
    assert len(browser.fetch("get", "/bff/sessions").json()["sessions"]) == 2
    load = sessions.signed_in

    def ended_meanwhile(request):
        current = load(request)
        get_store().delete_user_session(row.key)
        return current

    monkeypatch.setattr(sessions, "signed_in", ended_meanwhile)
    assert is_error(browser.fetch("get", "/bff/sessions"), 401, "not_signed_in")


def test_an_endless_session_has_no_end(browser):
    browser.sign_in()
    row = browser.row
    get_store().update_user_session(row.key, UserSessionUpdate.of(replace(row, expires=None)))
    (only,) = browser.fetch("get", "/bff/sessions").json()["sessions"]
    assert only["expires"] is None


def test_statements_do_not_grow_with_the_sessions(browser, django_assert_num_queries):
    browser.sign_in()
    headers = {"X-CSRF": "1", "X-CSRFToken": browser.user()["csrf_token"]}
    for number in (1, 30):
        other, *_ = SessionFactory.create_batch(number)
        path = f"/bff/sessions/{public_id_of(other)}"
        # Load, ask whether it has ended, list.
        with django_assert_num_queries(3):
            browser.fetch("get", "/bff/sessions")
        # Load and ask; the revocation: find, read with a lock and delete in a transaction, look
        # again. SQLite has one lock, which is a statement of its own.
        statements = 9 if connection.vendor == "sqlite" else 8
        with django_assert_num_queries(statements + 1):  # Find the session.
            browser.fetch("delete", path, headers)
        SessionFactory()
        # MariaDB and MySQL lock and delete row by row: a list would lock rows of others.
        rows = 2 * (number - 1) if connection.vendor == "mysql" else 0
        with django_assert_num_queries(statements + rows):
            browser.fetch("delete", "/bff/sessions/others", headers)


@pytest.mark.parametrize("store", [MEMORY, NATIVE_EXPIRY])
def test_endpoints_work_on_stores_without_rows(browser, configure, store):
    configure(STORE=store)
    others = StoredSessionFactory.create_batch(3)
    browser.sign_in()
    listed = browser.fetch("get", "/bff/sessions").json()["sessions"]
    shown = {session["public_id"] for session in listed}
    assert shown == {browser.row.public_id, *(session.public_id for session in others)}
    assert browser.delete(f"/bff/sessions/{others[0].public_id}").status_code == 204
    assert browser.delete("/bff/sessions/others").json() == {"ended": 2}
    (only,) = browser.fetch("get", "/bff/sessions").json()["sessions"]
    assert only["current"]


def test_page_that_polls_does_not_renew(browser, configure):
    configure(RENEW_AFTER=0.1)
    browser.sign_in()
    row = browser.row
    older = replace(row, renewed=ago(days=7), expires=row.expires - timedelta(days=7))
    get_store().update_user_session(row.key, UserSessionUpdate.of(older))
    for path, is_renewed in (("/bff/sessions?slide=false", False), ("/bff/sessions", True)):
        before = browser.row
        assert browser.fetch("get", path).status_code == 200
        assert (browser.row.renewed > before.renewed) is is_renewed
