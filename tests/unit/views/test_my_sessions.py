"""GET my-sessions, and the pages that end a session or all others."""

import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.messages.storage.base import BaseStorage
from django.core.files.storage import storages
from django.db import connection
from django.test import Client
from django.utils import translation
from django.utils.functional import SimpleLazyObject, empty

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.testing.factories import SessionFactory as StoredSessionFactory
from bff_sessions.views import my_sessions, sessions
from bff_sessions.views.my_sessions import ago, describe_network
from tests.support.endpoints import Browser, alive, claims, is_error, public_id_of
from tests.support.factories import SessionFactory
from tests.support.factories import ago as moment
from tests.support.stores import MEMORY, NATIVE_EXPIRY

LIST = "/bff/my-sessions"
OTHERS = "/bff/my-sessions/others/end"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"
SIGN_IN = "/accounts/login/?next=/bff/my-sessions"


class Pages(Browser):
    """A browser without JavaScript, which follows links and sends forms."""

    def look(self, path=LIST):
        self.page = ""
        response = self.client.get(path)
        self.page = unescape(response.content.decode())
        return response

    def answer(self, path):
        """Sends the form of the page at `path`."""
        self.look(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.page)
        return self.client.post(path, {"csrfmiddlewaretoken": token[1]})

    def links(self):
        return re.findall(r'href="(/bff/[^"]*/end)"', self.page)


@pytest.fixture
def browser(db, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    return Pages(Client(enforce_csrf_checks=True))


def path_of(row):
    return f"/bff/my-sessions/{public_id_of(row)}/end"


def test_the_page_shows_the_sessions_of_the_subject_and_of_nobody_else(browser, strangers):
    other = SessionFactory(
        created=moment(days=2), renewed=moment(hours=3), user_agent=FIREFOX, address="192.0.2.0/24"
    )
    SessionFactory(expired=True)
    browser.sign_in()
    response = browser.look()
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    text = " ".join(re.sub("<[^>]*>", " ", browser.page).split())
    assert "You have 2 sessions." in text
    assert "This browser Signed in just now Last seen just now Sign out" in text
    assert (
        "Firefox on Windows Signed in 2 days ago Last seen 3 hours ago Network 192.0.2.0/24 End"
        in text
    )
    assert browser.page.count('<li class="session') == 2
    # In reach at the top, also on a phone.
    assert browser.links() == [OTHERS, path_of(other)]


def test_what_is_not_known_of_a_device_is_not_shown(browser):
    SessionFactory()
    browser.sign_in()
    browser.look()
    assert "Another browser" in browser.page
    assert "Network" not in browser.page
    assert "None" not in browser.page


def test_network_is_compared_with_the_one_of_this_browser():
    ours, theirs = "192.0.2.0/24", "198.51.100.0/24"
    assert describe_network(ours, ours) == "This network, 192.0.2.0/24"
    assert describe_network(theirs, ours) == "Another network, 198.51.100.0/24"
    # IPv4 and IPv6 of one household differ, so nothing can be said.
    assert describe_network("2001:db8::/48", ours) == "2001:db8::/48"
    assert describe_network(theirs, None) == theirs
    assert describe_network(None, ours) is None


def test_last_seen_is_the_last_that_is_known_of(browser):
    SessionFactory(renewed=moment(days=3), last_seen=moment(minutes=5))
    SessionFactory(renewed=moment(days=4), last_seen=moment(days=9))
    browser.sign_in()
    browser.look()
    assert re.findall(
        r"Last seen</dt><dd><time [^>]*>([^<]*)<", browser.page.replace("\xa0", " ")
    ) == [
        "just now",
        "4 days ago",
        "5 minutes ago",
    ]


def test_who_is_signed_in_here_only_has_nothing_to_end(browser):
    browser.sign_in()
    browser.look()
    assert "with this browser only" in browser.page
    assert browser.links() == []


def test_no_key_and_no_session_id_is_in_page_or_url(browser):
    other = SessionFactory(session_id="secret-sid")
    browser.sign_in(claims(session_id="secret-sid-too"))
    for path in (LIST, path_of(other), path_of(browser.row), OTHERS):
        browser.look(path)
        for secret in (other.key, browser.row.key, browser.client.cookies["sessionid"].value):
            assert secret not in browser.page
            assert secret not in path
        assert "secret" not in browser.page


def test_what_a_device_says_of_itself_is_text(browser, monkeypatch):
    monkeypatch.setattr(my_sessions, "describe_user_agent", lambda user_agent: user_agent)
    SessionFactory(user_agent="<script>alert(1)</script>")
    browser.sign_in()
    assert b"<script>" not in browser.look().content
    assert "<script>" in browser.page


def test_ending_a_session_asks_first(browser, strangers, revoked):
    other, third = SessionFactory.create_batch(2)
    browser.sign_in()
    browser.look(path_of(other))
    assert "End this session?" in browser.page
    assert all(alive([other, third]))
    response = browser.answer(path_of(other))
    assert (response.status_code, response["Location"]) == (302, LIST)
    assert alive([other, third, browser.row]) == [False, True, True]
    assert all(alive(strangers))
    assert revoked == [other.key]
    browser.look()
    assert "The session has ended." in browser.page
    browser.look()
    assert "The session has ended." not in browser.page


def test_ending_all_others_asks_first(browser, strangers, revoked):
    others = SessionFactory.create_batch(3)
    browser.sign_in()
    browser.look(OTHERS)
    assert "3 sessions will end." in browser.page
    assert all(alive(others))
    assert browser.answer(OTHERS)["Location"] == LIST
    assert alive(others) == [False] * 3
    assert browser.row is not None
    assert all(alive(strangers))
    assert sorted(revoked) == sorted(row.key for row in others)
    browser.look()
    assert "3 sessions have ended." in browser.page


def test_ending_the_session_at_hand_signs_out(browser, revoked):
    browser.sign_in()
    row = browser.row
    browser.look(path_of(row))
    assert "You will be signed out here." in browser.page
    response = browser.answer(path_of(row))
    assert response["Location"] == "/accounts/login/"
    assert response.cookies["sessionid"]["max-age"] == 0
    assert revoked == [row.key]


def test_a_session_of_somebody_else_cannot_be_told_from_one_that_has_ended(browser, strangers):
    gone = SessionFactory()
    paths = [path_of(row) for row in [*strangers, gone]]
    revoke_sessions(UserSessionsFilter(session_id=gone.session_id))
    mine = SessionFactory()
    browser.sign_in()
    browser.look(path_of(mine))
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.page)[1]
    for path in [*paths, "/bff/my-sessions/x/end", f"/bff/my-sessions/{mine.key}/end"]:
        for response in (
            browser.client.get(path),
            browser.client.post(path, {"csrfmiddlewaretoken": token}),
        ):
            assert (response.status_code, response["Location"]) == (302, LIST)
        browser.look()
        assert "That session has already ended." in browser.page
    assert all(alive([*strangers, mine]))


def test_a_forged_form_ends_nothing(browser):
    other = SessionFactory()
    browser.sign_in()
    for path in (path_of(other), OTHERS, path_of(browser.row)):
        assert browser.client.post(path).status_code == 403
    assert alive([other, browser.row]) == [True, True]


@pytest.mark.parametrize("data", [None, {"cart": [1]}])
def test_nobody_is_sent_to_sign_in_and_back(browser, data):
    other = SessionFactory()
    browser.sign_in()
    browser.look(path_of(other))
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.page)[1]
    if data is None:
        del browser.client.cookies["sessionid"]
    else:
        browser.sign_in(data)
    for path in (LIST, path_of(other), OTHERS):
        assert browser.client.get(path)["Location"] == SIGN_IN
        if path != LIST:
            form = {"csrfmiddlewaretoken": token}
            assert browser.client.post(path, form)["Location"] == SIGN_IN
    assert all(alive([other]))


@pytest.mark.parametrize("what", [LIST, OTHERS, "one"])
def test_a_request_whose_session_is_revoked_on_its_way_sees_and_ends_nothing(
    browser, monkeypatch, what
):
    other = SessionFactory()
    browser.sign_in()
    path = path_of(other) if what == "one" else what
    load = sessions.signed_in

    def revoked_meanwhile(request):
        current = load(request)
        revoke_sessions(UserSessionsFilter(session_id="s1"))
        return current

    monkeypatch.setattr(sessions, "signed_in", revoked_meanwhile)
    assert browser.look(path)["Location"] == SIGN_IN
    assert all(alive([other]))


def test_the_page_works_without_messages_and_without_logout(browser, settings, configure):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]
    configure(ENDPOINTS=["my-sessions"])
    other = SessionFactory()
    browser.sign_in()
    browser.look()
    assert "Sign out" not in browser.page
    assert browser.answer(path_of(other)).status_code == 302
    assert browser.look().status_code == 200


def test_message_that_fails_fails_no_sign_out(browser, monkeypatch, caplog):
    def fail(self, *args, **kwargs):
        raise RuntimeError("secret")

    other = SessionFactory()
    browser.sign_in()
    monkeypatch.setattr(BaseStorage, "add", fail)
    assert browser.answer(path_of(other)).status_code == 302
    assert not any(alive([other]))
    assert browser.answer(OTHERS).status_code == 302
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_the_pages_can_be_switched_off(browser, configure):
    configure(ENDPOINTS=["user", "sessions", "login", "logout"])
    browser.sign_in()
    for path in (LIST, OTHERS, path_of(browser.row)):
        assert is_error(browser.look(path), 404, "not_found")


def test_the_list_takes_no_form(browser):
    browser.sign_in()
    assert Client().post(LIST).status_code == 405
    assert browser.client.head(LIST).status_code == 200


def test_statements_do_not_grow_with_the_sessions(browser, django_assert_num_queries):
    browser.sign_in()
    for number in (3, 20):
        revoke_sessions(UserSessionsFilter(subject_id="alice"))
        browser.sign_in()
        other, *_ = SessionFactory.create_batch(number - 1, user_agent=FIREFOX)
        path = path_of(other)
        # Load, ask whether it has ended, list.
        with django_assert_num_queries(3):
            browser.look()
        assert browser.page.count('<li class="session') == number
        with django_assert_num_queries(3):
            browser.look(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.page)[1]
        # Load, ask, find; the revocation: find, lock, read and delete in a transaction, look again.
        with django_assert_num_queries(9 if connection.features.has_select_for_update else 10):
            browser.client.post(path, {"csrfmiddlewaretoken": token})


def shown_on(page):
    """Public IDs of the sessions on `page` that can be ended."""
    return re.findall(r"my-sessions/(\w{32})/end", page)


@pytest.mark.usefixtures("no_tickets")
def test_list_is_paged_and_begins_with_the_current_session(browser, many):
    browser.sign_in()
    browser.let_have_begun(moment(minutes=200))
    path, pages = LIST, []
    while path:
        assert browser.look(path).status_code == 200
        pages.append(browser.page)
        following = re.search(r'rel="next" href="(\?after=[^"]*)"', browser.page)
        path = following and LIST + following[1]
    assert [page.count('<li class="session') for page in pages] == [20] * 12 + [11]
    assert ["This browser" in page for page in pages] == [True] + [False] * 12
    assert pages[0].index("This browser") < pages[0].index("Another browser")
    assert [one for page in pages for one in shown_on(page)] == [public_id_of(row) for row in many]
    for page in pages:
        assert "Your latest sign-ins come first." in page
        assert OTHERS in page
    assert [f'href="{LIST}">First page' in page for page in pages] == [False] + [True] * 12


def test_list_of_one_page_has_no_links_to_others(browser):
    SessionFactory.create_batch(19)
    browser.sign_in()
    browser.look()
    assert browser.page.count('<li class="session') == 20
    assert "You have 20 sessions." in browser.page
    assert "<nav" not in browser.page


@pytest.mark.parametrize("after", ["", "x", "%00", "%C3%A9", "A" * 32])
def test_garbage_for_a_cursor_leads_to_the_first_page(browser, after):
    browser.sign_in()
    response = browser.look(f"{LIST}?after={after}")
    assert (response.status_code, response["Location"]) == (302, LIST)


@pytest.mark.usefixtures("no_tickets")
def test_session_of_any_page_can_be_ended(browser, many, revoked):
    browser.sign_in()
    assert browser.answer(path_of(many[-1]))["Location"] == LIST
    assert revoked == [many[-1].key]


@pytest.mark.usefixtures("no_tickets")
def test_end_all_others_counts_all_pages(browser, many):
    browser.sign_in()
    browser.look(OTHERS)
    assert "250 sessions will end." in browser.page


def test_a_content_security_policy_without_exceptions_is_enough(browser):
    SessionFactory()
    browser.sign_in()
    for path in (LIST, OTHERS, path_of(browser.row)):
        browser.look(path)
        assert "<style" not in browser.page
        assert not re.search(r'<script(?! src="/static/bff_sessions/[a-z-]+\.js")', browser.page)
        assert not re.search(r"<script[^>]*>[^<]", browser.page)
        assert not re.search(r"\s(style|on\w+)=", browser.page)
        assert not re.search(r'(href|src|action)="(?!/|static/)', browser.page)


class LazyNonce(SimpleLazyObject):
    """Like that of Django 6.0: it is false until it is used."""

    def __bool__(self):
        return self._wrapped is not empty


def nonce_of(request):
    """Do what the context processor of Django 6.0 does for a Content-Security-Policy."""
    return {"csp_nonce": LazyNonce(lambda: "of-this-page")}


def no_nonce_of(request):
    """Do what it does without the middleware."""
    return {"csp_nonce": None}


def test_pages_carry_the_nonce_of_a_content_security_policy(browser, settings):
    settings.TEMPLATES = deepcopy(settings.TEMPLATES)
    processors = settings.TEMPLATES[0]["OPTIONS"]["context_processors"]
    processors.append(f"{__name__}.nonce_of")
    browser.sign_in()
    for path in (LIST, OTHERS):
        browser.look(path)
        elements = re.findall("<(?:link|script) [^>]*>", browser.page)
        assert len(elements) == 3
        assert all('nonce="of-this-page"' in element for element in elements)


@pytest.mark.parametrize("processors", [[], [f"{__name__}.no_nonce_of"]])
def test_pages_without_a_nonce_have_no_such_attribute(browser, settings, processors):
    settings.TEMPLATES = deepcopy(settings.TEMPLATES)
    settings.TEMPLATES[0]["OPTIONS"]["context_processors"] += processors
    browser.sign_in()
    browser.look()
    assert "nonce" not in browser.page


@pytest.mark.parametrize("installed", [False, True])
def test_no_site_shows_the_pages_in_a_frame(browser, settings, installed):
    settings.X_FRAME_OPTIONS = "SAMEORIGIN"
    if installed:
        clickjacking = "django.middleware.clickjacking.XFrameOptionsMiddleware"
        settings.MIDDLEWARE = [clickjacking, *settings.MIDDLEWARE]
    other = SessionFactory()
    browser.sign_in()
    paths = [LIST, OTHERS, path_of(browser.row), path_of(other)]
    for path in paths:
        response = browser.look(path)
        assert response.status_code == 200
        assert response["X-Frame-Options"] == "DENY"
        # A project sets a policy of its own.
        assert "Content-Security-Policy" not in response
    browser.sign_in({"cart": [1]})
    assert [browser.look(path)["X-Frame-Options"] for path in paths] == ["DENY"] * 4


def test_pages_need_no_exception_from_login_required(browser, settings):
    login_required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, login_required]
    browser.sign_in()
    assert browser.look().status_code == 200


@pytest.mark.parametrize("name", ["my-sessions.css", "my-sessions.js", "events.js"])
def test_its_static_files_are_there(browser, name):
    from django.contrib.staticfiles.finders import AppDirectoriesFinder

    assert storages["staticfiles"].url(f"bff_sessions/{name}").startswith("/static/")
    assert AppDirectoriesFinder().find(f"bff_sessions/{name}")


@pytest.mark.parametrize("missing", [None, "user", "events", "sessions"])
def test_page_is_watched_if_its_endpoints_are_switched_on(browser, settings, missing):
    names = {"my-sessions", "user", "events", "sessions"} - {missing}
    settings.BFF_SESSIONS = {"ENDPOINTS": names}
    browser.sign_in()
    for path in (LIST, OTHERS, path_of(browser.row)):
        browser.look(path)
        assert ('data-bff="/bff/"' in browser.page) is (missing not in ("user", "events"))
        is_listed = path == LIST and missing is None
        assert ('data-sessions="/bff/sessions"' in browser.page) is is_listed


def test_a_project_overrides_the_base(browser, settings, tmp_path):
    (tmp_path / "bff_sessions").mkdir()
    base = "<title>{% block bff_title %}{% endblock %}, shop</title>{% block bff_content %}"
    base += "{% endblock %}"
    (tmp_path / "bff_sessions" / "base.html").write_text(base)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    browser.sign_in()
    browser.look()
    assert browser.page.startswith("<title>Where am I signed in?, shop</title>")
    assert "This browser" in browser.page


def test_the_page_speaks_german(browser):
    SessionFactory(user_agent=FIREFOX, created=moment(days=2))
    browser.sign_in()
    with translation.override("de"):
        browser.look()
        for text in (
            "Wo bin ich angemeldet?",
            "Dieser Browser",
            "Firefox unter Windows",  # codespell:ignore
            "vor\xa02\xa0Tagen",  # codespell:ignore
        ):
            assert text in browser.page
        assert '<html lang="de">' in browser.page
        browser.look(OTHERS)
        assert "1 Sitzung wird beendet." in browser.page
        SessionFactory.create_batch(100)
        browser.look()
        for text in ("Ihre letzten Anmeldungen stehen zuerst.", "Nächste Seite", "Seiten"):
            assert text in browser.page


def test_moments_in_words():
    now = datetime(2030, 1, 31, 12, tzinfo=UTC)
    for duration, words in [
        (timedelta(), "just now"),
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(hours=25), "1 day ago"),
        (timedelta(days=15), "2 weeks ago"),
    ]:
        assert ago(now - duration, now).replace("\xa0", " ") == words


@pytest.mark.parametrize("store", [MEMORY, NATIVE_EXPIRY])
def test_pages_work_on_stores_without_rows(browser, configure, store):
    configure(STORE=store)
    others = StoredSessionFactory.create_batch(3)
    browser.sign_in()
    browser.look()
    assert len(browser.links()) == len([*others, OTHERS])
    assert browser.answer(f"/bff/my-sessions/{others[0].public_id}/end").status_code == 302
    assert browser.answer(OTHERS).status_code == 302
    browser.look()
    assert browser.links() == []
