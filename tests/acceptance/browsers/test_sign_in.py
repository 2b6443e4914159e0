"""The whole journey in a real browser: sample, provider, admin."""

import re

from playwright.sync_api import expect

from tests.support.browsers import (
    SUBJECTS,
    fill_in,
    heading,
    is_signed_in,
    is_signed_out,
    sign_in,
    sign_out_at_provider,
    wait_until_gone,
)
from tests.support.sample import is_listening, running, session_id, session_key


def test_the_session_has_the_identity_that_the_provider_gave(sample, open_browser):
    page = open_browser()
    page.goto(f"{sample.origin}/oidc/authorize")
    before = session_key(page)
    fill_in(page, "alice")
    is_signed_in(page)
    assert page.url == f"{sample.origin}/"
    for text in (SUBJECTS["alice"], sample.issuer):
        expect(page.locator("dl").first).to_contain_text(text)
    assert session_key(page) != before
    # Nothing of the tokens, which begin like this, is in page or log.
    assert "eyJ" not in page.content()
    assert "eyJ" not in sample.log


def test_signing_out_at_the_provider_signs_out_at_the_sample(sample, open_browser):
    page = open_browser()
    sign_in(page, sample)
    sid = session_id(page)
    sign_out_at_provider(page, sample)
    for line in (
        f"A logout of {sample.issuer} was accepted. Sessions ended: 1.",
        f"POST {sample.origin}/bff/backchannel-logout was answered 200, Cache-Control: no-store",
        f"backchannel.success client=sample sub={SUBJECTS['alice']} sid={sid}",
    ):
        assert line in sample.log
    page.reload()
    is_signed_out(page)
    expect(page.get_by_role("status")).to_contain_text("Your identity provider has ended")


def test_of_two_browsers_of_a_user_only_the_right_one_is_signed_out(sample, open_browser):
    first, second, of_bob = open_browser(), open_browser(), open_browser()
    sign_in(first, sample)
    sign_in(second, sample)
    sign_in(of_bob, sample, "bob")
    assert session_id(first) != session_id(second)
    sign_out_at_provider(first, sample)
    for page in (first, second, of_bob):
        page.reload()
    is_signed_out(first)
    is_signed_in(second)
    is_signed_in(of_bob, "bob")
    sign_out_at_provider(second, sample)
    second.reload()
    is_signed_out(second)


def test_signing_out_at_the_sample_goes_on_to_the_provider(sample, open_browser):
    page = open_browser()
    sign_in(page, sample)
    page.get_by_role("button", name="Sign out").click()
    heading(page, "Sign out of the provider?").to_be_visible()
    # Here it has happened already, whatever is answered there.
    tab = page.context.new_page()
    tab.goto(sample.origin)
    is_signed_out(tab)
    page.get_by_role("button", name="Yes, sign out").click()
    is_signed_out(page)
    assert page.url.startswith(f"{sample.origin}/sign-in")
    # And the provider asks for the password again.
    sign_in(page, sample)


def test_who_stays_signed_in_at_the_provider_comes_back_without_a_password(sample, open_browser):
    page = open_browser()
    sign_in(page, sample)
    sid = session_id(page)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="No, stay signed in").click()
    is_signed_out(page)
    page.get_by_role("link", name="Sign in").click()
    is_signed_in(page)
    assert session_id(page) != sid


def test_an_operator_ends_a_session(sample, open_browser):
    first, second, operator = open_browser(), open_browser(), open_browser()
    sign_in(first, sample)
    sign_in(second, sample)
    sid = session_id(first)
    operator.goto(f"{sample.origin}/admin/")
    operator.get_by_label("Username").fill("operator")
    operator.get_by_label("Password").fill("demo")
    operator.get_by_role("button", name="Log in").click()
    operator.goto(f"{sample.origin}/admin/bff_sessions/session/?q={sid}")
    operator.locator("#result_list tbody a").click()
    operator.get_by_role("link", name="End this session").click()
    operator.get_by_role("button", name=re.compile("Yes")).click()
    expect(operator.get_by_text(f"The session has ended: {SUBJECTS['alice']}")).to_be_visible()
    assert operator.url == f"{sample.origin}/admin/bff_sessions/session/?q={sid}"
    first.reload()
    is_signed_out(first)
    expect(first.get_by_role("status")).to_have_text("An operator has ended your session.")
    second.reload()
    is_signed_in(second)


def test_signing_in_leads_to_the_page_that_was_wanted(sample, open_browser):
    page = open_browser()
    page.goto(f"{sample.origin}/?from=a-link")
    page.get_by_role("link", name="Sign in").click()
    fill_in(page, "alice")
    is_signed_in(page)
    assert page.url == f"{sample.origin}/?from=a-link"


def test_signing_in_leads_nowhere_else(sample, open_browser):
    page = open_browser()
    page.goto(f"{sample.origin}/oidc/authorize?next=//elsewhere.example/")
    fill_in(page, "alice")
    is_signed_in(page)
    assert page.url == f"{sample.origin}/"


def test_a_wrong_password_can_be_corrected(sample, open_browser):
    page = open_browser()
    page.goto(f"{sample.origin}/oidc/authorize")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    fill_in(page, "alice")
    is_signed_in(page)


def test_a_callback_that_nobody_asked_for_signs_nobody_in(sample, open_browser):
    page = open_browser()
    answer = page.goto(f"{sample.origin}/oidc/callback?code=forged&state=forged")
    assert answer.status == 400
    is_signed_out(page)
    expect(page.get_by_role("alert")).to_contain_text("Please try again")
    sign_in(page, sample)


def test_every_page_fits_a_phone(sample, open_browser):
    page = open_browser()
    page.set_viewport_size({"width": 320, "height": 640})

    def fits():
        return page.evaluate("document.documentElement.scrollWidth") <= 320

    page.goto(f"{sample.origin}/oidc/callback")
    assert fits()
    page.get_by_role("link", name="Sign in").click()
    heading(page, "Sign in at the provider").to_be_visible()
    assert fits()
    fill_in(page, "alice")
    is_signed_in(page)
    assert fits()
    page.get_by_role("button", name="Sign out").click()
    heading(page, "Sign out of the provider?").to_be_visible()
    assert fits()


def test_without_a_provider_users_sign_in_here(sample_alone, open_browser):
    page = open_browser()
    page.goto(sample_alone.origin)
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Sign in").click()
    heading(page, "Signed in as alice").to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    heading(page, "Sign in").to_be_visible()
    page.goto(sample_alone.origin)
    heading(page, "Sign in").to_be_visible()
    assert not is_listening(sample_alone.provider_port)


def test_signing_out_works_while_the_provider_is_away(tmp_path, open_browser):
    page = open_browser()
    with running(tmp_path, provider=True) as sample:
        sign_in(page, sample)
        sample.kill()
        wait_until_gone(sample.provider_port)
        sample.command = sample.command[:5]
        sample.environment |= {
            "OIDC_ISSUER": sample.issuer,
            "OIDC_CLIENT_ID": "sample",
            "OIDC_CLIENT_SECRET": "of nobody any more",
        }
        sample.start()
        page.reload()
        is_signed_in(page)
        page.get_by_role("button", name="Sign out").click()
        is_signed_out(page)
        page.get_by_role("link", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Please try again")


def test_the_provider_stops_with_the_sample_however_that_ends(tmp_path):
    with running(tmp_path, provider=True) as sample:
        assert is_listening(sample.provider_port)
        sample.kill()
        wait_until_gone(sample.provider_port)
