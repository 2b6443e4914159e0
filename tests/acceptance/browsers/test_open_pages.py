"""Open pages learn by themselves that their session has ended, under WSGI and under ASGI."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browsers import heading
from tests.support.sample import running, running_on_asgi

REASON = "Your session was ended from another browser."


@pytest.fixture(params=["wsgi", "asgi"])
def site(request, tmp_path):
    serve = (
        running_on_asgi(tmp_path) if request.param == "asgi" else running(tmp_path, provider=False)
    )
    with serve as sample:
        yield sample
        print(sample.log)


def sign_in(page, site, path, user="alice"):
    page.goto(f"{site.origin}/sign-in?next={path}")
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Sign in").click()


def open_app(page, site, user="alice"):
    with page.expect_response("**/bff/events*"):
        sign_in(page, site, "/app", user)
    heading(page, re.compile(f"^Signed in as {user}")).to_be_visible()


def open_tab(page, site, path):
    tab = page.context.new_page()
    tab.goto(f"{site.origin}{path}")
    return tab


def is_for_events(request):
    return "/bff/events" in request.url


def end_all_others(page, site):
    sign_in(page, site, "/bff/my-sessions")
    page.get_by_role("link", name="End all other sessions").click()
    page.get_by_role("button", name="Yes, end them").click()
    expect(page.get_by_text("with this browser only")).to_be_visible()


def test_page_says_that_another_browser_has_ended_it_and_leads_to_sign_in(site, open_browser):
    first, second = open_browser(), open_browser()
    open_app(second, site)
    tab = open_tab(second, site, "/app")
    heading(tab, "Signed in as alice").to_be_visible()
    end_all_others(first, site)
    for page in (second, tab):
        heading(page, "You are signed out").to_be_visible()
        expect(page.get_by_role("alert")).to_have_text(REASON)
    second.get_by_role("link", name="Sign in").click()
    heading(second, "Sign in").to_be_visible()
    expect(second.get_by_role("status")).to_have_text(REASON)
    sign_in(second, site, "/app")
    heading(second, "Signed in as alice").to_be_visible()


def test_list_of_sessions_follows_its_browsers(site, open_browser):
    first, second = open_browser(), open_browser()
    sign_in(first, site, "/bff/my-sessions")
    expect(first.get_by_text("with this browser only")).to_be_visible()
    # The list shows the new session without a click, at the latest when the user turns to it.
    sign_in(second, site, "/bff/my-sessions")
    first.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(first.get_by_role("heading", level=2)).to_have_count(2)
    # And its own end leads to the sign-in page, which says why.
    with second.expect_navigation(url=re.compile("/my-sessions/others/end")):
        second.get_by_role("link", name="End all other sessions").click()
    second.get_by_role("button", name="Yes, end them").click()
    heading(first, "Sign in").to_be_visible()
    expect(first.get_by_role("status")).to_have_text(REASON)


def test_list_that_is_left_open_asks_less_and_less_often(tmp_path, open_browser):
    page, asked = open_browser(), []
    page.clock.install()
    page.on("request", lambda request: asked.append(request.url))

    def count(seconds):
        asked.clear()
        for _ in range(seconds):
            page.clock.run_for(1_000)
        return sum("/bff/sessions" in url for url in asked)

    with running_on_asgi(tmp_path) as site:
        with page.expect_response("**/bff/sessions?*"):
            sign_in(page, site, "/bff/my-sessions")
        assert count(75) in (2, 3)  # Not the 7 of every ten seconds.
        assert 2 <= count(300) <= 6
        with page.expect_request("**/bff/sessions?*"):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        hide = "Object.defineProperty(document, 'visibilityState', { value: 'hidden' })"
        page.evaluate(f"{hide}; document.dispatchEvent(new Event('visibilitychange'))")
        assert count(300) == 0


def test_tabs_of_a_browser_share_one_stream(site, open_browser):
    first, second = open_browser(), open_browser()
    streams = []
    second.context.on("request", lambda request: streams.append(request.url))
    open_app(second, site)
    tabs = [open_tab(second, site, "/app") for _ in range(7)]
    for tab in tabs:
        heading(tab, "Signed in as alice").to_be_visible()
    assert sum("/bff/events" in url for url in streams) == 1
    # The tab that has the stream may close.
    with second.context.expect_event("request", is_for_events):
        second.close()
    end_all_others(first, site)
    for tab in tabs:
        expect(tab.get_by_role("alert")).to_have_text(REASON)


def test_tab_that_takes_the_stream_over_learns_what_happened_in_between(site, open_browser):
    page = open_browser()
    open_app(page, site)
    tab = open_tab(page, site, "/app")
    heading(tab, "Signed in as alice").to_be_visible()
    # Nobody watches while bob signs in.
    page.context.route("**/bff/events*", lambda route: route.abort())
    with page.context.expect_event("request", is_for_events):
        page.goto("about:blank")
    page.goto(site.origin)
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, site, "/", "bob")
    heading(tab, "Signed in as alice").to_be_visible()
    with page.context.expect_event("request", is_for_events) as request:
        page.context.unroute("**/bff/events*")
    assert "?last-event-id=" in request.value.url
    heading(tab, "Signed in as bob").to_be_visible()


def test_page_shows_the_user_who_signs_in_in_another_tab(site, open_browser):
    page = open_browser()
    open_app(page, site)
    tab = page.context.new_page()
    tab.goto(site.origin)
    tab.get_by_role("button", name="Sign out").click()
    heading(page, "You are signed out").to_be_visible()
    sign_in(tab, site, "/app", "bob")
    heading(tab, "Signed in as bob").to_be_visible()
    page.bring_to_front()
    page.evaluate("dispatchEvent(new Event('focus'))")
    heading(page, "Signed in as bob").to_be_visible()


def test_tab_asks_again_if_the_server_does_not_say_at_once_why(site, open_browser):
    first, second = open_browser(), open_browser()
    open_app(second, site)
    tab = open_tab(second, site, "/app")
    heading(tab, "Signed in as alice").to_be_visible()
    answers = iter([lambda route: route.abort()])
    tab.route("**/bff/user?*", lambda route: next(answers, lambda route: route.continue_())(route))
    end_all_others(first, site)
    expect(tab.get_by_role("alert")).to_have_text(REASON)
    assert next(answers, None) is None


def test_page_is_watched_where_locks_are_refused(site, open_browser):
    first, second = open_browser(), open_browser()
    second.add_init_script("navigator.locks.request = () => Promise.reject(new Error('refused'))")
    open_app(second, site)
    end_all_others(first, site)
    expect(second.get_by_role("alert")).to_have_text(REASON)


def test_open_pages_do_not_hold_up_a_deployment(tmp_path, open_browser):
    with running_on_asgi(tmp_path) as site:
        page = open_browser()
        open_app(page, site)
        site.stop()
        # The new process serves the same page, which connects by itself.
        with page.expect_response("**/bff/events*"):
            site.start()
        heading(page, "Signed in as alice").to_be_visible()
        end_all_others(open_browser(), site)
        expect(page.get_by_role("alert")).to_have_text(REASON)
