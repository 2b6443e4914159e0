"""What an answer means that is not a success."""

import json
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest

from bff_sessions.exceptions import ClientMisconfigured, ProviderUnavailable
from bff_sessions.oidc.transport.http import Response
from bff_sessions.oidc.transport.refusals import Meaning, Refusal, meaning_of

WAIT, CLIENT, ENDED = Meaning.WAIT, Meaning.CLIENT, Meaning.ENDED
REFUSED, UNCLEAR = Meaning.REFUSED, Meaning.UNCLEAR

# The first line whose statuses and codes fit; "*" fits every code, None no code at all.
TABLE = [
    ([408, 425, 429, 500, 501, 502, 503, 504, 599], ["*", None], WAIT),
    ([400, 401, 403, 404], ["temporarily_unavailable", "slow_down", "server_error"], WAIT),
    (
        [400, 401, 403],
        ["invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"],
        CLIENT,
    ),
    ([400, 401, 403], ["invalid_grant", "token_inactive"], ENDED),
    (
        [400, 401, 403, 404, 409, 422, 499],
        [
            "interaction_required",
            "login_required",
            "consent_required",
            "account_selection_required",
            "mfa_required",
            "insufficient_user_authentication",
            "invalid_request",
            "access_denied",
            "invalid_token",
            "use_dpop_nonce",
            "bad_refresh_token",
            "Invalid_Grant",
            "a code that nobody knows",
        ],
        REFUSED,
    ),
    ([302, 400, 401, 403, 404, 405, 410], [None], UNCLEAR),
]
CODES = sorted({code for _, codes, _ in TABLE for code in codes if code not in ("*", None)})


@pytest.mark.parametrize(("statuses", "codes", "meaning"), TABLE)
def test_meaning_depends_on_status_and_code(statuses, codes, meaning):
    for code in [*CODES, None] if "*" in codes else codes:
        assert {meaning_of(status, code) for status in statuses} == {meaning}, code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"invalid_grant"',
        b"{}",
        b'{"error": null}',
        b'{"error": ""}',
        b'{"error": " "}',
        b'{"error": 1}',
        b'{"error": ["invalid_grant"]}',
        b'{"error": {"code": "invalid_grant"}}',
        b'{"Error": "invalid_grant"}',
        b"error=invalid_grant",
        '{"error": "invalid_grant"}'.encode("utf-16"),
    ],
)
def test_only_text_error_in_an_object_is_a_code(body):
    refusal = Refusal.of(Response(400, body))
    assert (refusal.meaning, refusal.code, str(refusal)) == (UNCLEAR, None, "status 400")


@pytest.mark.parametrize("code", ["secret-7", "invalid_grant secret", "INVALID_GRANT", "x" * 9999])
def test_unknown_code_reaches_neither_error_nor_log(code, caplog):
    caplog.set_level(logging.DEBUG)
    refusal = Refusal.of(Response(400, json.dumps({"error": code}).encode()))
    error = refusal.to_error("https://idp.example", "token_endpoint")
    assert refusal.meaning is REFUSED
    assert code not in f"{refusal}{refusal!r}{error}{error!r}{caplog.text}"
    assert "400" in str(error)


def test_misconfigured_client_is_an_error_line():
    answer = Response(401, b'{"error": "invalid_client"}', 7.0)
    error = Refusal.of(answer).to_error("https://idp.example", "token_endpoint")
    assert isinstance(error, ClientMisconfigured)
    assert isinstance(error, ProviderUnavailable)
    assert error.retry_after == 7.0


# What http.py says about an answer


@pytest.mark.parametrize(
    ("retry_after", "at_least", "at_most"),
    [
        ("120", 120, 120),
        ("9" * 400, 3600, 1e9),
        # RFC 9110, 5.6.7: the three formats, and no other, mean UTC.
        ("{:%a, %d %b %Y %H:%M:%S GMT}", 7000, 7200),
        ("{:%A, %d-%b-%y %H:%M:%S GMT}", 7000, 7200),
        ("{:%a %b %d %H:%M:%S %Y}", 7000, 7200),
    ],
)
def test_retry_after_is_kept(provider, configure, monkeypatch, retry_after, at_least, at_most):
    moment = datetime.now(UTC) + timedelta(seconds=7200)
    provider.answers["/token"] = (503, {"Retry-After": retry_after.format(moment)}, b"")
    configured = configure()
    try:
        with monkeypatch.context() as patch, pytest.raises(ProviderUnavailable) as caught:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            configured.post("token_endpoint", {})
    finally:
        time.tzset()
    assert at_least <= caught.value.retry_after <= at_most


def test_an_answer_may_begin_with_a_byte_order_mark(provider, configure):
    provider.answers["/token"] = (200, {}, b'\xef\xbb\xbf{"access_token": "new"}')
    assert configure().post("token_endpoint", {}).json() == {"access_token": "new"}


def test_the_encoding_of_an_answer_is_not_guessed(provider, configure):
    provider.answers["/token"] = (200, {}, '{"access_token": "new"}'.encode("utf-16"))
    with pytest.raises(ProviderUnavailable, match="JSON object"):
        configure().post("token_endpoint", {}).json()
