"""What operators do in the admin, and what users notice of it."""

import subprocess
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support.browsers import SUBJECTS, is_signed_in, is_signed_out, sign_in
from tests.support.sample import ROOT, running

SESSIONS = "/admin/bff_sessions/session/"
# Of pages of Django's admin what is ours; the frame around it is not.
OURS = {"include": [["#content"]], "exclude": [["#changelist-search"], [".actions"], ["thead"]]}


def log_in(page, origin):
    page.goto(f"{origin}/admin/")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Log in").click()
    is_logged_in(page)


def is_logged_in(page):
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()


def is_accessible(page):
    found = Axe().run(page, context=OURS)
    assert found.violations_count == 0, found.generate_report()


def test_an_operator_signs_a_subject_out_everywhere(sample, open_browser):
    first, second, other, operator = (open_browser() for _ in range(4))
    sign_in(first, sample)
    sign_in(second, sample)
    sign_in(other, sample, "bob")
    log_in(operator, sample.origin)
    operator.goto(f"{sample.origin}{SESSIONS}?q={SUBJECTS['alice']}")
    operator.locator("input.action-select").first.check()
    operator.get_by_label("Action:").select_option(
        label="Sign the selected subjects out everywhere"
    )
    operator.get_by_role("button", name="Go").click()
    expect(operator.get_by_text("live sessions will end")).to_be_visible()
    is_accessible(operator)
    first.reload()
    is_signed_in(first)
    operator.get_by_role("button", name="Yes").click()
    expect(operator.locator(".messagelist .success")).to_be_visible()
    for page in (first, second):
        page.reload()
        is_signed_out(page)
    other.reload()
    is_signed_in(other, "bob")


def test_axe_finds_nothing_on_the_pages_for_operators(sample, open_browser):
    operator = open_browser()
    log_in(operator, sample.origin)
    for scheme in ("light", "dark"):
        operator.emulate_media(color_scheme=scheme)
        for path in (SESSIONS, f"{SESSIONS}overview/"):
            operator.goto(f"{sample.origin}{path}")
            is_accessible(operator)
        operator.goto(f"{sample.origin}{SESSIONS}?q=operator")
        operator.locator("#result_list tbody a").first.click()
        expect(operator.get_by_role("heading", name="Session of operator")).to_be_visible()
        is_accessible(operator)
        operator.get_by_role("link", name="End this session").click()
        expect(operator.get_by_text("This is your own session")).to_be_visible()
        is_accessible(operator)


def test_list_of_sessions_needs_no_scrolling(sample, open_browser):
    """What operators need fits beside filters and navigation."""
    first, operator = open_browser(), open_browser()
    operator.set_viewport_size({"width": 1280, "height": 800})
    sign_in(first, sample)
    log_in(operator, sample.origin)
    operator.goto(f"{sample.origin}{SESSIONS}")
    fits = "e => e.scrollWidth <= e.clientWidth"
    assert operator.locator(".results").evaluate(fits)
    assert operator.locator("html").evaluate(fits)
    head = operator.locator("#result_list thead").inner_text().split("\n")
    shown = [text.strip().lower() for text in head if text.strip()]
    assert shown == ["subject", "device", "signed in", "last seen", "expires", "state", "provider"]


def test_keyboard_alone_ends_a_session(sample, open_browser):
    first, operator = open_browser(), open_browser()
    sign_in(first, sample)
    log_in(operator, sample.origin)
    operator.goto(f"{sample.origin}{SESSIONS}?q={SUBJECTS['alice']}&state=live")
    operator.locator("#result_list tbody a").first.focus()
    operator.keyboard.press("Enter")
    for name, role in (("End this session", "link"), ("Yes, end it", "button")):
        target = operator.get_by_role(role, name=name)
        expect(target).to_be_visible()
        for _ in range(60):
            if target.evaluate("e => e === document.activeElement"):
                break
            operator.keyboard.press("Tab")
        expect(target).to_be_focused()
        operator.keyboard.press("Enter")
    expect(operator.locator(".messagelist .success")).to_contain_text("The session has ended")
    first.reload()
    is_signed_out(first)


def test_who_was_signed_in_before_the_import_still_is(tmp_path, open_browser):
    settings = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.browsers.moving_settings"}
    page = open_browser()
    with running(
        tmp_path, provider=False, ENGINE="django.contrib.sessions.backends.db", **settings
    ) as before:
        log_in(page, before.origin)
        before.kill()
        environment = before.environment | {"ENGINE": "bff_sessions.engine"}
        command = [sys.executable, "manage.py", "import_sessions"]
        moved = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        )
        assert moved.stdout.startswith("1 session moved.\n")
        before.environment = environment
        before.start()
        page.goto(f"{before.origin}/admin/")
        is_logged_in(page)
        page.goto(f"{before.origin}{SESSIONS}")
        expect(page.locator("#result_list tbody tr")).to_have_count(1)
