"""Access and refresh tokens at a real provider, which rotates refresh tokens and ends the whole
grant when one of them comes twice."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.browsers import is_signed_in, is_signed_out, sign_in
from tests.support.sample import running, session_key

MANY = 20


@pytest.fixture(scope="module")
def short_lived(tmp_path_factory):
    """Access tokens that expire after four seconds."""
    folder = tmp_path_factory.mktemp("short-lived")
    with running(folder, provider=True, ACCESS_TOKEN_SECONDS="4") as sample:
        yield sample


def call(page, sample, count=MANY):
    """Requests of one session at once; a browser would send six and keep the others waiting."""
    cookies = {"sessionid": session_key(page)} if count > 1 else {}
    ready = threading.Barrier(count)

    def request(_):
        ready.wait()
        response = requests.get(f"{sample.origin}/api/hello", cookies=cookies, timeout=60)
        return response.status_code, response.json().get("message")

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(request, range(count)))


def test_of_many_requests_one_refreshes(short_lived, open_browser):
    page, before = open_browser(), len(short_lived.log)
    sign_in(page, short_lived)
    for _ in range(3):
        page.wait_for_timeout(4500)
        assert call(page, short_lived) == [(200, "Hello, Alice!")] * MANY
    log = short_lived.log[before:]
    assert log.count("grant.success refresh_token") == 3
    assert log.count("refresh_token.consumed") == 3
    assert "grant.error" not in log
    assert "grant.revoked" not in log
    page.reload()
    is_signed_in(page)


def test_the_refresh_token_of_a_session_that_ends_is_revoked(short_lived, open_browser):
    page = open_browser()
    sign_in(page, short_lived)
    before = len(short_lived.log)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_timeout(1000)
    log = short_lived.log[before:]
    assert log.count("grant.revoked") == 1


def test_who_is_signed_out_calls_nothing(short_lived, open_browser):
    page = open_browser()
    page.goto(short_lived.origin)
    is_signed_out(page)
    assert call(page, short_lived, 1) == [(401, None)]
