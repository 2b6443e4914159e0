"""What users do, step by step."""

import time

from playwright.sync_api import expect

from tests.support.sample import is_listening

SUBJECTS = {"alice": "a1f0c6d2-4b7e", "bob": "b93e5a70-c218"}


def heading(page, text):
    return expect(page.get_by_role("heading", name=text, exact=True, level=1))


def fill_in(page, name):
    heading(page, "Sign in at the provider").to_be_visible()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Sign in").click()


def sign_in(page, sample, name="alice"):
    page.goto(sample.origin)
    is_signed_out(page)
    page.get_by_role("link", name="Sign in").click()
    fill_in(page, name)
    is_signed_in(page, name)


def is_signed_in(page, name="alice"):
    heading(page, f"Signed in as {name.capitalize()}").to_be_visible()


def is_signed_out(page):
    heading(page, "You are signed out").to_be_visible()


def sign_out_at_provider(page, sample):
    """In another tab of the browser."""
    tab = page.context.new_page()
    tab.goto(sample.issuer)
    heading(tab, "Sign out of the provider?").to_be_visible()
    tab.get_by_role("button", name="Yes, sign out").click()
    heading(tab, "Signed out").to_be_visible()
    tab.close()


def wait_until_gone(port):
    for _ in range(200):
        if not is_listening(port):
            return
        time.sleep(0.1)
    raise AssertionError("The provider is still there.")
