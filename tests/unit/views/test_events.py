"""GET events, under WSGI and under ASGI."""

import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import AsyncClient, Client
from django.utils.translation import override

from bff_sessions.contract import EndReason, UserSessionsFilter, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import altered
from bff_sessions.views import events as module
from bff_sessions.views import streams
from bff_sessions.views.events import events
from bff_sessions.watching import watcher as watcher_module
from tests.support.endpoints import Browser, claims, is_error, of_django
from tests.support.factories import UserFactory, ago
from tests.support.loops import background_loop, in_loop

GZIP = "django.middleware.gzip.GZipMiddleware"


class Stream:
    """The parts of a response, read one by one, all in one event loop."""

    def __init__(self, response, loop):
        assert response.status_code == 200, response.content
        self.response = response
        self._loop = loop
        self._is_async = getattr(response, "is_async", False)
        self._parts = response.streaming_content if response.streaming else iter(response)

    def next(self):
        """Return the next part; None at the end."""
        try:
            if not self._is_async:
                return next(self._parts).decode()
            return in_loop(self._loop)(self._parts.__anext__)().decode()
        except (StopIteration, StopAsyncIteration):
            return None

    def close(self):
        if self._is_async:
            in_loop(self._loop)(self._parts.aclose)()
        self.response.close()


def read_event(text):
    """Return the fields of an event, its data as a dictionary."""
    fields = dict(line.split(": ", 1) for line in text.strip().splitlines() if ": " in line)
    return fields | {"data": json.loads(fields["data"])}


@pytest.fixture
def browser(open_browser, watcher, configure):
    cache.clear()
    configure(EVENTS_EVERY=60, EVENTS_THREADS=40)
    return open_browser()


@pytest.fixture
def open_stream():
    """Opens GET events, and closes the streams at the end."""
    opened = []
    with background_loop() as loop:

        def open_stream(browser, path="/bff/events", **headers):
            opened.append(Stream(browser.fetch("get", path, headers), loop))
            return opened[-1]

        yield open_stream
        for stream in opened:
            stream.close()


def end(browser, **reason):
    revoke_sessions(UserSessionsFilter.of_session(browser.row), **reason)


def test_page_learns_that_its_session_has_ended_and_why(browser, open_stream):
    stream = open_stream(browser.sign_in())
    head = stream.next()
    assert head.startswith("retry: ")
    assert head.endswith("\n\n")
    end(browser, reason=EndReason.OPERATOR)
    assert read_event(stream.next()) == {
        "id": "none",
        "event": "session-ended",
        "data": {"reason": "operator", "text": "An operator has ended your session."},
    }
    assert stream.next() is None


def test_page_learns_that_its_identity_has_changed(browser, open_stream, watcher):
    stream = open_stream(browser.sign_in())
    stream.next()
    row = browser.row
    changed = UserSessionUpdate.of(altered(row, subject_id="bob"))
    get_store().update_user_session(row.key, changed)
    watcher.look_soon()
    expected = {"id": "none", "event": "identity-changed", "data": {}}
    assert read_event(stream.next()) == expected
    assert stream.next() is None


def test_text_is_in_the_language_of_the_page(browser, open_stream, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with override("en"):  # Django's middleware leaves the language as it is.
        stream = open_stream(browser.sign_in(), **{"Accept-Language": "de"})
        stream.next()
    end(browser, reason=EndReason.OPERATOR)
    assert "beendet" in read_event(stream.next())["data"]["text"]


def test_page_without_a_user_is_refused(browser):
    assert is_error(browser.fetch("get", "/bff/events", {}), 401, "not_signed_in")


def test_page_whose_user_was_deleted_is_refused(browser):
    user = UserFactory()
    browser.sign_in(of_django(user))
    user.delete()
    assert is_error(browser.fetch("get", "/bff/events", {}), 401, "not_signed_in")


@pytest.mark.parametrize("middleware", [[], [GZIP]], ids=["plain", "gzip"])
def test_headers_bring_each_event_to_the_browser_at_once(
    browser, open_stream, settings, middleware
):
    settings.MIDDLEWARE = [*middleware, *settings.MIDDLEWARE]
    stream = open_stream(browser.sign_in(), **{"Accept-Encoding": "gzip"})
    headers = stream.response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Content-Encoding"] == "identity"
    assert stream.next().startswith("retry: ")


def test_open_page_does_not_renew_its_session(browser, open_stream, configure, settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    configure(RENEW_AFTER=0.1, DEVICE={"USER_AGENT": True}, EVENTS_EVERY=60, EVENTS_THREADS=40)
    browser.sign_in()
    row = browser.row
    half = timedelta(seconds=settings.SESSION_COOKIE_AGE) / 2
    older = altered(row, renewed=ago(days=7), expires=row.expires - half)
    get_store().update_user_session(row.key, UserSessionUpdate.of(older))
    before = browser.row
    stream = open_stream(browser)
    stream.next()
    assert browser.row == before
    assert not stream.response.cookies


def test_open_page_is_one_statement(browser, open_stream, django_assert_num_queries):
    browser.sign_in()
    with django_assert_num_queries(1):
        open_stream(browser).next()


def test_page_that_comes_back_to_an_ended_session_learns_why(browser, open_stream):
    stream = open_stream(browser.sign_in())
    known = read_event(stream.next())["id"]
    stream.close()
    end(browser, reason=EndReason.OTHER_BROWSER)
    again = open_stream(browser, **{"Last-Event-ID": known})
    event = again.next()
    assert read_event(event)["data"] == {
        "reason": "other_browser",
        "text": "Your session was ended from another browser.",
    }
    # So that the browser begins anew, and asks no third time.
    last = {"Last-Event-ID": read_event(event)["id"]}
    assert is_error(browser.fetch("get", "/bff/events", last), 401, "not_signed_in")
    # The sign-in page says the same.
    assert again.response.cookies["bff_session_ended"].value == "other_browser"


def test_page_that_comes_back_to_another_user_learns_it(browser, open_stream):
    stream = open_stream(browser.sign_in())
    known = read_event(stream.next())["id"]
    browser.sign_in(claims(subject_id="bob"))
    again = open_stream(browser, **{"Last-Event-ID": known})
    assert read_event(again.next())["event"] == "identity-changed"


def test_tab_that_goes_on_for_another_passes_its_id_in_the_url(browser, open_stream):
    known = read_event(open_stream(browser.sign_in()).next())["id"]
    browser.sign_in(claims(subject_id="bob"))
    path = f"/bff/events?last-event-id={known}"
    event = read_event(open_stream(browser, path).next())
    assert event["event"] == "identity-changed"
    # EventSource connects to the same URL again.
    again = open_stream(browser, path, **{"Last-Event-ID": event["id"]})
    head = read_event(again.next())
    assert head["event"] == "watching"
    assert head["id"] != known
    again = open_stream(browser, path, **{"Last-Event-ID": head["id"]})
    assert read_event(again.next())["event"] == "watching"


def test_page_that_comes_back_to_its_session_goes_on(browser, open_stream):
    stream = open_stream(browser.sign_in())
    known = read_event(stream.next())["id"]
    # Also to another session of the same user.
    for _ in range(2):
        again = open_stream(browser, **{"Last-Event-ID": known})
        assert known in again.next()
        browser.sign_in(claims(session_id="s2"))


def test_id_does_not_name_the_user(browser, open_stream):
    head = open_stream(browser.sign_in()).next()
    row = browser.row
    for text in (row.key, row.subject_id, row.session_id, row.sign_in_id, row.public_id):
        assert text not in head


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_are_refused(browser, open_stream, site):
    browser.sign_in()
    response = browser.fetch("get", "/bff/events", {"Sec-Fetch-Site": site})
    assert is_error(response, 403, "cross_site")
    open_stream(browser, **{"Sec-Fetch-Site": site, "X-CSRF": "1"})
    open_stream(browser, **{"Sec-Fetch-Site": "same-origin"})


def test_page_that_leaves_is_not_watched(browser, open_stream, watcher):
    stream = open_stream(browser.sign_in())
    stream.next()
    assert len(watcher.pages()) == 1
    stream.close()
    assert watcher.pages() == []


def test_stream_ends_without_an_event_if_the_server_stops(
    browser, open_stream, watcher, monkeypatch
):
    stream = open_stream(browser.sign_in())
    stream.next()
    monkeypatch.setattr(watcher_module, "is_stopping", lambda: True)
    assert stream.next() in ("", None)
    assert stream.next() is None


def test_comments_keep_the_connection(browser, open_stream, monkeypatch):
    monkeypatch.setattr(streams, "_HEARTBEAT", 0.01)
    monkeypatch.setattr(streams, "_LONG_POLL", 0.01)
    stream = open_stream(browser.sign_in())
    stream.next()
    assert stream.next() == ":\n\n"


def test_tenant_with_another_store_is_refused(browser, monkeypatch):
    browser.sign_in()
    monkeypatch.setattr("bff_sessions.views.events.can_watch", lambda: False)
    assert is_error(browser.fetch("get", "/bff/events", {}), 503, "not_watched")


def test_page_is_watched_in_the_scope_of_its_request(browser, open_stream, watcher, monkeypatch):
    browser.sign_in()
    scopes = ["of the request"]
    monkeypatch.setattr(OrmUserSessionStore, "scope", property(lambda store: scopes[-1]))
    monkeypatch.setattr("bff_sessions.views.events.can_watch", lambda: True)
    stream = open_stream(browser)
    scopes.append("of the event loop, or of the thread after the request")
    stream.next()
    assert [page.scope for page in watcher.pages()] == ["of the request"]


def test_events_work_with_atomic_requests(browser, open_stream, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    stream = open_stream(browser.sign_in())
    stream.next()
    end(browser)
    assert read_event(stream.next())["event"] == "session-ended"


def test_events_can_be_switched_off(browser, configure):
    configure(ENDPOINTS=["user"])
    assert is_error(browser.sign_in().fetch("get", "/bff/events", {}), 404, "not_found")


def test_only_reading_is_allowed(browser):
    for method in ("head", "options"):
        response = browser.sign_in().fetch(method, "/bff/events", {})
        assert (response.status_code, response["Allow"]) == (405, "GET")


def test_streams_of_a_session_are_bounded(browser, open_stream, open_browser, monkeypatch):
    monkeypatch.setattr(module, "_MOST_OF_SESSION", 2)
    streams = [open_stream(browser.sign_in()), open_stream(browser)]
    streams[0].next()
    response = browser.fetch("get", "/bff/events", {})
    assert is_error(response, 429, "too_many_streams")
    assert response["Retry-After"] == "5"
    # Another session of the same user has its own.
    open_stream(open_browser().sign_in(claims(session_id="s2")))
    # Also a stream that the server has not begun to read gives its place back.
    for stream in streams:
        stream.close()
        open_stream(browser)


class TestWsgi:
    @pytest.fixture
    def browser(self, watcher, configure):
        configure(EVENTS_EVERY=60, EVENTS_THREADS=7)
        return Browser(Client()).sign_in()

    def test_a_quarter_of_the_threads_may_wait(self, browser, open_stream):
        first = open_stream(browser)
        response = browser.fetch("get", "/bff/events", {})
        assert is_error(response, 503, "too_many_pages")
        assert response["Retry-After"] == "5"
        first.close()
        # Also a response that the server has not begun to read gives its place back, once.
        for _ in range(2):
            stream = open_stream(browser)
            stream.close()
            stream.close()

    def test_response_that_is_dropped_gives_its_place_back(self, browser, open_stream, rf):
        request = rf.get("/bff/events")
        request.session = SessionStore(browser.client.cookies["sessionid"].value)
        for _ in range(2):
            assert events(request).status_code == 200

    def test_without_the_setting_no_thread_waits(self, browser, configure, caplog):
        configure(EVENTS_EVERY=60)
        caplog.set_level("INFO", "django.request")
        assert is_error(browser.fetch("get", "/bff/events", {}), 503, "too_many_pages")
        # As an error, it would be mailed for each open page.
        assert [record.levelname for record in caplog.records] == ["INFO"]

    def test_waiting_is_bounded(self, browser, open_stream, monkeypatch):
        monkeypatch.setattr(streams, "_LONG_POLL", 0.01)
        stream = open_stream(browser)
        stream.next()
        assert stream.next() == ":\n\n"
        assert stream.next() is None

    def test_no_connection_is_open_while_a_thread_waits(self, browser, open_stream):
        stream = open_stream(browser)
        stream.next()
        end(browser)  # Opens one.
        stream.next()
        assert connection.connection is None


def test_asgi_needs_no_setting_for_threads(watcher, configure, open_stream):
    configure(EVENTS_EVERY=60)
    assert open_stream(Browser(AsyncClient()).sign_in()).next().startswith("retry: ")


def test_tests_use_the_store_that_is_watched():
    assert isinstance(get_store(), OrmUserSessionStore)
