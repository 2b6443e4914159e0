"""The pages of one session of a store that is not the ORM's."""

import re
from html import unescape

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.urls import reverse

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.protection import store_key
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing.factories import SessionFactory
from tests.support.admin import (
    LIST,
    browser_of,
    choose_sessions,
    page_of_session,
    reference,
)
from tests.support.factories import SessionFactory as RowFactory
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db

GONE = "That session has already ended."


def is_left(session):
    return get_store().get_user_session(session.key) is not None


def read(response):
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(
    ("values", "criterion"),
    [
        ({"session_id": "a/b?c=d.e#f:😀 "}, "sid"),
        ({"session_id": None}, "subject"),
        ({"session_id": None, "subject_id": None, "user_id": "7"}, "user"),
    ],
)
def test_page_is_found_by_what_its_url_names(operator, values, criterion):
    session = SessionFactory(**values)
    others = SessionFactory.create_batch(2, **values)
    query = {"sid": session.session_id, "subject": session.subject_id, "user": session.user_id}
    text = read(operator.get(LIST, {criterion: query[criterion]}))
    page = page_of_session(session, criterion=criterion)
    assert f'href="{page}?' in text
    text = read(operator.get(page))
    assert "End this session" in text
    assert read(operator.get(page_of_session(session, "history", criterion)))
    operator.post(page_of_session(session, "delete", criterion), {"post": "yes"})
    assert not is_left(session)
    assert all(map(is_left, others))


def test_page_shows_the_session(operator):
    user = UserFactory(username="Alice A.")
    session = SessionFactory(user=user, subject_id="f0b1")
    text = read(operator.get(page_of_session(session)))
    assert "<h1>Session of Alice A.</h1>" in text
    for shown in (
        "f0b1",
        session.session_id,
        session.issuer,
        f"/admin/auth/user/{user.pk}/change/",
    ):
        assert shown in text
    assert "None" not in text


def test_page_leads_to_all_sessions_of_the_subject(operator):
    mine = {reference(session) for session in SessionFactory.create_batch(2)}
    local = {reference(session) for session in SessionFactory.create_batch(2, issuer=None)}
    for references in (mine, local):
        text = read(
            operator.get(reverse("admin:bff_sessions_session_change", args=[min(references)]))
        )
        link = unescape(re.search(r'<a href="([^"]*)">All sessions of this subject', text)[1])
        shown = operator.get(link).context["cl"].result_list
        assert {row.pk for row in shown} == references


@pytest.mark.parametrize("permissions", [["view"], ["view", "end"], ["view", "sign_out"]], ids=str)
def test_page_offers_what_the_operator_may_do(permissions):
    session, browser = SessionFactory(), browser_of(*permissions)
    text = read(browser.get(page_of_session(session)))
    assert ("End this session" in text) == ("end" in permissions)
    assert ("Sign out everywhere" in text) == ("sign_out" in permissions)
    may = "end" in permissions
    for post in (browser.get, lambda page: browser.post(page, {"post": "yes"})):
        status = post(page_of_session(session, "delete")).status_code
        assert (status == 403) != may
    assert is_left(session) != may


def test_no_page_is_shown_without_the_permission_to_view():
    session, browser = SessionFactory(), browser_of("end", "sign_out")
    unknown = SessionFactory.build()
    for page in ("change", "delete", "history"):
        assert browser.get(page_of_session(session, page)).status_code == 403
        assert browser.get(page_of_session(unknown, page)).status_code == 403
    assert browser.post(page_of_session(session, "delete"), {"post": "yes"}).status_code == 403
    assert is_left(session)


def test_page_signs_the_subject_out_everywhere(operator):
    session, other = SessionFactory.create_batch(2)
    spared = SessionFactory(issuer="https://other.example")
    text = read(operator.get(f"{page_of_session(session)}?_changelist_filters=subject%3Dalice"))
    form = text[text.index('<form method="post" action="') : text.index("Sign out everywhere")]
    action = unescape(re.search('action="([^"]*)"', form)[1])
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form))
    assert "2 live sessions will end." in read(operator.post(action, fields))
    assert operator.post(action, fields | {"post": "yes"})["Location"] == f"{LIST}?subject=alice"
    assert [is_left(each) for each in (session, other, spared)] == [False, False, True]


def test_delete_page_asks_first_and_logs_the_end(operator, revoked):
    session = SessionFactory(ticket=b"secret")
    page = f"{page_of_session(session, 'delete')}?_changelist_filters=subject%3Dalice"
    text = read(operator.get(page))
    for shown in ("End the session of alice?", session.session_id, session.issuer):
        assert shown in text
    assert revoked == []
    response = operator.post(page, {"post": "yes"}, follow=True)
    assert response.redirect_chain == [(f"{LIST}?subject=alice", 302)]
    assert "The session has ended: alice (sid " in read(response)
    assert revoked == [session.key]
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.object_id) == (DELETION, reference(session))
    assert entry.object_repr == f"alice (sid {session.session_id}, {session.issuer})"
    assert session.key not in str(LogEntry.objects.values())


def test_session_that_moves_during_the_delete_ends(operator, store, monkeypatch):
    session, key = SessionFactory(user_id="7"), SessionFactory.build().key
    delete = store.delete_user_session

    def move_first(old, **arguments):
        if old == session.key and (found := store.get_user_session(old)) is not None:
            moved = SessionFactory.build(
                key=key, sign_in_id=found.sign_in_id, session_id=found.session_id
            )
            monkeypatch.undo()
            store.rekey_user_session(old, moved, if_version=found.version)
        return delete(old, **arguments)

    page = page_of_session(session, "delete")
    monkeypatch.setattr(store, "delete_user_session", move_first)
    assert operator.post(page, {"post": "yes"}).status_code == 302
    assert store.get_user_session(key) is None


def test_operator_can_end_the_own_session(operator):
    (own,) = get_store().get_user_sessions(
        UserSessionsFilter(user_id=operator.session["_auth_user_id"])
    )
    for page in ("change", "delete"):
        assert "This is your own session" in read(operator.get(page_of_session(own, page)))
    operator.post(page_of_session(own, "delete"), {"post": "yes"})
    assert operator.get("/admin/").status_code == 302


@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_page_of_an_ended_session_leads_back_to_the_list(operator, page):
    session, expired = SessionFactory(), SessionFactory(expired=True)
    revoke_sessions(UserSessionsFilter.of_session(session))
    for gone in (session, expired):
        url = f"{page_of_session(gone, page)}?_changelist_filters=subject%3Dbob"
        response = operator.get(url, follow=True)
        assert response.redirect_chain == [(f"{LIST}?subject=bob", 302)]
        assert GONE in read(response)


def test_session_that_ends_during_the_delete_is_not_logged(operator, store, monkeypatch):
    session = SessionFactory()
    page = page_of_session(session, "delete")
    monkeypatch.setattr("bff_sessions.admin.ending.revoke_session", lambda *args, **kwargs: False)
    assert GONE in read(operator.post(page, {"post": "yes"}, follow=True))
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("page", ["change", "delete", "history"])
@pytest.mark.parametrize(
    "text", ["1", "x", ".", "..", "x.sid.", "x.sid. ", "x.key.y", "x.sid.a\0b", "😀", "9" * 5000]
)
def test_malformed_url_leads_back_to_the_list(operator, page, text):
    RowFactory(pk=1)  # No row of the ORM is shown.
    url = reverse(f"admin:bff_sessions_session_{page}", args=[text])
    response = operator.get(url, follow=True)
    assert response.redirect_chain == [(LIST, 302)]
    assert GONE in read(response)


def test_session_of_another_public_id_is_not_shown(operator):
    session, other = SessionFactory.create_batch(2, session_id="same")
    text = read(operator.get(page_of_session(session)))
    assert other.public_id not in text
    url = page_of_session(session).replace(session.public_id, "0" * 32)
    assert operator.get(url).status_code == 302


def test_session_can_be_neither_added_nor_changed(operator):
    session = SessionFactory()
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(page_of_session(session), {"subject_id": "mallory"}).status_code == 403
    assert get_store().get_user_session(session.key) == session


@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_store_failure_is_an_error(operator, failing, caplog, page):
    session = SessionFactory()
    failing("query_user_sessions")
    response = operator.get(page_of_session(session, page))
    assert response.status_code == 503
    assert "s3cret" not in response.content.decode() + caplog.text


def test_store_failure_of_a_delete_is_an_error(operator, failing):
    session = SessionFactory()
    failing("delete_user_session")
    assert operator.post(page_of_session(session, "delete"), {"post": "yes"}).status_code == 503
    assert is_left(session)
    assert not LogEntry.objects.exists()


def test_pages_show_neither_keys_nor_ticket(operator):
    session = SessionFactory(data={"access_token": "do not show me"})
    own_key = operator.cookies["sessionid"].value
    secrets = [session.key, session.ticket.hex(), repr(session.ticket)[2:-1], "do not show me"]
    secrets += [session.sign_in_id, own_key, store_key("default", own_key)]
    user_id = operator.session["_auth_user_id"]
    texts = [
        read(operator.get("/admin/")),
        read(operator.get(LIST, {"subject": "alice"})),
        read(operator.get(LIST, {"user": user_id})),
        read(operator.get(page_of_session(session))),
        read(operator.get(page_of_session(session, "history"))),
        read(operator.get(page_of_session(session, "delete"))),
        read(operator.post(LIST, choose_sessions([session]))),
        read(operator.post(LIST, choose_sessions([session], post="yes"), follow=True)),
        read(operator.get("/admin/")),
        str(list(LogEntry.objects.values())),
    ]
    for text in texts:
        assert not [secret for secret in secrets if secret in text]
