"""Where tokens live in session data."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from bff_sessions.contract import DeletedSession
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.oidc.tokens import Tokens, keep_tokens, tokens_of
from tests.factories import SessionFactory
from tests.test_checks import messages, only_message

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
GIVEN = {
    "access_token": "a1",
    "refresh_token": "r1",
    "id_token": "i1",
    "expires_at": int(AT.timestamp()),
    "expires_in": 300,
    "scope": "openid offline_access",
    "iss": "https://idp.example",
}
TOKENS = Tokens(
    access_token="a1",
    refresh_token="r1",
    id_token="i1",
    expires_at=AT,
    expires_in=300,
    scope="openid offline_access",
    issuer="https://idp.example",
)
NEW = Tokens(access_token="a2", refresh_token="r2", id_token=None, expires_at=AT, expires_in=60)


def test_what_authlib_gives_is_read():
    assert keep_tokens({"oidc": {**GIVEN, "token_type": "Bearer", "userinfo": {}}}) == TOKENS


def test_new_ones_are_kept_in_place_of_the_old():
    claims = {**GIVEN, "sub": "alice", "sid": "s1"}
    data = {"oidc": claims}
    written = keep_tokens(data, NEW)
    assert written == keep_tokens(data)
    assert (written.access_token, written.refresh_token, written.id_token) == ("a2", "r2", None)
    assert (written.expires_at, written.expires_in) == (AT, 60)
    assert data["oidc"]["sub"] == "alice"
    # The session tells changes from what it has loaded.
    assert data["oidc"] is not claims
    assert claims["access_token"] == "a1"


def test_the_key_is_that_of_the_claims(settings):
    settings.BFF_SESSIONS = {"CLAIMS_KEY": "mine"}
    assert keep_tokens({"mine": GIVEN}) == TOKENS
    assert keep_tokens({"oidc": GIVEN}) is None


def test_what_mozilla_django_oidc_keeps_is_read():
    data = {"oidc_access_token": "a1", "oidc_id_token": "i1", "oidc_id_token_expiration": 1}
    assert keep_tokens(data) == Tokens(access_token="a1", id_token="i1")
    assert keep_tokens({"oidc": {"sub": "alice"}, **data}).access_token == "a1"


def test_what_mozilla_django_oidc_keeps_is_written():
    data = {"oidc_access_token": "a1", "oidc_id_token": "i1"}
    assert keep_tokens(data, NEW) == NEW
    assert data == {
        "oidc_access_token": "a2",
        "oidc_refresh_token": "r2",
        "oidc_token_expiration": int(AT.timestamp()),
    }


@pytest.mark.parametrize(
    "data", [{}, {"oidc": None}, {"oidc": {"iss": "x"}}, {"oidc": GIVEN["iss"]}]
)
def test_where_there_are_none(data):
    before = dict(data)
    assert keep_tokens(data) is None
    assert keep_tokens(data, NEW) is None
    assert data == before


@pytest.mark.parametrize("odd", [None, "", " ", 1, ["a1"], True, -1, 1e300, float("nan")])
def test_odd_values_count_as_absent(odd):
    tokens = keep_tokens({"oidc": dict.fromkeys(GIVEN, odd) | {"access_token": "a1"}})
    assert tokens.refresh_token is tokens.id_token is tokens.issuer is None
    if odd != 1:
        assert tokens.expires_at is tokens.expires_in is None


def test_a_scope_may_be_a_list():
    tokens = keep_tokens({"oidc": {**GIVEN, "scope": ["openid", "offline_access"]}})
    assert tokens.is_offline


@pytest.mark.parametrize(
    ("scope", "is_offline"),
    [("openid offline_access", True), ("openid offline_access_not", False), (None, False)],
)
def test_offline_access_is_told_by_the_scope(scope, is_offline):
    assert Tokens(scope=scope).is_offline is is_offline


def test_seconds_left():
    assert Tokens(access_token="a").seconds_left == float("inf")
    assert Tokens(expires_at=AT).seconds_left < 0
    soon = datetime.fromtimestamp(time.time() + 10, UTC)
    assert 9 < Tokens(access_token="a", expires_at=soon).seconds_left <= 10


def test_the_repr_shows_no_token():
    shown = repr(TOKENS)
    assert "idp.example" in shown
    assert not any(token in shown for token in ("a1", "r1", "i1"))


def test_the_ticket_of_an_ended_session_must_open():
    row = SessionFactory.build()
    with pytest.raises(TicketUnreadable):
        tokens_of(DeletedSession.of(row))


# Settings

FAULTS = [
    ("E040", {"TOKENS": "shop.tokens.nope"}),
    ("E040", {"TOKENS": None}),
    ("E041", {"TOKENS": f"{__name__}.AT"}),
    ("E042", {"ACCESS_TOKEN_MARGIN": -1}),
    ("E042", {"ACCESS_TOKEN_MARGIN": "60"}),
    ("E042", {"ACCESS_TOKEN_MARGIN": True}),
    ("E042", {"ACCESS_TOKEN_MARGIN": None}),
    ("E042", {"ACCESS_TOKEN_MARGIN": float("nan")}),
    ("E043", {"TOKEN_REVOCATION": True}),
    ("E043", {"TOKEN_REVOCATION": ["EXPIRED_SESSIONS"]}),
    ("E044", {"TOKEN_REVOCATION": {"EXPIRED": True}}),
    ("E045", {"TOKEN_REVOCATION": {"EXPIRED_SESSIONS": 1}}),
    ("E045", {"TOKEN_REVOCATION": {"OFFLINE_ACCESS": None}}),
    ("E045", {"TOKEN_REVOCATION": {"AFTER_RESPONSE": "no"}}),
    ("E046", {"TOKEN_REVOCATION": {"GIVE_UP_AFTER": 3}}),
    ("E046", {"TOKEN_REVOCATION": {"GIVE_UP_AFTER": timedelta()}}),
]


@pytest.mark.parametrize(("id", "fault"), FAULTS)
def test_a_wrong_setting_is_told(settings, id, fault):
    settings.BFF_SESSIONS = fault
    assert next(iter(fault)) in only_message(id).msg


def test_good_settings_are_silent(settings):
    settings.BFF_SESSIONS = {
        "TOKENS": f"{__name__}.keep_tokens",
        "ACCESS_TOKEN_MARGIN": 0.5,
        "TOKEN_REVOCATION": {
            "OFFLINE_ACCESS": True,
            "EXPIRED_SESSIONS": True,
            "AFTER_RESPONSE": False,
            "GIVE_UP_AFTER": timedelta(hours=1),
        },
    }
    assert messages() == []
    settings.BFF_SESSIONS = {"TOKEN_REVOCATION": None}
    assert messages() == []
