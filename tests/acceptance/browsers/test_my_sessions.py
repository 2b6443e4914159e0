"""The pages on which people see where they are signed in, and end that."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support.browsers import heading
from tests.support.sample import session_key

PHONE, DESKTOP = {"width": 320, "height": 640}, {"width": 1280, "height": 800}


def sign_in(page, sample):
    page.goto(sample.origin)
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Sign in").click()
    heading(page, "Signed in as alice").to_be_visible()


def open_list(page):
    page.get_by_role("link", name="Where am I signed in?", exact=True).click()
    heading(page, "Where am I signed in?").to_be_visible()


def number_of_sessions(page, number):
    expect(page.get_by_role("heading", level=2)).to_have_count(number)


def test_one_browser_ends_the_others_and_they_are_thrown_out(sample_alone, open_browser):
    first, second, third = open_browser(), open_browser(), open_browser()
    for page in (second, third, first):
        sign_in(page, sample_alone)
    open_list(first)
    number_of_sessions(first, 3)
    expect(first.get_by_text("on Linux").first).to_be_visible()
    expect(first.get_by_text("This network, 127.0.0.0/24").first).to_be_visible()

    first.get_by_role("link", name=re.compile("^End (?!all)")).first.click()
    heading(first, "End this session?").to_be_visible()
    third.reload()
    heading(third, "Signed in as alice").to_be_visible()
    first.get_by_role("button", name="Yes, end it").click()
    expect(first.get_by_role("status")).to_have_text("The session has ended.")
    # So that a screen reader reads it, and the keyboard goes on from there.
    expect(first.get_by_role("status")).to_be_focused()
    number_of_sessions(first, 2)
    third.reload()
    heading(third, "Sign in").to_be_visible()
    expect(third.get_by_role("status")).to_have_text("Your session was ended from another browser.")
    sign_in(third, sample_alone)
    third.get_by_role("button", name="Sign out").click()
    heading(third, "Sign in").to_be_visible()
    expect(third.get_by_role("status")).to_have_count(0)

    first.get_by_role("link", name="End all other sessions").click()
    first.get_by_role("link", name="No, go back").click()
    second.reload()
    heading(second, "Signed in as alice").to_be_visible()
    first.get_by_role("link", name="End all other sessions").click()
    first.get_by_role("button", name="Yes, end them").click()
    expect(first.get_by_text("with this browser only")).to_be_visible()
    second.reload()
    heading(second, "Sign in").to_be_visible()
    first.get_by_role("button", name="Sign out").click()
    heading(first, "Sign in").to_be_visible()


def test_neither_page_nor_log_has_a_key(sample_alone, open_browser):
    first, second = open_browser(), open_browser()
    sign_in(first, sample_alone)
    sign_in(second, sample_alone)
    keys = [session_key(first), session_key(second)]
    open_list(first)
    pages = [first.content()]
    first.get_by_role("link", name=re.compile("^End (?!all)")).click()
    pages.append(first.content())
    first.get_by_role("button", name="Yes, end it").click()
    number_of_sessions(first, 1)
    for text in [*pages, first.content(), sample_alone.log]:
        assert not any(key in text for key in keys)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_pages_fit_and_axe_finds_nothing(sample_alone, open_browser, scheme, size):
    first, second = open_browser(), open_browser()
    sign_in(second, sample_alone)
    first.emulate_media(color_scheme=scheme)
    first.set_viewport_size(size)
    sign_in(first, sample_alone)

    def is_good():
        assert first.evaluate("document.documentElement.scrollWidth") <= size["width"]
        found = Axe().run(first)
        assert found.violations_count == 0, found.generate_report()

    open_list(first)
    is_good()
    first.get_by_role("link", name=re.compile("^End (?!all)")).click()
    # The page is there, and not only asked for.
    back = first.get_by_role("link", name="No, go back")
    expect(back).to_be_visible()
    is_good()
    back.click()
    first.get_by_role("link", name="End all other sessions").click()
    confirm = first.get_by_role("button", name="Yes, end them")
    expect(confirm).to_be_visible()
    is_good()
    confirm.click()
    expect(first.get_by_role("status")).to_have_text("1 session has ended.")
    is_good()
