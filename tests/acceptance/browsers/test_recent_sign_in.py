"""A page that demands a recent sign-in, at a real provider."""

import pytest
from playwright.sync_api import expect

from tests.support.browsers import fill_in, heading, is_signed_in, sign_in
from tests.support.sample import running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The sample with a page that demands it."""
    folder = tmp_path_factory.mktemp("guarded")
    settings = "tests.acceptance.browsers.recent_settings"
    with running(folder, provider=True, DJANGO_SETTINGS_MODULE=settings) as sample:
        yield sample


def test_page_leads_to_the_provider_which_asks_again_and_back(guarded, open_browser):
    page = open_browser()
    sign_in(page, guarded)
    page.wait_for_timeout(7000)
    page.goto(f"{guarded.origin}/pay?order=1")
    # Though the user is still signed in there.
    heading(page, "Sign in at the provider").to_be_visible()
    fill_in(page, "alice")
    heading(page, "Paid").to_be_visible()
    assert page.url == f"{guarded.origin}/pay?order=1"
    page.goto(guarded.origin)
    is_signed_in(page)


def test_acr_is_asked_of_the_provider(guarded, open_browser):
    page = open_browser()
    sign_in(page, guarded)
    page.goto(f"{guarded.origin}/strong?order=1")
    # Without the code, the provider does not let the user in.
    page.get_by_label("Code").fill("0000")
    fill_in(page, "alice")
    expect(page.get_by_role("alert")).to_contain_text("the code is wrong")
    page.get_by_label("Code").fill("1234")
    fill_in(page, "alice")
    heading(page, "Strong").to_be_visible()
    assert page.url == f"{guarded.origin}/strong?order=1"
    page.reload()
    heading(page, "Strong").to_be_visible()


def test_provider_that_does_not_know_the_acr_asks_once(guarded, open_browser):
    page = open_browser()
    sign_in(page, guarded)
    page.goto(f"{guarded.origin}/stronger")
    fill_in(page, "alice")
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("Stronger")
    assert page.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 403
    # The user may try again.
    page.goto(f"{guarded.origin}/stronger")
    heading(page, "Sign in at the provider").to_be_visible()


def test_pages_in_several_tabs_all_open(guarded, open_browser):
    page = open_browser()
    sign_in(page, guarded)
    page.wait_for_timeout(7000)
    tabs = [page, *(page.context.new_page() for _ in range(4))]
    for number, tab in enumerate(tabs):
        tab.goto(f"{guarded.origin}/pay?order={number}")
        heading(tab, "Sign in at the provider").to_be_visible()
    fill_in(tabs[-1], "alice")
    heading(tabs[-1], "Paid").to_be_visible()


def test_fetch_gets_the_challenge(guarded, open_browser):
    page = open_browser()
    sign_in(page, guarded)
    page.wait_for_timeout(7000)
    status, challenge = page.evaluate(
        "fetch('/pay').then((r) => [r.status, r.headers.get('WWW-Authenticate')])"
    )
    assert status == 401
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="5"' in challenge
