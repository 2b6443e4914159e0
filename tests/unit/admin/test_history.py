"""The history in the admin."""

import re
from html import unescape
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import Permission
from django.utils.translation import override

from bff_sessions.contract import ActorKind, EndReason
from bff_sessions.history import reading, texts
from bff_sessions.history.models import ENDED, STARTED, Event
from bff_sessions.history.reading import EventsFilter, iterate_events, read_page
from tests.support.admin import LIST, browser_of, page_of
from tests.support.factories import SessionFactory, UserFactory, ago

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installed_history")]

HISTORY = f"{LIST}events/"


def make_event(number=0, **values):
    return Event.objects.create(
        **{
            "moment": ago(minutes=number),
            "what": ENDED,
            "reason": "signed_out",
            "public_id": f"{number:08x}{0:024}",
            "partition": "default",
            "issuer": "https://idp.example",
            "subject_id": "alice",
        }
        | values
    )


def read(browser, **query):
    response = browser.get(HISTORY, query)
    assert response.status_code == 200
    return unescape(response.content.decode())


def shown(browser, **query):
    """The public IDs on a page, shortened."""
    return re.findall(r"session ([0-9a-f]{8})", read(browser, **query))


@pytest.mark.parametrize("reason", EndReason)
@pytest.mark.parametrize("language", ["en", "de"])
def test_each_reason_is_a_sentence_on_the_page(operator, settings, reason, language):
    settings.LANGUAGE_CODE = language
    event = make_event(reason=reason.value)
    with override(language):
        text = texts.describe(event)
    assert text not in (reason.value, "Ended", "Beendet")
    assert f'<td role="cell">{text} ' in read(operator)


def test_german_sentences_are_german(operator):
    for reason in EndReason:
        event = Event(what=ENDED, reason=reason.value)
        with override("en"):
            english = texts.describe(event)
        with override("de"):
            assert texts.describe(event) != english


def test_start_and_unknown_reason_are_shown(operator):
    make_event(1, what=STARTED, reason=None)
    make_event(2, reason="of_a_later_version")
    page = read(operator)
    assert "Signed in" in page
    assert "of_a_later_version" in page


def test_newest_event_is_first_and_pages_follow(operator, monkeypatch):
    monkeypatch.setattr("bff_sessions.admin.history._PAGE", 2)
    made = [make_event(n).public_id[:8] for n in range(5)]
    # Events of one moment have an order, too.
    Event.objects.update(moment=ago(minutes=1))
    found, url = [], HISTORY + "?subject=alice"
    while url:
        page = unescape(operator.get(url).content.decode())
        found.append(re.findall(r"session ([0-9a-f]{8})", page))
        link = re.search(r'<a href="(\?[^"]*)" rel="next">', page)
        url = link and HISTORY + link[1]
    assert [len(some) for some in found] == [2, 2, 1]
    assert [one for some in found for one in some] == made[::-1]  # By ID.


@pytest.mark.parametrize("query", [{"issuer": "https://other.example"}, {"local": "on"}])
def test_search_without_an_index_goes_on_in_steps(operator, monkeypatch, query):
    monkeypatch.setattr(reading, "WINDOW", 3)
    issuer = query.get("issuer")
    for number in range(10):
        make_event(number, issuer=issuer if number == 6 else "https://idp.example")
    found, url = [], HISTORY + "?" + urlencode(query)
    while url:
        page = unescape(operator.get(url).content.decode())
        found.append(re.findall(r"session ([0-9a-f]{8})", page))
        is_last = "There are older events." not in page
        link = re.search(r'<a href="(\?[^"]*)" rel="next">', page)
        assert (link is None) is is_last
        url = link and HISTORY + link[1]
    assert [one for some in found for one in some] == ["00000006"]
    assert len(found) == 3
    events = iterate_events(EventsFilter(issuer=issuer))
    assert [event.public_id[:8] for event in events] == ["00000006"]
    assert "There are older events." not in read(operator)
    assert "There are older events." not in read(operator, subject="alice", **query)


def test_filters_are_exact(operator):
    user = UserFactory(username="alice-at-home")
    make_event(1)
    make_event(2, subject_id="Alice")
    make_event(3, issuer=None)
    make_event(4, issuer="https://other.example", user_id=str(user.pk))
    assert len(shown(operator)) == 4
    assert len(shown(operator, subject="alice")) == 3
    assert len(shown(operator, subject="alice", issuer="https://idp.example")) == 1
    assert len(shown(operator, subject="alice", local="on")) == 1
    assert len(shown(operator, user=str(user.pk))) == 1
    assert len(shown(operator, user="alice-at-home")) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"subject": "a\0b"},
        {"subject": "\udcff"},
        {"subject": " "},
        {"subject": "x" * 5000},
        {"user": "\0"},
        {"issuer": "'; DROP TABLE"},
        {"issuer": "https://idp.example", "local": "on"},
        {"before": "x"},
        {"before": "1-"},
        {"before": "9" * 50 + "-1"},
        {"before": ""},
    ],
)
def test_malformed_filter_is_an_empty_page(operator, query):
    make_event()
    if query.get("subject") == "\udcff":
        query = {"subject": b"\xff"}
    assert "No event matches." in read(operator, **query)


def test_actor_is_named(operator):
    user = UserFactory(username="otto")
    make_event(1, actor_kind=ActorKind.USER.value, actor_id=str(user.pk))
    make_event(2, actor_kind=ActorKind.USER.value, actor_id="999999")
    make_event(3, actor_kind=ActorKind.PROVIDER.value, actor_id="https://idp.example/x")
    make_event(4, actor_kind=ActorKind.COMMAND.value, actor_id="root")
    page = read(operator)
    assert "by root (command)" in page
    assert "by otto" in page
    assert "by user 999999" in page
    assert "by https://idp.example/x" in page


def test_names_of_users_are_shown_to_those_who_may_see_users():
    user = UserFactory(username="otto")
    make_event(user_id=str(user.pk))
    browser = browser_of("view")
    allow(browser)
    assert "otto" not in read(browser)


def allow(browser):
    permission = Permission.objects.get(
        codename="view_event", content_type__app_label="bff_sessions_history"
    )
    get_user(browser).user_permissions.add(permission)


def test_history_needs_its_own_permission():
    row = SessionFactory()
    browser = browser_of("view")
    for url in (LIST, page_of(row)):
        assert HISTORY not in browser.get(url).content.decode()
    assert browser.get(HISTORY).status_code == 403
    allow(browser)
    assert browser.get(HISTORY).status_code == 200
    for url in (LIST, page_of(row)):
        assert HISTORY in browser.get(url).content.decode()


def test_history_needs_the_permission_to_view_sessions():
    browser = browser_of()
    allow(browser)
    assert browser.get(HISTORY).status_code == 403


def test_anonymous_visitor_is_sent_to_sign_in(client):
    assert client.get(HISTORY).status_code == 302


def test_page_of_a_session_leads_to_the_history_of_its_subject(operator):
    make_event(1)
    make_event(2, issuer=None)
    for row, number in ((SessionFactory(), 1), (SessionFactory(issuer=None), 2)):
        page = unescape(operator.get(page_of(row)).content.decode())
        (url,) = re.findall(rf'href="({HISTORY}\?[^"]*)"', page)
        events = unescape(operator.get(url).content.decode())
        assert re.findall(r"session (\w{8})<", events) == [f"{number:08x}"]


def test_site_without_history_has_no_page(operator, monkeypatch):
    monkeypatch.setattr(reading, "APP", "other")
    assert operator.get(HISTORY).status_code == 404
    assert HISTORY not in operator.get(LIST).content.decode()


def test_markup_in_names_is_escaped(operator):
    make_event(subject_id="<script>alert(1)</script>", user_agent="<b>")
    assert b"<script>alert(1)" not in operator.get(HISTORY).content


def test_page_takes_a_bounded_number_of_statements(operator, django_assert_max_num_queries):
    for number in range(40):
        make_event(number, user_id=str(number))
    with django_assert_max_num_queries(6):
        operator.get(HISTORY)


# Reading


def test_events_are_read_in_bounded_pages(monkeypatch):
    made = [make_event(n) for n in range(5)]
    page = read_page(EventsFilter(), limit=2)
    assert (list(page.events), bool(page.next_cursor)) == (made[:2], True)
    assert list(iterate_events(EventsFilter(subject_id="alice"))) == made
