"""Actions of the admin that end many sessions."""

import io
import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.messages.storage.base import BaseStorage
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bff_sessions.admin import actions, preview
from bff_sessions.admin.rows import RowSelection
from bff_sessions.models import Session
from bff_sessions.signals import sessions_ended
from tests.support.admin import LIST, browser_of, choose, page_of
from tests.support.factories import SessionFactory, UserFactory, ago

pytestmark = pytest.mark.django_db

BOTH = pytest.mark.parametrize("action", ["end_sessions", "sign_out_subjects"])


def choose_all(rows, action, **more):
    """Return the form data of "Select all that match"."""
    return choose(rows[:1], action, select_across="1", **more)


def words(response):
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


def left(**query):
    return set(Session.objects.filter(**query))


# What is asked


@BOTH
def test_confirmation_shows_number_and_subjects(operator, action):
    rows = [*SessionFactory.create_batch(2), SessionFactory(subject_id="bob")]
    rows.append(SessionFactory(subject_id="bob", issuer="https://other.example"))
    text = words(operator.post(LIST, choose(rows, action)))
    assert "4 live sessions will end." in text
    assert "alice https://idp.example 2" in text
    assert "bob https://idp.example 1" in text
    assert "bob https://other.example 1" in text
    assert left(subject_id__in=["alice", "bob"]) == set(rows)


def test_confirmation_of_sign_out_counts_all_sessions_of_a_subject(operator):
    chosen, *_others = SessionFactory.create_batch(3)
    SessionFactory(partition="shop")
    SessionFactory(issuer="https://other.example")
    text = words(operator.post(LIST, choose([chosen], "sign_out_subjects")))
    assert "4 live sessions will end." in text
    assert "other.example" not in text


def test_confirmation_shows_anonymous_sessions(operator):
    row = SessionFactory(anonymous=True)
    assert "1 live session will end." in words(operator.post(LIST, choose([row])))
    text = words(operator.post(LIST, choose([row], "sign_out_subjects")))
    assert "There is no session to end." in text


def test_confirmation_counts_subjects_that_it_does_not_name(operator, monkeypatch):
    rows = [SessionFactory(subject_id=f"subject {n}", created=ago(hours=9)) for n in range(25)]
    assert "And 5 other subjects." in words(operator.post(LIST, choose(rows)))
    monkeypatch.setattr(preview, "_SAMPLE", 22)
    text = words(operator.post(LIST, choose(rows)))
    assert "25 live sessions will end." in text
    assert "And more than 3 other subjects." in text
    monkeypatch.setattr(preview, "_COUNTED", 24)
    assert "At least 25 live sessions will end." in words(operator.post(LIST, choose(rows)))
    text = words(operator.post(LIST, choose(rows, "sign_out_subjects")))
    assert "At least 23 live sessions will end." in text


@BOTH
def test_confirmation_of_all_that_match_sends_no_list_of_ids(operator, action):
    rows = SessionFactory.create_batch(5)
    response = operator.post(f"{LIST}?q=alice", choose(rows[:3], action, select_across="1"))
    text = response.content.decode()
    assert "5 live sessions will end." in text
    assert text.count('name="_selected_action"') == 1
    assert 'name="select_across" value="1"' in text
    # By the address, which is where the form goes.
    assert 'action="' not in text[text.index("Yes, end them") - 800 : text.index("Yes, end them")]


@BOTH
def test_confirmation_takes_no_more_statements_for_many_sessions(
    operator, action, django_assert_num_queries
):
    rows = SessionFactory.create_batch(2)
    operator.post(LIST, choose(rows, action))
    with CaptureQueriesContext(connection) as few:
        operator.post(LIST, choose(rows, action))
    rows += [SessionFactory(subject_id=f"subject {n}") for n in range(20)]
    with django_assert_num_queries(len(few)):
        operator.post(LIST, choose(rows, action))


@BOTH
def test_confirmation_counts_live_sessions_as_the_command_does(operator, action, monkeypatch):
    rows = [*SessionFactory.create_batch(10), *SessionFactory.create_batch(6, expired=True)]
    text = words(operator.post(LIST, choose(rows, action)))
    assert "10 live sessions will end." in text
    assert "6 expired sessions will be deleted, too." in text
    assert "alice https://idp.example 10" in text
    monkeypatch.setattr("sys.stdin", io.StringIO("n"))
    asked = io.StringIO()
    with pytest.raises(CommandError):
        call_command("sessions", "end", "--subject", "alice", stderr=asked)
    assert "End these 10 sessions?" in asked.getvalue()
    response = operator.post(LIST, choose(rows, action, post="yes"), follow=True)
    assert "10 sessions have ended." in response.content.decode()
    assert not left(subject_id="alice")


@pytest.mark.parametrize("lifetime", [None, timedelta(hours=1)])
def test_confirmation_counts_by_the_absolute_lifetime(operator, settings, lifetime):
    settings.BFF_SESSIONS = {"ABSOLUTE_LIFETIME": lifetime}
    row = SessionFactory(created=ago(hours=2))
    for action in ("end_sessions", "sign_out_subjects"):
        text = words(operator.post(LIST, choose([row], action)))
        assert ("1 live session will end." in text) == (lifetime is None)
        assert ("1 expired session will be deleted" in text) == (lifetime is not None)


def test_confirmation_of_very_many_counts_live_sessions(operator, monkeypatch):
    monkeypatch.setattr(preview, "_SAMPLE", 3)
    rows = [*SessionFactory.create_batch(3), *SessionFactory.create_batch(2, expired=True)]
    text = words(operator.post(LIST, choose(rows)))
    assert "3 live sessions will end." in text
    assert "2 expired sessions will be deleted, too." in text


@BOTH
def test_confirmation_warns_of_the_own_session(operator, action):
    own, other = Session.objects.get(), SessionFactory()
    warning = "Your own session is among them: you will be signed out."
    assert warning in words(operator.post(LIST, choose([own, other], action)))
    assert warning not in words(operator.post(LIST, choose([other], action)))


def test_sign_out_warns_of_the_own_session_by_its_subject(operator):
    own = Session.objects.get()
    elsewhere = SessionFactory(issuer=None, subject_id=own.subject_id)
    page = operator.post(LIST, choose([elsewhere], "sign_out_subjects"))
    assert "Your own session is among them" in words(page)


# What ends


def test_all_that_match_end_in_batches(operator, monkeypatch, revoked):
    monkeypatch.setattr(actions, "_BATCH", 2)
    rows = SessionFactory.create_batch(7, partition="wiki")
    other = SessionFactory()
    chosen = choose_all(rows, "end_sessions", post="yes")
    response = operator.post(f"{LIST}?partition=wiki", chosen, follow=True)
    assert "7 sessions have ended." in response.content.decode()
    assert left(subject_id="alice") == {other}


def test_all_subjects_that_match_are_signed_out(operator, monkeypatch, revoked):
    monkeypatch.setattr(actions, "_BATCH", 2)
    rows = [SessionFactory(subject_id=f"subject {n % 3}", partition="shop") for n in range(6)]
    elsewhere = SessionFactory(subject_id="subject 1", partition="wiki")
    spared = {
        SessionFactory(subject_id="bob"),
        SessionFactory(anonymous=True, partition="shop"),
        SessionFactory(subject_id="subject 1", issuer="https://other.example"),
        SessionFactory(subject_id="subject 1", issuer=None),
    }
    chosen = choose_all(rows, "sign_out_subjects", post="yes")
    response = operator.post(f"{LIST}?partition=shop", chosen, follow=True)
    assert "7 sessions have ended." in response.content.decode()
    assert sorted(revoked) == sorted(row.key for row in [*rows, elsewhere])
    assert spared <= left()


def test_sessions_are_looked_up_again_at_confirmation(operator):
    rows = SessionFactory.create_batch(3, expired=True)
    response = operator.post(f"{LIST}?state=expired", choose_all(rows, "end_sessions"))
    assert "No live session will end. 3 expired sessions will be deleted, too." in words(response)
    # Renewed by a request that took its time.
    Session.objects.filter(pk=rows[0].pk).update(expires=None)
    chosen = choose_all(rows, "end_sessions", post="yes")
    operator.post(f"{LIST}?state=expired", chosen)
    assert left(subject_id="alice") == {rows[0]}


@pytest.mark.django_db(transaction=True)
def test_sessions_that_begin_meanwhile_do_not_end(operator, monkeypatch):
    monkeypatch.setattr(actions, "_BATCH", 1)
    monkeypatch.setattr(actions, "_SECONDS", 1)
    rows = SessionFactory.create_batch(2)

    def sign_in_again(sender, sessions, **kwargs):
        SessionFactory(subject_id="alice")

    sessions_ended.connect(sign_in_again)
    try:
        chosen = choose_all(rows, "end_sessions", post="yes")
        response = operator.post(f"{LIST}?q=alice", chosen, follow=True)
    finally:
        assert sessions_ended.disconnect(sign_in_again)
    assert "2 sessions have ended." in response.content.decode()
    assert len(left(subject_id="alice")) == 2
    assert not left(subject_id="alice") & set(rows)


def test_action_that_takes_too_long_asks_to_continue(operator, monkeypatch):
    monkeypatch.setattr(actions, "_BATCH", 2)
    monkeypatch.setattr(actions, "_SECONDS", -1)
    rows = SessionFactory.create_batch(5)
    chosen = choose_all(rows, "end_sessions", post="yes")
    for rest in (3, 1):
        text = words(operator.post(f"{LIST}?q=alice", chosen))
        assert "2 sessions have ended. More sessions match. Do you want to continue?" in text
        assert f"{rest} live session{'s' * (rest > 1)} will end." in text
        assert len(left(subject_id="alice")) == rest
    assert operator.post(f"{LIST}?q=alice", chosen).status_code == 302
    assert left(subject_id="alice") == set()


@BOTH
def test_session_that_ended_meanwhile_is_not_counted(operator, monkeypatch, action):
    rows = SessionFactory.create_batch(2)
    batches = RowSelection.batches

    def slow(selection, size):
        for batch in batches(selection, size):
            Session.objects.filter(subject_id="alice").delete()
            yield batch

    monkeypatch.setattr(RowSelection, "batches", slow)
    response = operator.post(LIST, choose(rows, action, post="yes"), follow=True)
    assert "0 sessions have ended." in response.content.decode()
    assert not LogEntry.objects.exists()


@BOTH
@pytest.mark.parametrize("pk", ["", "abc", "1.5", "9" * 30])
def test_malformed_selection_ends_no_session(operator, action, pk):
    row = SessionFactory()
    chosen = {"action": action, "_selected_action": [pk], "post": "yes"}
    assert operator.post(LIST, chosen).status_code == 302
    assert row in left()


# The log


def test_each_ended_session_is_logged(operator):
    rows = [SessionFactory(), SessionFactory(subject_id="bob")]
    operator.post(LIST, choose(rows, post="yes"))
    entries = LogEntry.objects.values_list("action_flag", "object_id", "object_repr")
    assert set(entries) == {
        (DELETION, str(row.pk), f"{row.subject_id} (sid {row.session_id}, https://idp.example)")
        for row in rows
    }


def test_each_signed_out_subject_is_logged_once(operator):
    rows = [*SessionFactory.create_batch(3), SessionFactory(subject_id="bob")]
    operator.post(LIST, choose(rows, "sign_out_subjects", post="yes"))
    entries = LogEntry.objects.order_by("-object_repr").values_list(
        "action_flag", "object_repr", "change_message"
    )
    bob, alice = entries
    assert bob[0] == alice[0] == DELETION
    assert bob[1] == f"bob (sid {rows[3].session_id}, https://idp.example)"
    assert alice[1].startswith("alice (sid ")
    assert (bob[2], alice[2]) == ("Signed out everywhere: 1", "Signed out everywhere: 3")


@BOTH
def test_log_and_pages_contain_no_secret(operator, action):
    row = SessionFactory()
    page = operator.post(LIST, choose([row], action)).content.decode()
    operator.post(LIST, choose([row], action, post="yes"))
    assert LogEntry.objects.exists()
    for text in (page, str(list(LogEntry.objects.values()))):
        assert row.key not in text
        assert bytes(row.ticket).hex() not in text


# Who may


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        (["view"], []),
        (["view", "add", "change", "delete"], []),
        (["view", "end"], ["end_sessions"]),
        (["view", "sign_out"], ["sign_out_subjects"]),
        (["view", "end", "sign_out"], ["end_sessions", "sign_out_subjects"]),
    ],
    ids=str,
)
def test_each_action_has_a_permission_of_its_own(permissions, allowed):
    browser = browser_of(*permissions)
    text = browser.get(LIST).content.decode()
    for action in ("end_sessions", "sign_out_subjects"):
        row = SessionFactory(subject_id=action)
        may = action in allowed
        assert (f'value="{action}"' in text) == may
        page = browser.post(LIST, choose([row], action))
        assert ("1 live session will end." in page.content.decode()) == may
        browser.post(LIST, choose([row], action, post="yes"))
        assert (row not in left()) == may


@BOTH
def test_permission_to_end_needs_permission_to_view(action):
    row, browser = SessionFactory(), browser_of("end", "sign_out")
    assert browser.post(LIST, choose([row], action)).status_code == 403
    assert browser.post(LIST, choose([row], action, post="yes")).status_code == 403
    assert browser.get(page_of(row, "delete")).status_code == 403
    assert browser.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
    assert row in left()


@BOTH
def test_permission_is_checked_again_at_confirmation(action):
    row, browser = SessionFactory(), browser_of("view", "end", "sign_out")
    assert "1 live session will end." in words(browser.post(LIST, choose([row], action)))
    user = UserFactory._meta.model.objects.get(pk=browser.session["_auth_user_id"])
    for codename in ("end_session", "sign_out_subject"):
        user.user_permissions.remove(user.user_permissions.get(codename=codename))
    browser.post(LIST, choose([row], action, post="yes"))
    assert row in left()


@BOTH
def test_action_needs_a_csrf_token(action):
    row, browser = SessionFactory(), Client(enforce_csrf_checks=True)
    browser.force_login(UserFactory(admin=True))
    assert browser.post(LIST, choose([row], action, post="yes")).status_code == 403
    assert row in left()


def test_get_ends_no_session(operator):
    row = SessionFactory()
    operator.get(LIST, choose([row], post="yes"))
    assert row in left()


def test_action_succeeds_if_its_message_fails(operator, monkeypatch, caplog):
    def fail(self, *args, **kwargs):
        raise RuntimeError("secret")

    row = SessionFactory()
    monkeypatch.setattr(BaseStorage, "add", fail)
    assert operator.post(LIST, choose([row], post="yes")).status_code == 302
    assert row not in left()
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text
