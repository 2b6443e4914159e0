import base64
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from secrets import token_hex
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.protection import store_key
from bff_sessions.revocation import revoke_session
from bff_sessions.stores.orm import OrmUserSessionStore
from tests.support.admin import LIST, browser_of, choose, found_by, page_of
from tests.support.factories import SessionFactory, UserFactory, ago

pytestmark = pytest.mark.django_db

ACTIONS = ["delete_selected", "end_sessions", "sign_out_subjects"]


class RecordingStore(OrmUserSessionStore):
    """Record the store keys of the deletes."""

    deleted = []

    def delete_user_session(self, key, **arguments):
        self.deleted.append(key)
        return super().delete_user_session(key, **arguments)

    def delete_user_sessions(self, filter, **arguments):
        sessions = super().delete_user_sessions(filter, **arguments)
        self.deleted.extend(session.key for session in sessions)
        return sessions


class MovingStore(OrmUserSessionStore):
    """Move the session to a new key just before the delete, like a request of its user."""

    moving = None

    def delete_user_session(self, key, **arguments):
        if key == self.moving:
            Session.objects.filter(key=key).update(key=token_hex(32))
        return super().delete_user_session(key, **arguments)


@pytest.fixture
def recorded(settings):
    """Return the list of deletes of the configured store, which is another one."""
    RecordingStore.deleted.clear()
    settings.BFF_SESSIONS = {"STORE": "tests.unit.admin.test_admin.RecordingStore"}
    return RecordingStore.deleted


def delete_by_page(browser, *rows):
    for row in rows:
        assert browser.get(page_of(row, "delete")).status_code == 200
        assert browser.post(page_of(row, "delete"), {"post": "yes"}).status_code == 302


def delete_by_action(browser, *rows):
    response = browser.post(LIST, choose(rows))
    assert response.status_code == 200
    assert all(Session.objects.filter(pk=row.pk).exists() for row in rows)
    assert browser.post(LIST, choose(rows, post="yes")).status_code == 302


def delete_by_queryset(browser, *rows):
    model_admin = admin.site.get_model_admin(Session)
    chosen = Session.objects.filter(pk__in=[row.pk for row in rows])
    model_admin.delete_queryset(SimpleNamespace(user=get_user(browser)), chosen)


WAYS = pytest.mark.parametrize("delete", [delete_by_page, delete_by_action, delete_by_queryset])


# The list


TIMES = {
    "created": datetime(2030, 1, 2, 3, 4, tzinfo=UTC),
    "renewed": datetime(2030, 1, 3, 9, tzinfo=UTC),
    "last_seen": datetime(2030, 1, 3, 10, 30, tzinfo=UTC),
    "expires": datetime(2030, 2, 1, 12, tzinfo=UTC),
}


def test_list_shows_device_times_state_and_provider(operator, settings):
    settings.TIME_ZONE = "UTC"
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"
    SessionFactory(
        subject_id="sub-7", partition="shop", user_agent=agent, address="192.0.2.0/24", **TIMES
    )
    rows = re.findall("<tr><td.*?</tr>", operator.get(LIST).content.decode(), re.DOTALL)
    (cells,) = [
        [
            " ".join(re.sub("<[^>]*>", " ", cell).split())
            for cell in re.findall("<t[dh].*?</t[dh]>", row)
        ]
        for row in rows
        if "sub-7" in row
    ]
    assert cells[1:] == [
        "sub-7",
        "Firefox on Windows 192.0.2.0/24",
        "01/02/2030 3:04 a.m.",
        "01/03/2030 10:30 a.m.",
        "02/01/2030 noon",
        "live",
        "idp.example shop",
    ]


def test_list_shows_anonymous_sessions(operator):
    row = SessionFactory(anonymous=True)
    response = operator.get(LIST)
    assert row in response.context["cl"].result_list
    assert "anonymous" in response.content.decode()


def test_list_escapes_claims(operator):
    SessionFactory(subject_id="<script>alert(1)</script>")
    assert "<script>alert(1)" not in operator.get(LIST).content.decode()


def test_list_shows_live_and_expired_state(operator):
    SessionFactory(expired=True)
    SessionFactory(endless=True)
    cell = '<td class="field-state">{}</td>'.format
    for state, other in [("live", "expired"), ("expired", "live")]:
        text = operator.get(LIST, {"state": state}).content.decode()
        assert cell(state) in text
        assert cell(other) not in text


def test_newest_session_is_listed_first(operator):
    rows = [SessionFactory(created=ago(hours=9 - hour)) for hour in (1, 3, 2)]
    shown = operator.get(LIST).context["cl"].result_list
    assert [row for row in shown if row in rows] == [rows[1], rows[2], rows[0]]


@pytest.mark.parametrize("order", ["1", "-1", "3", "8", "9.1"])
def test_list_ignores_orders_without_an_index(operator, order):
    rows = [SessionFactory(subject_id=name, expires=ago(hours=-n)) for n, name in enumerate("bca")]
    response = operator.get(LIST, {"o": order})
    assert [row for row in response.context["cl"].result_list if row in rows] == rows[::-1]
    assert 'class="sort' not in response.content.decode()


def test_list_of_30_sessions_takes_no_more_statements_than_of_3(
    operator, django_assert_num_queries
):
    SessionFactory.create_batch(3)
    operator.get(LIST)  # Content types are remembered from here on.
    with CaptureQueriesContext(connection) as few:
        operator.get(LIST)
    SessionFactory.create_batch(27)
    with django_assert_num_queries(len(few)):
        assert operator.get(LIST).context["cl"].result_count >= 30


def test_list_does_not_read_tickets(operator):
    SessionFactory()
    with CaptureQueriesContext(connection) as captured:
        operator.get(LIST)
    lists = [q["sql"] for q in captured if "ORDER BY" in q["sql"] and "partition" in q["sql"]]
    assert lists
    assert not any("ticket" in sql for sql in lists)


def test_list_and_page_mark_the_own_session(operator):
    row, own = SessionFactory(), Session.objects.get(subject_id__in=[str(n) for n in range(9999)])
    assert operator.get(LIST).content.decode().count("your own session") == 1
    for session, is_own in ((row, False), (own, True)):
        for page in ("change", "delete"):
            text = operator.get(page_of(session, page)).content.decode()
            assert ("This is your own session" in text) == is_own


def test_empty_list_says_why(operator):
    assert "No session matches." in operator.get(LIST, {"q": "nobody"}).content.decode()
    assert "No session matches." in operator.get(LIST, {"state": "expired"}).content.decode()
    assert "No more sessions match." in operator.get(LIST, {"p": "1-1"}).content.decode()


# Search


@pytest.mark.parametrize("name", ["subject_id", "session_id", "user_id"])
def test_search_finds_subject_sid_and_user_exactly(operator, name):
    texts = [
        "alice",
        "Alice",
        "alice ",
        " alice",
        "alic",
        "alice2",
        "alicé",
        "al ice",
        "ali%",
        "a_ice",
    ]
    rows = {text: SessionFactory(**{"subject_id": None, name: text}) for text in texts}
    for text, row in rows.items():
        assert found_by(operator, text) == {row}


@pytest.mark.parametrize(
    "term",
    ["ali", "lice", "ALICE", "alice*", "%", "alice ", " alice", "a'b", '"alice"', "alice bob"],
)
def test_search_does_not_find_similar_values(operator, term):
    SessionFactory(subject_id="alice")
    SessionFactory(subject_id="bob")
    assert found_by(operator, term) == set()


@pytest.mark.parametrize(
    "subject",
    ["auth0|alice smith", '"quoted"', "O'Hara", 'a "b c" d', "a\\b", "a  b", "a&b=c", "😀"],
)
def test_search_takes_the_term_as_a_whole(operator, subject):
    row = SessionFactory(subject_id=subject)
    for word in subject.split():
        SessionFactory(subject_id=f"{word}!")
    assert found_by(operator, subject) == {row}


def test_search_finds_all_sessions_of_a_subject(operator):
    rows = set(SessionFactory.create_batch(3))
    SessionFactory(subject_id="bob")
    assert found_by(operator, "alice") == rows


def test_search_finds_neither_key_nor_issuer(operator):
    row = SessionFactory()
    for term in (row.key, row.issuer, row.partition, str(row.pk) + "0"):
        assert found_by(operator, term) == set()


def test_empty_search_finds_all_sessions(operator):
    row = SessionFactory()
    assert row in found_by(operator, "")


def test_search_for_a_nul_is_not_an_error(operator):
    SessionFactory()
    assert operator.get(LIST, {"q": "a\0b"}).status_code == 200


def test_state_filter_separates_live_from_expired(operator):
    live, endless = SessionFactory(), SessionFactory(endless=True)
    expired = SessionFactory(expired=True)
    just_now = SessionFactory(expires=datetime.now(UTC))
    assert found_by(operator, "alice", state="live") == {live, endless}
    assert found_by(operator, "alice", state="expired") == {expired, just_now}
    assert found_by(operator, "alice") == {live, endless, expired, just_now}


@pytest.mark.parametrize("use_tz", [True, False])
def test_state_filter_works_in_each_time_zone(operator, settings, use_tz):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "America/Chicago"
    live = SessionFactory(expires=datetime.now(UTC) + timedelta(minutes=5))
    expired = SessionFactory(expires=datetime.now(UTC) - timedelta(minutes=5))
    assert found_by(operator, "alice", state="live") == {live}
    assert found_by(operator, "alice", state="expired") == {expired}
    assert operator.get(page_of(live)).status_code == 200


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("page", ["change", "delete"])
def test_pages_of_a_session_show_local_times(operator, settings, use_tz, page):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "America/Chicago"
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    row = SessionFactory(created=moment, renewed=moment, last_seen=moment)
    text = operator.get(page_of(row, page)).content.decode()
    assert set(re.findall(r"July 1, 2026, ([^<]*)", text)) == {"7 a.m."}


def test_provider_filter_finds_sign_ins_without_provider(operator):
    at_provider = SessionFactory(issuer="https://idp.example", user_id="1")
    local = SessionFactory(issuer=None, user_id="1")
    found = found_by(operator, "", provider="without")
    assert local in found
    assert at_provider not in found
    assert found_by(operator, "alice", provider="with") == {at_provider}
    assert found_by(operator, "alice") == {at_provider, local}


def test_anonymous_session_is_neither_with_nor_without_provider(operator):
    nobody = SessionFactory(anonymous=True)
    for provider in ("with", "without"):
        assert nobody not in found_by(operator, "", provider=provider)
    assert nobody in found_by(operator, "")


# The page of one session


def test_page_is_titled_with_the_session(operator):
    row = SessionFactory()
    text = operator.get(page_of(row)).content.decode()
    assert "<h1>Session of alice</h1>" in text
    assert f"alice (sid {row.session_id}, https://idp.example)" in text


def test_page_leads_to_all_sessions_of_the_subject(operator):
    mine = {SessionFactory(), SessionFactory(expired=True)}
    local = {SessionFactory(issuer=None, user_id="x")}
    SessionFactory(issuer="https://other.example")
    for rows in (mine, local):
        text = operator.get(page_of(next(iter(rows)))).content.decode()
        link = re.search(r'<a href="([^"]*)">All sessions of this subject', text)
        assert set(operator.get(unescape(link[1])).context["cl"].result_list) == rows
    text = operator.get(page_of(SessionFactory(anonymous=True))).content.decode()
    assert "All sessions of this subject" not in text
    assert "Sign out everywhere" not in text


def test_page_signs_the_subject_out_everywhere(operator):
    row, other = SessionFactory.create_batch(2)
    text = operator.get(f"{page_of(row)}?_changelist_filters=q%3Dalice").content.decode()
    form = text[text.index('<form method="post" action="') : text.index("Sign out everywhere")]
    action = unescape(re.search('action="([^"]*)"', form)[1])
    assert action == f"{LIST}?q=alice"
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    page = operator.post(action, fields)
    assert "2 live sessions will end." in " ".join(page.content.decode().split())
    assert operator.post(action, fields | {"post": "yes"})["Location"] == action
    assert not Session.objects.filter(pk__in=[row.pk, other.pk]).exists()


@pytest.mark.parametrize("permissions", [["view"], ["view", "end"], ["view", "sign_out"]], ids=str)
def test_page_offers_what_the_operator_may_do(permissions):
    text = browser_of(*permissions).get(page_of(SessionFactory())).content.decode()
    assert ("End this session" in text) == ("end" in permissions)
    assert ("Sign out everywhere" in text) == ("sign_out" in permissions)
    assert "All sessions of this subject" in text


def test_delete_page_names_the_session_and_leads_back_to_the_list(operator):
    row = SessionFactory(address="192.0.2.0/24")
    address = f"{page_of(row, 'delete')}?_changelist_filters=q%3Dalice%26state%3Dlive"
    text = operator.get(address).content.decode()
    for shown in ("End the session of alice?", row.session_id, row.issuer, "192.0.2.0/24"):
        assert shown in text
    response = operator.post(address, {"post": "yes"}, follow=True)
    assert response.redirect_chain == [(f"{LIST}?q=alice&state=live", 302)]
    text = f"The session has ended: alice (sid {row.session_id}, https://idp.example)"
    assert text in response.content.decode()


def test_delete_page_says_that_a_session_has_expired(operator):
    text = operator.get(page_of(SessionFactory(expired=True), "delete")).content.decode()
    assert "It has already expired" in text
    assert "must sign in again" not in text


def test_page_shows_times_in_the_format_of_the_admin(operator, settings):
    settings.TIME_ZONE = "UTC"
    text = operator.get(page_of(SessionFactory(**TIMES | {"expires": None}))).content.decode()
    for shown in ("Jan. 2, 2030, 3:04 a.m.", "Jan. 3, 2030, 10:30 a.m.", "never"):
        assert shown in text


# What cannot be done


def test_session_cannot_be_added(operator):
    before = Session.objects.count()
    for page in (LIST, "/admin/", "/admin/bff_sessions/"):
        assert f"{LIST}add/" not in operator.get(page).content.decode()
    for method in (operator.get, operator.post):
        assert method(f"{LIST}add/").status_code == 403
    assert Session.objects.count() == before


def test_session_cannot_be_changed(operator):
    row = SessionFactory()
    before = Session.objects.values().get(pk=row.pk)
    response = operator.get(page_of(row))
    assert response.status_code == 200
    text = response.content.decode()
    assert "_save" not in text
    assert 'type="text"' not in text
    assert operator.post(page_of(row), {"subject_id": "mallory"}).status_code == 403
    assert Session.objects.values().get(pk=row.pk) == before


def test_page_of_a_session_shows_its_owner(operator):
    row = SessionFactory(user_id="4711")
    text = operator.get(page_of(row)).content.decode()
    for shown in (row.subject_id, row.session_id, row.issuer, "4711", "default"):
        assert shown in text


# Deleting is revoking


@WAYS
def test_deleting_a_session_revokes_it(operator, delete, revoked):
    row, other = SessionFactory(), SessionFactory()
    delete(operator, row)
    assert not Session.objects.filter(pk=row.pk).exists()
    assert Session.objects.filter(pk=other.pk).exists()
    assert revoked == [row.key]


@WAYS
def test_several_sessions_can_be_deleted(operator, delete, revoked):
    rows, other = SessionFactory.create_batch(5), SessionFactory()
    delete(operator, *rows)
    assert Session.objects.filter(subject_id="alice").get() == other
    assert sorted(revoked) == sorted(row.key for row in rows)


@WAYS
def test_delete_uses_the_configured_store(operator, delete, recorded, revoked):
    rows = SessionFactory.create_batch(2)
    delete(operator, *rows)
    assert sorted(recorded) == sorted(row.key for row in rows)
    assert sorted(revoked) == sorted(recorded)


@WAYS
@pytest.mark.parametrize(
    "whose", [{"expired": True}, {"anonymous": True}, {"expired": True, "anonymous": True}], ids=str
)
def test_expired_and_anonymous_sessions_can_be_deleted(operator, delete, recorded, whose):
    row, other = SessionFactory(**whose), SessionFactory(**whose)
    delete(operator, row)
    assert not Session.objects.filter(pk=row.pk).exists()
    assert Session.objects.filter(pk=other.pk).exists()
    assert recorded == [row.key]


@pytest.mark.parametrize("delete", [delete_by_page, delete_by_action])
def test_browser_of_a_deleted_session_is_signed_out(operator, delete):
    browser, user = Client(), UserFactory(admin=True)
    browser.force_login(user)
    assert browser.get("/admin/").status_code == 200
    delete(operator, Session.objects.get(user_id=str(user.pk)))
    assert browser.get("/admin/").status_code == 302


@WAYS
def test_session_that_moves_during_the_delete_ends(operator, delete, settings, monkeypatch):
    row = SessionFactory()
    monkeypatch.setattr(MovingStore, "moving", row.key)
    settings.BFF_SESSIONS = {"STORE": "tests.unit.admin.test_admin.MovingStore"}
    delete(operator, row)
    assert not Session.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("delete", [delete_by_page, delete_by_action])
def test_operator_can_end_the_own_session(operator, delete):
    delete(operator, Session.objects.get())
    assert not Session.objects.exists()
    assert operator.get("/admin/").status_code == 302


def test_nothing_ends_before_the_confirmation(operator, revoked):
    row = SessionFactory()
    operator.get(page_of(row, "delete"))
    operator.post(LIST, choose([row]))
    assert Session.objects.filter(pk=row.pk).exists()
    assert revoked == []


def test_deleting_an_ended_session_is_not_an_error(operator):
    row = SessionFactory()
    assert revoke_session(row.key)
    assert operator.post(page_of(row, "delete"), {"post": "yes"}).status_code == 302
    assert operator.post(LIST, choose([row], post="yes")).status_code in (200, 302)


def test_delete_is_logged_with_its_user(operator):
    row = SessionFactory()
    delete_by_page(operator, row)
    assert LogEntry.objects.get().object_repr == str(row)
    assert row.session_id in str(row)


# Secrets


@pytest.fixture
def secrets_of_a_session(operator):
    """Return a session of the engine, and the texts of it that must not be shown."""
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "5"}
    session["access_token"] = "do not show me"
    session.save()
    row = Session.objects.get(key=store_key("default", session.session_key))
    own_key = operator.cookies["sessionid"].value
    secrets = {"access_token", "do not show me", row.key, session.session_key}
    secrets |= {own_key, store_key("default", own_key)}
    ticket = bytes(row.ticket)
    for part in (ticket, ticket[21:], ticket[:21]):
        secrets |= {
            str(part),
            repr(part)[2:-1],
            part.hex(),
            part.hex().upper(),
            base64.b64encode(part).decode().rstrip("="),
            base64.urlsafe_b64encode(part).decode().rstrip("="),
            base64.b32encode(part).decode().rstrip("="),
            part.decode("latin-1"),
            ", ".join(map(str, part)),
        }
    return row, secrets


def pages(browser, row):
    """Yield each page of the admin that concerns `row`, before and after its end."""
    LogEntry.objects.create(
        user_id=browser.session["_auth_user_id"],
        content_type=ContentType.objects.get_for_model(Session),
        object_id=str(row.pk),
        object_repr=str(row),
        action_flag=CHANGE,
        change_message="[]",
    )
    yield browser.get("/admin/")
    yield browser.get("/admin/bff_sessions/")
    yield browser.get(LIST)
    yield browser.get(LIST, {"q": "alice", "state": "live"})
    yield browser.get(LIST, {"q": row.key})
    yield browser.get(page_of(row))
    yield browser.get(page_of(row, "history"))
    yield browser.get(page_of(row, "delete"))
    yield browser.post(LIST, choose([row]))
    yield browser.post(page_of(row, "delete"), {"post": "yes"}, follow=True)
    yield browser.get("/admin/")
    other = SessionFactory(key=row.key, ticket=row.ticket)
    yield browser.post(LIST, choose([other], post="yes"), follow=True)
    yield browser.get("/admin/")


def test_pages_show_neither_keys_nor_ticket(operator, secrets_of_a_session):
    row, secrets = secrets_of_a_session
    for response in pages(operator, row):
        assert response.status_code == 200, response.request
        text = response.content.decode()
        if response.request["QUERY_STRING"] == f"q={row.key}":
            text = text.replace(row.key, "")  # What was asked for is repeated.
        for secret in secrets:
            assert secret not in text, response.request
    for entry in LogEntry.objects.values():
        assert not any(secret in str(entry) for secret in secrets)


def test_addresses_of_pages_contain_no_key(operator):
    row = SessionFactory()
    assert f"/{row.pk}/change/" in operator.get(LIST).content.decode()
    for address in (f"{LIST}{row.key}/change/", f"{LIST}{row.key}/delete/"):
        assert operator.get(address).status_code == 302


@pytest.mark.parametrize(
    "lookup",
    ["key", "key__startswith", "key__lt", "ticket", "ticket__contains", "ticket__gt"],
)
def test_list_cannot_be_filtered_by_key_or_ticket(operator, lookup):
    # Else it could be guessed, character by character.
    assert operator.get(LIST, {lookup: "a"}).status_code in (302, 400)


@pytest.mark.parametrize("lookup", ["subject_id__contains", "renewed__gte", "version", "id"])
def test_list_refuses_lookups_that_no_filter_offers(operator, lookup):
    # The database would have to read all rows.
    assert operator.get(LIST, {lookup: "1"}).status_code == 400


# Who may


def test_user_without_permission_sees_no_page():
    row, browser = SessionFactory(), browser_of()
    assert "bff_sessions" not in browser.get("/admin/").content.decode()
    for page in (LIST, page_of(row), page_of(row, "delete"), page_of(row, "history")):
        assert browser.get(page).status_code == 403
    assert browser.post(LIST, choose([row], post="yes")).status_code == 403
    assert browser.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
    assert Session.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("staff", [None, False])
def test_user_outside_the_staff_must_sign_in(staff):
    row, browser = SessionFactory(), Client()
    if staff is not None:
        browser.force_login(UserFactory(is_superuser=True))
    for page in (LIST, page_of(row), page_of(row, "delete"), page_of(row, "history")):
        assert browser.get(page).status_code == 302
    assert browser.post(page_of(row, "delete"), {"post": "yes"}).status_code == 302
    assert Session.objects.filter(pk=row.pk).exists()


def test_permission_to_view_does_not_allow_delete():
    row, browser = SessionFactory(), browser_of("view")
    text = browser.get(LIST).content.decode()
    assert not any(action in text for action in ACTIONS)
    assert browser.get(page_of(row)).status_code == 200
    assert browser.get(page_of(row, "delete")).status_code == 403
    assert browser.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
    for action in ACTIONS:
        browser.post(LIST, choose([row], action, post="yes"))
    assert Session.objects.filter(pk=row.pk).exists()


def test_permissions_to_view_and_end_allow_delete(revoked):
    rows, browser = SessionFactory.create_batch(2), browser_of("view", "end")
    delete_by_page(browser, rows[0])
    delete_by_action(browser, rows[1])
    assert sorted(revoked) == sorted(row.key for row in rows)


def test_permission_to_add_or_change_allows_neither():
    row, browser = SessionFactory(), browser_of("add", "change", "view")
    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.post(page_of(row), {"subject_id": "mallory"}).status_code == 403
    assert "_save" not in browser.get(page_of(row)).content.decode()
