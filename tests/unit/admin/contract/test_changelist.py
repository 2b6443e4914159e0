"""The list of sessions of a store that is not the ORM's."""

from datetime import timedelta

import pytest

from bff_sessions.testing.factories import SessionFactory
from bff_sessions.testing.fixtures import ago
from tests.support.admin import LIST, browser_of, reference, walk
from tests.support.factories import UserFactory
from tests.support.stores import CACHED, MEMORY

pytestmark = pytest.mark.django_db


def listed(browser, **query):
    """Return the references of the sessions on the page."""
    response = browser.get(LIST, query)
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def words(browser, **query):
    response = browser.get(LIST, query, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_list_without_a_search_asks_for_one(operator):
    SessionFactory()
    for query in ({}, {"subject": ""}, {"q": "alice"}, {"state": "live"}, {"p": "x"}):
        assert listed(operator, **query) == []
        text = words(operator, **query)
        assert "Enter a subject, session ID or user to list sessions." in text
        assert 'name="action"' not in text


@pytest.mark.parametrize(
    ("word", "name"), [("subject", "subject_id"), ("sid", "session_id"), ("user", "user_id")]
)
def test_search_is_exact(operator, word, name):
    texts = ["a b", "a", "A", "a ", " a", "a%", "a/b?c=d&e", "á", "😀"]
    sessions = {text: SessionFactory(**{"subject_id": "other", name: text}) for text in texts}
    for text, session in sessions.items():
        assert listed(operator, **{word: text}) == [reference(session)]
    assert listed(operator, **{word: "nobody"}) == []


def test_all_criteria_of_a_search_must_match(operator):
    session = SessionFactory(user_id="7")
    SessionFactory(user_id="8")
    query = {"subject": "alice", "sid": session.session_id, "user": "7"}
    assert listed(operator, **query, issuer=session.issuer) == [reference(session)]
    for name in query:
        assert listed(operator, **query | {name: "other"}) == []


def test_issuer_limits_the_search(operator):
    one = SessionFactory()
    other = SessionFactory(issuer="https://other.example")
    local = SessionFactory(issuer=None)
    assert len(listed(operator, subject="alice")) == 3
    assert listed(operator, subject="alice", issuer=one.issuer) == [reference(one)]
    assert listed(operator, subject="alice", issuer=other.issuer) == [reference(other)]
    assert listed(operator, subject="alice", local="on") == [reference(local)]


def test_search_finds_a_user_by_name(operator):
    user = UserFactory(username="bob")
    session = SessionFactory(user=user, subject_id="f0b1")
    assert listed(operator, user="bob") == [reference(session)]
    assert listed(operator, user="bob", issuer="https://other.example") == []
    assert listed(operator, user=str(user.pk)) == [reference(session)]
    assert listed(browser_of("view"), user="bob") == []


def test_user_id_is_found_before_a_user_name(operator):
    UserFactory(username="77")
    session = SessionFactory(user_id="77")
    assert listed(operator, user="77") == [reference(session)]


def test_pages_follow_the_cursor(operator, small_pages):
    sessions = [SessionFactory(created=ago(60 * n)) for n in range(5)]
    SessionFactory(subject_id="bob")
    pages = list(walk(operator, subject="alice"))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [row.pk for page in pages for row in page] == list(map(reference, sessions))


def test_pages_of_a_user_name_follow_the_cursor(operator, small_pages):
    user = UserFactory(username="bob")
    SessionFactory.create_batch(3, user=user)
    assert [len(page) for page in walk(operator, user="bob")] == [2, 1]


@pytest.mark.parametrize("cursor", ["garbage", "1-1", "😀", "a\0b", "9" * 9999])
def test_page_of_a_cursor_that_is_not_valid_is_the_first_one(operator, cursor):
    session = SessionFactory()
    assert listed(operator, subject="alice", p=cursor) == [reference(session)]
    assert "This link is out of date." in words(operator, subject="alice", p=cursor)
    assert "This link is out of date." in words(operator, subject="nobody", p=cursor)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"subject": "a\0b"}, "Null characters are not allowed."),
        ({"issuer": "https://idp.example"}, "An issuer alone finds no sessions here."),
        ({"local": "on"}, "An issuer alone finds no sessions here."),
        ({"subject": " "}, "An issuer alone finds no sessions here."),
        ({"subject": "alice", "issuer": " "}, "An issuer alone finds no sessions here."),
        ({"subject": "alice", "issuer": "x", "local": "on"}, "not both."),
        ({"subject": "x" * 9999}, "No session matches."),
        ({"subject": "alice", "issuer": "x"}, "No session matches."),
        ({"subject": "<script>"}, "No session matches."),
    ],
)
def test_search_that_finds_nothing_says_why(operator, query, text):
    SessionFactory()
    assert text in words(operator, **query)
    assert listed(operator, **query) == []
    assert "<script>alert" not in words(operator, subject="<script>alert")


@pytest.mark.parametrize("name", ["key", "ticket__startswith", "o", "all", "_facets", "e", "p"])
def test_other_parameters_change_nothing(operator, name):
    session = SessionFactory()
    assert listed(operator, **{"subject": "alice", name: "1"}) == [reference(session)]


def test_expired_session_is_not_listed(operator):
    SessionFactory(expired=True)
    assert listed(operator, subject="alice") == []


def test_state_follows_the_absolute_lifetime(operator, store, settings):
    SessionFactory(created=ago(7200))
    assert '<td class="field-state">live</td>' in words(operator, subject="alice")
    settings.BFF_SESSIONS = settings.BFF_SESSIONS | {"ABSOLUTE_LIFETIME": timedelta(hours=1)}
    SessionFactory(created=ago(7200))
    operator.force_login(UserFactory(admin=True))
    assert '<td class="field-state">expired</td>' in words(operator, subject="alice")


def test_list_marks_the_own_session(operator):
    user_id = operator.session["_auth_user_id"]
    assert "your own session" in words(operator, user=user_id)


def test_list_needs_the_permission_to_view():
    SessionFactory()
    assert browser_of("end", "sign_out").get(LIST, {"subject": "alice"}).status_code == 403
    text = words(browser_of("view"), subject="alice")
    assert "alice" in text
    assert 'name="action"' not in text


def test_list_works_behind_a_cache(client, settings):
    settings.BFF_SESSIONS = {"STORE": CACHED, "CACHED_STORE": MEMORY}
    session = SessionFactory()
    client.force_login(UserFactory(admin=True))
    assert listed(client, subject="alice") == [reference(session)]


def test_rows_behind_a_cache_are_listed_as_rows(client, settings):
    settings.BFF_SESSIONS = {"STORE": CACHED}
    client.force_login(UserFactory(admin=True))
    assert len(listed(client)) == 1


def test_store_failure_is_an_error(operator, failing, caplog):
    SessionFactory()
    failing("query_user_sessions")
    response = operator.get(LIST, {"subject": "alice"})
    assert response.status_code == 503
    assert "The store of sessions does not answer" in response.content.decode()
    assert "ConnectionError" in caplog.text
    assert "s3cret" not in caplog.text + response.content.decode()


def test_value_error_of_the_store_is_an_error(operator, store, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError

    monkeypatch.setattr(store, "query_user_sessions", fail)
    assert operator.get(LIST, {"subject": "alice"}).status_code == 503


def test_there_is_no_overview(operator):
    assert operator.get(f"{LIST}overview/").status_code == 404
    assert "overview" not in words(operator, subject="alice")
