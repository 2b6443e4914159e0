"""Actions on sessions of a store that is not the ORM's."""

import re

import pytest
from django.contrib.admin.models import DELETION, LogEntry

from bff_sessions.admin import actions
from bff_sessions.admin.contract import selection
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.stores import get_store
from bff_sessions.testing.factories import SessionFactory
from bff_sessions.testing.fixtures import ago
from tests.support.admin import LIST, browser_of, choose_sessions, reference
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db

BOTH = pytest.mark.parametrize("action", ["end_sessions", "sign_out_subjects"])


def choose_all(sessions, action, **more):
    """Return the form data of "Select all that match"."""
    return choose_sessions(sessions[:1], action, select_across="1", **more)


def words(response):
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


def left(*sessions):
    return [session for session in sessions if get_store().get_user_session(session.key)]


def own_session(browser):
    filter = UserSessionsFilter(user_id=browser.session["_auth_user_id"])
    return get_store().get_user_sessions(filter)[0]


@BOTH
def test_action_asks_first_and_ends_the_selected_sessions(operator, action, revoked):
    sessions = [SessionFactory(subject_id=name) for name in ("alice", "bob", "carol")]
    text = words(operator.post(LIST, choose_sessions(sessions[:2], action)))
    assert "2 live sessions will end." in text
    assert "alice https://idp.example 1" in text
    assert "carol" not in text
    assert revoked == []
    assert len(left(*sessions)) == 3
    response = operator.post(LIST, choose_sessions(sessions[:2], action, post="yes"), follow=True)
    assert "2 sessions have ended." in words(response)
    assert left(*sessions) == sessions[2:]
    assert sorted(revoked) == sorted(session.key for session in sessions[:2])


def test_sign_out_ends_all_sessions_of_the_subject_at_its_issuer(operator):
    chosen, *others = SessionFactory.create_batch(3)
    others.append(SessionFactory(partition="shop"))
    spared = [SessionFactory(issuer="https://other.example"), SessionFactory(issuer=None)]
    text = words(operator.post(LIST, choose_sessions([chosen], "sign_out_subjects")))
    assert "4 live sessions will end." in text
    assert "other.example" not in text
    operator.post(LIST, choose_sessions([chosen], "sign_out_subjects", post="yes"))
    assert left(chosen, *others, *spared) == spared


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "1,234 sessions have ended."), ("de", "1.234 Sitzungen sind beendet.")],
)
def test_large_number_of_ended_sessions_is_grouped(operator, monkeypatch, settings, language, text):
    settings.LANGUAGE_CODE = language
    monkeypatch.setattr(actions, "revoke_sessions", lambda *args, **options: 1234)
    chosen = choose_sessions([SessionFactory()], "sign_out_subjects", post="yes")
    response = operator.post(LIST, chosen, follow=True)
    assert text in words(response)


@BOTH
def test_all_that_match_end_in_batches(operator, monkeypatch, action):
    monkeypatch.setattr(actions, "_BATCH", 2)
    sessions = [SessionFactory(user_id="7", created=ago(n)) for n in range(5)]
    spared = SessionFactory(subject_id="bob")
    url = f"{LIST}?user=7"
    text = words(operator.post(url, choose_all(sessions, action)))
    assert "5 live sessions will end." in text
    response = operator.post(url, choose_all(sessions, action, post="yes"), follow=True)
    assert "5 sessions have ended." in words(response)
    assert left(*sessions, spared) == [spared]


@BOTH
def test_all_sessions_of_a_user_name_end(operator, action):
    sessions = SessionFactory.create_batch(3, user=UserFactory(username="bob"))
    operator.post(f"{LIST}?user=bob", choose_all(sessions, action, post="yes"))
    assert left(*sessions) == []


@BOTH
@pytest.mark.parametrize("query", ["", "?user=nobody", "?issuer=https://idp.example", "?user=%00"])
def test_all_that_match_are_none_without_a_search_that_finds(operator, action, query):
    session = SessionFactory()
    text = words(operator.post(LIST + query, choose_all([session], action)))
    assert "There is no session to end." in text
    operator.post(LIST + query, choose_all([session], action, post="yes"))
    assert left(session) == [session]


def test_action_that_takes_too_long_asks_to_continue(operator, monkeypatch):
    monkeypatch.setattr(actions, "_BATCH", 2)
    monkeypatch.setattr(actions, "_SECONDS", -1)
    sessions = SessionFactory.create_batch(3)
    url, chosen = f"{LIST}?subject=alice", choose_all(sessions, "end_sessions", post="yes")
    text = words(operator.post(url, chosen))
    assert "2 sessions have ended. More sessions match. Do you want to continue?" in text
    assert "1 live session will end." in text
    assert operator.post(url, chosen).status_code == 302
    assert left(*sessions) == []


@BOTH
def test_confirmation_of_very_many_is_a_lower_bound(operator, monkeypatch, action):
    monkeypatch.setattr(selection, "_COUNTED", 2)
    sessions = SessionFactory.create_batch(4)
    text = words(operator.post(f"{LIST}?subject=alice", choose_all(sessions, action)))
    assert "At least 3 live sessions will end." in text


def test_session_without_a_subject_is_not_signed_out(operator):
    session = SessionFactory(subject_id=None)
    text = words(operator.post(LIST, choose_sessions([session], "sign_out_subjects")))
    assert "There is no session to end." in text
    assert "anonymous" in words(operator.post(LIST, choose_sessions([session])))


@BOTH
def test_confirmation_warns_of_the_own_session(operator, action):
    own, other = own_session(operator), SessionFactory()
    warning = "Your own session is among them"
    assert warning in words(operator.post(LIST, choose_sessions([own, other], action)))
    assert warning not in words(operator.post(LIST, choose_sessions([other], action)))


@BOTH
def test_session_that_ended_meanwhile_is_not_counted(operator, action):
    session, gone = SessionFactory(), SessionFactory.build()
    chosen = choose_sessions([session, gone], action, post="yes")
    assert "1 session has ended." in words(operator.post(LIST, chosen, follow=True))
    assert LogEntry.objects.count() == 1


@BOTH
@pytest.mark.parametrize("text", ["", "1", "x.sid.", "x.key.y", "x.sid.a\0b", "." * 5000])
def test_malformed_selection_ends_no_session(operator, action, text):
    session = SessionFactory()
    chosen = {"action": action, "_selected_action": [reference(session), text], "post": "yes"}
    assert "No session was selected." in words(operator.post(LIST, chosen, follow=True))
    assert left(session) == [session]


def test_each_ended_session_is_logged(operator):
    sessions = [SessionFactory(), SessionFactory(subject_id="bob")]
    operator.post(LIST, choose_sessions(sessions, post="yes"))
    entries = LogEntry.objects.values_list("action_flag", "object_id", "object_repr")
    assert set(entries) == {
        (DELETION, reference(s), f"{s.subject_id} (sid {s.session_id}, {s.issuer})")
        for s in sessions
    }


def test_each_signed_out_subject_is_logged_once(operator):
    sessions = [*SessionFactory.create_batch(3), SessionFactory(subject_id="bob")]
    operator.post(LIST, choose_sessions(sessions, "sign_out_subjects", post="yes"))
    texts = LogEntry.objects.values_list("change_message", flat=True)
    assert sorted(texts) == ["Signed out everywhere: 1", "Signed out everywhere: 3"]


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        (["view"], []),
        (["view", "add", "change", "delete"], []),
        (["view", "end"], ["end_sessions"]),
        (["view", "sign_out"], ["sign_out_subjects"]),
        (["end", "sign_out"], []),
    ],
    ids=str,
)
def test_each_action_has_a_permission_of_its_own(permissions, allowed):
    browser = browser_of(*permissions)
    for action in ("end_sessions", "sign_out_subjects"):
        session = SessionFactory(subject_id=action)
        text = browser.get(LIST, {"subject": action}).content.decode()
        assert (f'<option value="{action}">' in text) == (action in allowed)
        browser.post(LIST, choose_sessions([session], action, post="yes"))
        assert left(session) == ([] if action in allowed else [session])


@BOTH
def test_store_failure_is_an_error(operator, failing, action):
    session = SessionFactory()
    failing("delete_user_session", "delete_user_sessions")
    chosen = choose_sessions([session], action, post="yes")
    assert operator.post(LIST, chosen).status_code == 503
    assert not LogEntry.objects.exists()
    failing("query_user_sessions")
    assert operator.post(LIST, choose_sessions([session], action)).status_code == 503


def test_sessions_that_ended_before_a_store_failure_are_logged(operator, store, monkeypatch):
    sessions, delete = SessionFactory.create_batch(2), store.delete_user_session

    def fail_at_the_second(key, **arguments):
        if key == sessions[1].key:
            raise ConnectionError
        return delete(key, **arguments)

    monkeypatch.setattr(store, "delete_user_session", fail_at_the_second)
    assert operator.post(LIST, choose_sessions(sessions, post="yes")).status_code == 503
    assert left(*sessions) == sessions[1:]
    assert LogEntry.objects.get().object_id == reference(sessions[0])
