"""GET sessions, DELETE sessions/<public_id>, DELETE sessions/others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import revoke_sessions
from bff_sessions.signals import sessions_revoked
from bff_sessions.stores import get_store
from bff_sessions.views import sessions
from tests.endpoints.conftest import claims, is_error
from tests.factories import SessionFactory


@pytest.fixture
def revoked():
    """Keys of the sessions of which sessions_revoked told."""
    keys = []

    def receiver(sessions, **kwargs):
        keys.extend(session.key for session in sessions)

    sessions_revoked.connect(receiver)
    yield keys
    sessions_revoked.disconnect(receiver)


@pytest.fixture
def strangers(db):
    """Sessions that are not alice's, though they look like it."""
    return [
        SessionFactory(subject_id="bob"),
        SessionFactory(subject_id="Alice"),
        SessionFactory(issuer="https://other.example"),
        SessionFactory(issuer=None),
        SessionFactory(partition="other"),
        SessionFactory(anonymous=True),
    ]


def alive(rows):
    return [get_store().get_user_session(row.key) is not None for row in rows]


def public_id_of(row):
    return get_store().get_user_session(row.key).public_id


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
    list_sessions = sessions.sessions_beside

    def and_then_the_phone_moves(current):
        found = list_sessions(current)
        session = SessionStore(phone.client.cookies["sessionid"].value)
        session.cycle_key()
        phone.client.cookies["sessionid"] = session.session_key
        return found

    monkeypatch.setattr(sessions, "sessions_beside", and_then_the_phone_moves)
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
        with django_assert_num_queries(2):
            browser.fetch("get", "/bff/sessions")
        # Load and list; the revocation: find, read with a lock and delete in a transaction, look
        # again. SQLite has one lock, which is a statement of its own.
        statements = 9 if connection.vendor == "sqlite" else 8
        with django_assert_num_queries(statements):
            browser.fetch("delete", path, headers)
        SessionFactory()
        with django_assert_num_queries(statements):
            browser.fetch("delete", "/bff/sessions/others", headers)
