"""Where tokens live in session data."""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from bff_sessions.contract import DeletedSession
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.oidc.tokens import UNKNOWN_EXPIRY, Tokens, keep_tokens, tokens_of
from tests.support.checks import messages, only_message
from tests.support.factories import SessionFactory
from tests.support.provider import make_id_token

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


def test_tokens_of_mozilla_django_oidc_are_read():
    data = {
        "oidc_access_token": "a1",
        "oidc_id_token": "i1",
        "oidc_token_expiration": int(AT.timestamp()),
        "oidc_token_lifetime": 300,
        "oidc_token_scope": "openid",
    }
    read = Tokens(access_token="a1", id_token="i1", expires_at=AT, expires_in=300, scope="openid")
    assert keep_tokens(data) == read
    assert keep_tokens({"oidc": {"sub": "alice"}, **data}).access_token == "a1"


def test_mozilla_access_token_without_expiry_counts_as_expired(caplog):
    token = make_id_token(iss="https://idp.example", sub="alice")
    data = {"oidc_access_token": "a1", "oidc_id_token": token, "oidc_id_token_expiration": 2e9}
    for _ in range(2):
        tokens = keep_tokens(data)
        assert tokens == Tokens(access_token="a1", id_token=token, expires_at=UNKNOWN_EXPIRY)
        assert tokens.seconds_left < 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.oidc", logging.ERROR)
    assert "https://idp.example" in record.getMessage()
    assert "OIDC_CALLBACK_CLASS" in record.getMessage()


def test_mozilla_refresh_token_makes_up_for_a_missing_expiry(caplog):
    tokens = keep_tokens({"oidc_access_token": "a1", "oidc_refresh_token": "r1"})
    assert (tokens.refresh_token, tokens.expires_at) == ("r1", UNKNOWN_EXPIRY)
    assert caplog.records == []


def test_mozilla_access_token_may_have_no_expiry_at_the_provider(caplog):
    tokens = keep_tokens({"oidc_access_token": "a1", "oidc_token_expiration": None})
    assert tokens == Tokens(access_token="a1")
    assert caplog.records == []


def test_tokens_of_mozilla_django_oidc_are_written():
    data = {"oidc_access_token": "a1", "oidc_id_token": "i1", "oidc_token_scope": "openid"}
    assert keep_tokens(data, NEW) == NEW
    assert data == {
        "oidc_access_token": "a2",
        "oidc_refresh_token": "r2",
        "oidc_token_expiration": int(AT.timestamp()),
        "oidc_token_lifetime": 60,
    }
    without_expiry = replace(NEW, expires_at=None, expires_in=None)
    keep_tokens(data, without_expiry)
    assert keep_tokens(data) == without_expiry


def test_first_tokens_are_written_beside_the_claims():
    data = {"oidc": {"iss": "https://idp.example", "sub": "alice"}}
    written = keep_tokens(data, NEW)
    assert written == replace(NEW, issuer="https://idp.example") == keep_tokens(data)
    assert data["oidc"]["sub"] == "alice"


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
        assert tokens.expires_in is None


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


# What cannot be read

KEY = Fernet.generate_key()


def encrypted(token="r1", key=KEY):
    """As django-lasuite keeps it."""
    return Fernet(key).encrypt(token.encode()).decode()


def of_lasuite(refresh_token, **more):
    expiry = {"oidc_token_expiration": int(AT.timestamp())}
    return {"oidc_access_token": "a1", "oidc_refresh_token": refresh_token, **expiry, **more}


@pytest.mark.parametrize("key", [KEY, KEY.decode()], ids=["bytes", "text"])
def test_refresh_token_of_django_lasuite_is_decrypted_and_encrypted(settings, caplog, key):
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = key
    data = of_lasuite(encrypted())
    assert keep_tokens(data).refresh_token == "r1"
    assert keep_tokens(data, NEW) == NEW
    assert Fernet(key).decrypt(data["oidc_refresh_token"]) == b"r2"
    assert keep_tokens(data).refresh_token == "r2"
    assert caplog.records == []


def test_provider_may_itself_encrypt_what_django_lasuite_encrypts(settings):
    """Its refresh token may be a Fernet token, too."""
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = KEY
    of_provider = encrypted(key=Fernet.generate_key())
    assert keep_tokens(of_lasuite(encrypted(of_provider))).refresh_token == of_provider


UNREADABLE = {
    "no key": (None, encrypted()),
    "damaged, no key": (None, encrypted()[:-20]),
    "another key": (Fernet.generate_key(), encrypted()),
    "damaged": (KEY, encrypted()[:-20]),
    "plain": (KEY, "r1"),
    "not ASCII": (KEY, "\u00e9"),
    "not UTF-8 inside": (KEY, Fernet(KEY).encrypt(b"\xff").decode()),
    "bytes": (KEY, encrypted().encode()),
    "bytes, no key": (None, encrypted().encode()),
    "too short a key": ("short", encrypted()),
    "keys in a list": ([KEY], encrypted()),
    "number for a key": (7, encrypted()),
}


@pytest.mark.parametrize(("key", "value"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_refresh_token_is_absent_and_reported_once(settings, caplog, key, value):
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = key
    data = of_lasuite(value, _bff_identity={"iss": "https://idp.example", "sub": "a", "sid": None})
    for _ in range(2):
        assert keep_tokens(data) == Tokens(access_token="a1", expires_at=AT)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.oidc", logging.ERROR)
    assert "https://idp.example" in record.getMessage()
    assert len(str(value)) < 3 or str(value) not in caplog.text
    assert key is None or str(key) not in caplog.text


def test_unreadable_refresh_token_stays_where_it_is():
    data = of_lasuite(encrypted())
    keep_tokens(data, Tokens(access_token="a2"))
    assert data["oidc_access_token"] == "a2"
    assert Fernet(KEY).decrypt(data["oidc_refresh_token"]) == b"r1"
    data = {"oidc": {**GIVEN, "refresh_token": encrypted()}}
    keep_tokens(data, Tokens(access_token="a2"))
    assert data["oidc"]["access_token"] == "a2"
    assert Fernet(KEY).decrypt(data["oidc"]["refresh_token"]) == b"r1"


def test_unreadable_refresh_token_gives_way_to_a_new_one(settings):
    data = of_lasuite(encrypted())
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = new_key = Fernet.generate_key()
    keep_tokens(data, NEW)
    assert Fernet(new_key).decrypt(data["oidc_refresh_token"]) == b"r2"


def test_nothing_is_kept_in_plain_text_under_a_wrong_key(settings):
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = "short"
    data = of_lasuite(encrypted())
    before = dict(data)
    with pytest.raises(ImproperlyConfigured, match="OIDC_STORE_REFRESH_TOKEN_KEY") as caught:
        keep_tokens(data, NEW)
    assert "short" not in str(caught.value)
    assert data == before


@pytest.mark.parametrize("key", [None, KEY], ids=["without key", "with key"])
def test_ciphertext_among_the_claims_is_no_refresh_token(settings, caplog, key):
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = key
    tokens = keep_tokens({"oidc": {**GIVEN, "refresh_token": encrypted()}})
    assert tokens == replace(TOKENS, refresh_token=None)
    (record,) = caplog.records
    assert "https://idp.example" in record.getMessage()
    # Those that are kept in plain text stay so, whatever django-lasuite does elsewhere.
    assert keep_tokens({"oidc": GIVEN}) == TOKENS


def test_an_empty_key_is_none(settings):
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = ""
    assert keep_tokens(of_lasuite("r1")).refresh_token == "r1"


EXPIRIES = {
    "int": int(AT.timestamp()),
    "float": AT.timestamp(),
    "number in a text": str(int(AT.timestamp())),
    "fraction in a text": " 1893553445.0 ",
    "ISO 8601": "2030-01-02T03:04:05Z",
    "ISO 8601 with an offset": "2030-01-02T05:04:05+02:00",
    "ISO 8601 without an offset": "2030-01-02 03:04:05",
    "datetime": AT,
    "datetime of another zone": AT.astimezone(timezone(timedelta(hours=-5))),
    "naive datetime": AT.replace(tzinfo=None),
}


@pytest.mark.parametrize("value", EXPIRIES.values(), ids=EXPIRIES)
@pytest.mark.parametrize("in_claims", [True, False], ids=["claims", "mozilla"])
def test_usual_forms_of_expiry_are_read(caplog, value, in_claims):
    data = {"oidc": {**GIVEN, "expires_at": value}}
    if not in_claims:
        data = of_lasuite("r1", oidc_token_expiration=value)
    assert keep_tokens(data).expires_at == AT
    assert caplog.records == []


@pytest.mark.parametrize("base", ["created_at", "iat"])
@pytest.mark.parametrize("expires_in", [300, "300"])
def test_expires_in_counts_from_what_stands_beside_it(base, expires_in):
    issued = int(AT.timestamp()) - 300
    claims = {"iss": "i", "sub": "s", "access_token": "a1", "expires_in": expires_in, base: issued}
    tokens = keep_tokens({"oidc": claims})
    assert (tokens.expires_at, tokens.expires_in) == (AT, 300)


UNREADABLE_EXPIRIES = {
    "milliseconds": 1_893_553_445_000,
    "negative": -1,
    "bool": True,
    "not a number": float("nan"),
    "list": [1],
    "words": "tomorrow",
    "beyond the calendar": "0001-01-01T00:00:00+14:00",
}


@pytest.mark.parametrize("value", UNREADABLE_EXPIRIES.values(), ids=UNREADABLE_EXPIRIES)
@pytest.mark.parametrize("in_claims", [True, False], ids=["claims", "mozilla"])
def test_unreadable_expiry_counts_as_passed_and_is_reported_once(caplog, value, in_claims):
    data = {"oidc": {**GIVEN, "expires_at": value}}
    if not in_claims:
        token = make_id_token(iss="https://idp.example", sub="alice")
        data = of_lasuite("r1", oidc_token_expiration=value, oidc_id_token=token)
    for _ in range(2):
        assert keep_tokens(data).expires_at == UNKNOWN_EXPIRY
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.oidc", logging.ERROR)
    assert "https://idp.example" in record.getMessage()


@pytest.mark.parametrize("expires_in", [300, "an hour", -1])
def test_lifetime_without_a_beginning_counts_as_over(caplog, expires_in):
    claims = {"iss": "https://idp.example", "access_token": "a1", "expires_in": expires_in}
    assert keep_tokens({"oidc": claims}).expires_at == UNKNOWN_EXPIRY
    assert len(caplog.records) == 1


@pytest.mark.parametrize("value", [None, "", " "])
def test_absent_expiry_is_nothing_to_report(caplog, value):
    claims = {**GIVEN, "expires_at": value, "expires_in": value}
    assert keep_tokens({"oidc": claims}).expires_at is None
    assert caplog.records == []


def fail(data):
    raise LookupError(str(data))


def test_report_does_not_fail_with_the_resolver(settings, caplog):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": f"{__name__}.fail"}
    assert keep_tokens(of_lasuite(encrypted())).access_token == "a1"
    assert "an unknown provider" in caplog.text


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
