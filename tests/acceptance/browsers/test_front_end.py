"""The single-page front end of the sample, which uses the endpoints of bff_sessions."""

import json

import pytest
from playwright.sync_api import expect

from tests.support.browsers import (
    fill_in,
    heading,
    is_signed_in,
    is_signed_out,
    sign_in,
    sign_out_at_provider,
)


def open_app(page, sample):
    page.goto(f"{sample.origin}/app")
    page.get_by_role("link", name="Sign in").click()
    fill_in(page, "alice")
    is_signed_in(page)
    assert page.url == f"{sample.origin}/app"


def number_of_sessions(page, number):
    expect(page.locator("section.card")).to_have_count(number)


@pytest.fixture
def others_are_gone(sample, open_browser):
    """The sample is shared by all tests, and alice has sessions from some of them."""
    page = open_browser()
    open_app(page, sample)
    everywhere = page.get_by_role("button", name="End all other sessions")
    if everywhere.count():
        everywhere.click()
    number_of_sessions(page, 1)
    sign_out_at_provider(page, sample)
    is_signed_out(page)


def test_the_page_notices_by_itself_that_the_provider_ended_its_session(sample, open_browser):
    page = open_browser()
    open_app(page, sample)
    sign_out_at_provider(page, sample)
    is_signed_out(page)


def test_a_user_ends_sessions_of_their_own(sample, open_browser, others_are_gone):
    first, second, third = open_browser(), open_browser(), open_browser()
    for page in (second, third, first):
        open_app(page, sample)
    number_of_sessions(first, 3)
    first.get_by_role("button", name="End session").first.press("Enter")
    number_of_sessions(first, 2)
    expect(first.get_by_role("heading", name="Your sessions")).to_be_focused()
    expect(first.get_by_role("status")).to_contain_text("Done")
    is_signed_out(third)
    is_signed_in(second)
    first.get_by_role("button", name="End all other sessions").click()
    number_of_sessions(first, 1)
    is_signed_out(second)
    is_signed_in(first)


def test_signing_out_goes_to_the_provider_and_back_to_the_page(sample, open_browser):
    page = open_browser()
    open_app(page, sample)
    page.get_by_role("button", name="Sign out", exact=True).click()
    heading(page, "Sign out of the provider?").to_be_visible()
    page.get_by_role("button", name="Yes, sign out").click()
    is_signed_out(page)
    assert page.url == f"{sample.origin}/app"


def test_no_token_comes_to_the_browser(sample, open_browser):
    page = open_browser()
    answers = []
    page.on("response", lambda answer: "/bff/" in answer.url and answers.append(answer))
    open_app(page, sample)
    number_of_sessions(page, page.locator("section.card").count())
    shown = [answer.text() for answer in answers if answer.status == 200]
    users = [json.loads(text) for text in shown if "claims" in text]
    assert {user["claims"]["name"] for user in users} == {"Alice"}
    assert not any("token" in claim for user in users for claim in user["claims"])
    assert "eyJ" not in "".join(shown)


def test_the_page_fits_a_phone(sample, open_browser):
    page = open_browser()
    page.set_viewport_size({"width": 320, "height": 640})
    sign_in(page, sample)
    page.goto(f"{sample.origin}/app")
    is_signed_in(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
