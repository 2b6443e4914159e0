import base64
import hashlib
import logging
import re

import pytest
from django.contrib.auth import get_user, login, logout
from django.core import signing
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from django.http import HttpResponse, JsonResponse
from django.test import Client
from django.urls import path
from django.views.debug import ExceptionReporter
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bff_sessions.contract.sessions import bound_values
from bff_sessions.engine import SessionStore
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.models import Session
from bff_sessions.protection import open_sealed, seal, store_key
from tests.support.factories import UserFactory

DATA = b'{"access_token": "do not show me"}'
KEY = store_key("shop", "a session key of thirty-two bytes")
ROW = {"bound_to": (KEY, "shop"), "purpose": "ticket"}
OLD, NEW, OTHER = ("old" * 12, "new" * 12, "other" * 12)

generated = hypothesis_settings(database=None, deadline=None)


def shown_in(error):
    """All that a log or an error page could print of `error`."""
    return f"{error} {error!r} {error.args} {error.__cause__!r} {vars(error)}"


def encodings_of(secret):
    """What `secret`, which is not empty, may look like in a text."""
    assert secret
    return {
        str(secret),
        secret.hex(),
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode(),
        secret.decode("latin-1"),
    }


# The store key


def test_the_store_key_is_64_hexadecimal_digits():
    assert re.fullmatch("[0-9a-f]{64}", store_key("default", "session key"))


def test_the_store_key_is_the_same_every_time():
    assert store_key("shop", "session key") == store_key("shop", "session key")


def test_the_store_key_depends_on_the_session_key():
    assert store_key("shop", "session key") != store_key("shop", "session keY")


def test_the_store_key_depends_on_the_partition():
    assert store_key("shop", "session key") != store_key("blog", "session key")


@pytest.mark.parametrize(
    ("one", "other"), [(("ab", "c"), ("a", "bc")), (("", "ab"), ("ab", "")), (("é", ""), ("", "é"))]
)
def test_the_store_key_tells_where_the_partition_ends(one, other):
    assert store_key(*one) != store_key(*other)


def test_the_store_key_does_not_depend_on_the_encryption_keys(settings):
    before = store_key("shop", "session key")
    settings.SECRET_KEY = OTHER
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [NEW]}
    assert store_key("shop", "session key") == before


@generated
@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_store_keys_are_equal_only_for_what_is_equal(one, other):
    assert (store_key(*one) == store_key(*other)) == (one == other)


def test_neither_plain_hash_of_the_session_key_is_the_store_key():
    digests = {hashlib.new(name, b"session key").digest() for name in ("sha256", "sha3_256")}
    assert bytes.fromhex(store_key("default", "session key")) not in digests


# The ticket


@generated
@given(st.binary(), st.text(min_size=1), st.text(min_size=1))
def test_sealed_data_opens(data, key, partition):
    ticket = seal(data, bound_to=(key, partition), purpose="ticket")
    assert open_sealed(ticket, bound_to=(key, partition), purpose="ticket") == data


def test_the_data_is_not_in_the_ticket():
    assert b"token" not in seal(DATA, **ROW)


def test_two_tickets_of_the_same_data_differ():
    tickets = {seal(DATA, **ROW)[9:] for _ in range(50)}
    assert len(tickets) == 50
    # Nonce and encrypted data each for itself.
    assert len({ticket[:12] for ticket in tickets}) == 50
    assert len({ticket[12:] for ticket in tickets}) == 50


def test_truncated():
    ticket = seal(DATA, **ROW)
    for length in range(len(ticket)):
        with pytest.raises(TicketUnreadable):
            open_sealed(ticket[:length], **ROW)


def test_truncated_at_the_beginning():
    ticket = seal(DATA, **ROW)
    for start in range(1, len(ticket)):
        with pytest.raises(TicketUnreadable):
            open_sealed(ticket[start:], **ROW)


def test_appended_byte():
    with pytest.raises(TicketUnreadable):
        open_sealed(seal(DATA, **ROW) + b"\0", **ROW)


def test_flipped_bit():
    ticket = seal(DATA, **ROW)
    for position in range(len(ticket)):
        for bit in range(8):
            altered = bytearray(ticket)
            altered[position] ^= 1 << bit
            with pytest.raises(TicketUnreadable):
                open_sealed(bytes(altered), **ROW)


@generated
@given(st.binary(max_size=200))
def test_garbage(garbage):
    with pytest.raises(TicketUnreadable):
        open_sealed(garbage, **ROW)


def test_other_row():
    with pytest.raises(TicketUnreadable, match="another session"):
        open_sealed(
            seal(DATA, **ROW), bound_to=(store_key("shop", "other"), "shop"), purpose="ticket"
        )


def test_other_partition():
    with pytest.raises(TicketUnreadable, match="another session"):
        open_sealed(seal(DATA, **ROW), bound_to=(KEY, "blog"), purpose="ticket")


@pytest.mark.parametrize("purpose", ["cache entry", "token revocation"])
def test_data_does_not_open_for_another_purpose(purpose):
    sealed = seal(DATA, **ROW)
    with pytest.raises(TicketUnreadable):
        open_sealed(sealed, **ROW | {"purpose": purpose})


@pytest.mark.parametrize("others", [(), (None,), ("1;",), ("-",), ("1",), (1, None), (11,)])
def test_bound_values_of_another_type_or_number_do_not_open(others):
    sealed = seal(DATA, bound_to=(KEY, 1), purpose="ticket")
    with pytest.raises(TicketUnreadable):
        open_sealed(sealed, bound_to=(KEY, *others), purpose="ticket")


def test_bound_values_do_not_run_together():
    ticket = seal(DATA, bound_to=(KEY, "ab", "c"), purpose="ticket")
    with pytest.raises(TicketUnreadable):
        open_sealed(ticket, bound_to=(KEY, "a", "bc"), purpose="ticket")


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_unknown_version(version):
    ticket = bytes([version]) + seal(DATA, **ROW)[1:]
    with pytest.raises(TicketUnreadable, match="format"):
        open_sealed(ticket, **ROW)


def test_parts_of_two_tickets_do_not_make_one():
    one, other = seal(DATA, **ROW), seal(DATA, **ROW)
    # Within the nonce, after it, within the data, before the tag.
    for cut in (15, 21, 30, len(one) - 16):
        with pytest.raises(TicketUnreadable):
            open_sealed(one[:cut] + other[cut:], **ROW)


# The keys


@pytest.fixture(params=["SECRET_KEY", "ENCRYPTION_KEYS"])
def use_keys(request, settings):
    """Configure encryption keys, newest first, in one place or the other."""

    def use(first, *others):
        if request.param == "SECRET_KEY":
            settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = first, list(others)
        else:
            settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [first, *others]}

    return use


def test_wrong_key(use_keys):
    use_keys(OLD)
    ticket = seal(DATA, **ROW)
    use_keys(OTHER)
    with pytest.raises(TicketUnreadable, match="not configured"):
        open_sealed(ticket, **ROW)


def test_rotated_key_still_reads(use_keys):
    use_keys(OLD)
    ticket = seal(DATA, **ROW)
    use_keys(NEW, OLD)
    assert open_sealed(ticket, **ROW) == DATA
    use_keys(NEW, OTHER, OLD)
    assert open_sealed(ticket, **ROW) == DATA


def test_retired_key_no_longer_reads(use_keys):
    use_keys(NEW, OLD)
    assert open_sealed(seal(DATA, **ROW), **ROW) == DATA
    use_keys(OLD)
    ticket = seal(DATA, **ROW)
    use_keys(NEW)
    with pytest.raises(TicketUnreadable, match="not configured"):
        open_sealed(ticket, **ROW)


def test_first_key_encrypts(use_keys):
    use_keys(NEW, OLD)
    ticket = seal(DATA, **ROW)
    use_keys(NEW)
    assert open_sealed(ticket, **ROW) == DATA
    use_keys(OLD)
    with pytest.raises(TicketUnreadable):
        open_sealed(ticket, **ROW)


def test_own_keys_make_secret_key_irrelevant(settings):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OLD]}
    ticket = seal(DATA, **ROW)
    settings.SECRET_KEY = OTHER
    assert open_sealed(ticket, **ROW) == DATA
    settings.SECRET_KEY, settings.BFF_SESSIONS = OLD, {"ENCRYPTION_KEYS": [NEW]}
    with pytest.raises(TicketUnreadable):
        open_sealed(ticket, **ROW)


def test_a_key_may_be_bytes(settings):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [bytes(range(32))]}
    assert open_sealed(seal(DATA, **ROW), **ROW) == DATA


def test_text_and_its_bytes_are_one_key(settings):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OLD]}
    ticket = seal(DATA, **ROW)
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OLD.encode()]}
    assert open_sealed(ticket, **ROW) == DATA


def test_the_key_id_is_no_hash_of_the_secret_key(settings):
    key_id = seal(DATA, **ROW)[1:9]
    secret = settings.SECRET_KEY.encode()
    for name in hashlib.algorithms_available:
        try:
            digest = hashlib.new(name, secret).digest()
        except (TypeError, ValueError):
            continue  # No fixed length, or not in this build of OpenSSL.
        assert key_id not in digest, name


def test_the_key_id_is_the_same_for_every_row():
    assert seal(b"", **ROW)[:9] == seal(DATA, bound_to=("other", "blog"), purpose="ticket")[:9]


def test_the_key_id_is_another_for_another_key(use_keys):
    use_keys(OLD)
    old = seal(DATA, **ROW)[1:9]
    use_keys(NEW)
    assert seal(DATA, **ROW)[1:9] != old


def test_a_ticket_is_no_signed_text_of_django():
    with pytest.raises((signing.BadSignature, UnicodeDecodeError)):
        signing.loads(seal(DATA, **ROW).decode())


@pytest.mark.parametrize("fault", ["altered", "cut", "version", "other row", "retired key"])
def test_an_error_shows_neither_data_nor_keys(settings, fault):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OLD]}
    ticket, row = seal(DATA, **ROW), dict(ROW)
    if fault == "altered":
        ticket = ticket[:-1] + bytes([ticket[-1] ^ 1])
    elif fault == "cut":
        ticket = ticket[:30]
    elif fault == "version":
        ticket = b"\1" + ticket[1:]
    elif fault == "other row":
        row["bound_to"] = (store_key("shop", "other"), "shop")
    else:
        settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [NEW]}
    with pytest.raises(TicketUnreadable) as caught:
        open_sealed(ticket, **row)
    text = shown_in(caught.value)
    for secret in {"token", "show me", KEY, row["bound_to"][0], OLD, NEW, settings.SECRET_KEY}:
        assert secret not in text
    for secret in encodings_of(ticket) | encodings_of(ticket[1:9]) | encodings_of(ticket[9:]):
        assert secret not in text


# The whole stack


def show(request):
    names = ("access_token", "written")
    data = {name: request.session[name] for name in names if name in request.session}
    return JsonResponse({"user": get_user(request).username, "data": data})


def sign_in(request, username):
    login(request, UserFactory._meta.model.objects.get(username=username))
    request.session["access_token"] = "do not show me"
    return HttpResponse()


def sign_out(request):
    logout(request)
    return HttpResponse()


def write(request):
    request.session["written"] = True
    return HttpResponse()


def cycle(request):
    request.session.cycle_key()
    return HttpResponse()


def flush(request):
    request.session.flush()
    return HttpResponse()


urlpatterns = [
    path("show/", show),
    path("sign-in/<username>/", sign_in),
    path("sign-out/", sign_out),
    path("write/", write),
    path("cycle/", cycle),
    path("flush/", flush),
]

whole_stack = [pytest.mark.django_db, pytest.mark.urls(__name__)]
SIGNED_IN = {"user": "alice", "data": {"access_token": "do not show me"}}
NOBODY = {"user": "", "data": {}}


def marked(test):
    for mark in whole_stack:
        test = mark(test)
    return test


def browser_with(session_key):
    browser = Client()
    browser.cookies["sessionid"] = session_key
    return browser


@pytest.fixture
def alice(db):
    return UserFactory(username="alice")


@pytest.fixture
def browser(alice, client):
    client.get("/sign-in/alice/")
    return client


def only_row():
    return Session.objects.values().get()


@marked
def test_after_rotation_of_the_secret_key_one_is_still_signed_in(browser, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = NEW
    assert browser.get("/show/").json() == SIGNED_IN
    # Django writes a new session hash here, so the ticket is made with the new key by now.
    settings.SECRET_KEY_FALLBACKS = []
    assert browser.get("/show/").json() == SIGNED_IN


@marked
def test_after_rotation_of_the_encryption_keys_a_save_makes_the_old_one_dispensable(
    alice, client, settings
):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OLD]}
    client.get("/sign-in/alice/")
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [NEW, OLD]}
    assert client.get("/show/").json() == SIGNED_IN
    client.get("/write/")
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [NEW]}
    assert client.get("/show/").json()["user"] == "alice"


@marked
@pytest.mark.parametrize(
    "request_path",
    ["/show/", "/write/", "/sign-in/alice/", "/sign-out/", "/cycle/", "/flush/"],
)
@pytest.mark.parametrize("every_request", [False, True])
def test_a_wrong_key_harms_no_session(browser, settings, request_path, every_request):
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    session_key, before = browser.cookies["sessionid"].value, only_row()
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OTHER]}
    assert browser.get(request_path).status_code == 200
    settings.BFF_SESSIONS = {}
    assert Session.objects.values().get(id=before["id"]) == before
    assert browser_with(session_key).get("/show/").json() == SIGNED_IN


@marked
def test_a_wrong_key_makes_everybody_anonymous(browser, settings):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OTHER]}
    assert browser.get("/show/").json() == NOBODY


@marked
def test_with_the_right_key_again_a_browser_that_only_read_is_signed_in(browser, settings):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OTHER]}
    assert browser.get("/show/").cookies == {}
    settings.BFF_SESSIONS = {}
    assert browser.get("/show/").json() == SIGNED_IN


@marked
def test_what_is_written_with_a_wrong_key_goes_under_a_new_session_key(browser, settings):
    session_key = browser.cookies["sessionid"].value
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OTHER]}
    browser.get("/write/")
    assert browser.cookies["sessionid"].value != session_key
    assert browser.get("/show/").json() == {"user": "", "data": {"written": True}}


@marked
def test_signing_in_and_out_works_with_another_key_too(browser, settings):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OTHER]}
    browser.get("/sign-in/alice/")
    assert browser.get("/show/").json() == SIGNED_IN
    browser.get("/sign-out/")
    assert browser.get("/show/").json() == NOBODY
    assert Session.objects.count() == 1  # The one that does not open.


@marked
@pytest.mark.parametrize("fault", ["garbage", "nothing", "other row", "wrong key", "no dictionary"])
def test_a_ticket_that_does_not_open_is_logged_and_kept(browser, settings, caplog, fault):
    session_key = browser.cookies["sessionid"].value
    row = Session.objects.get()
    if fault == "garbage":
        row.ticket = b"\x01garbage" * 20
    elif fault == "nothing":
        row.ticket = b""
    elif fault == "other row":
        row.ticket = seal(
            DATA, bound_to=(store_key("default", "other"), "default"), purpose="ticket"
        )
    elif fault == "no dictionary":
        row.ticket = seal(
            b'"do not show me"',
            bound_to=(row.key, "default", *bound_values(row)),
            purpose="ticket",
        )
    else:
        settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": [OTHER]}
    row.save()
    before = only_row()
    with caplog.at_level(logging.DEBUG):
        assert browser.get("/show/").json() == NOBODY
        assert browser.get("/write/").status_code == 200
    assert Session.objects.values().get(id=row.id) == before
    records = [r for r in caplog.records if r.name == "django.security.SuspiciousSession"]
    assert records
    for record in records:
        assert record.levelno >= logging.WARNING
        assert record.exc_info is None
        text = f"{record.getMessage()} {record.args!r}"
        for secret in {session_key, row.key, "show me", "access_token", OTHER, settings.SECRET_KEY}:
            assert secret not in text
        if row.ticket:
            assert not any(secret in text for secret in encodings_of(bytes(row.ticket)))


@marked
def test_a_ticket_of_another_session_signs_nobody_in(browser, alice):
    mallory = SessionStore()
    mallory.create()
    ticket = Session.objects.get(user_id=str(alice.pk)).ticket
    Session.objects.filter(key=store_key("default", mallory.session_key)).update(ticket=ticket)
    assert browser_with(mallory.session_key).get("/show/").json() == NOBODY


@marked
def test_a_row_that_moved_to_another_partition_signs_nobody_in(browser, settings):
    session_key = browser.cookies["sessionid"].value
    settings.BFF_SESSIONS = {"PARTITION": "blog"}
    assert browser_with(session_key).get("/show/").json() == NOBODY
    Session.objects.update(key=store_key("blog", session_key), partition="blog")
    assert browser_with(session_key).get("/show/").json() == NOBODY


@marked
def test_what_is_in_the_row_is_no_cookie(browser):
    row = Session.objects.get()
    for value in (row.key, row.key[:32], row.session_id):
        assert browser_with(value).get("/show/").json() == NOBODY


@marked
def test_the_cookie_is_nowhere_in_the_row(browser):
    session_key = browser.cookies["sessionid"].value
    for value in only_row().values():
        assert session_key not in str(value)
        assert session_key.encode() not in (bytes(value) if isinstance(value, bytes) else b"")


# Error reports


def report_of(error):
    """What Django mails to ADMINS about it, in HTML; without the function that caught it."""
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__.tb_next)
    return reporter.get_traceback_html()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", ["save", "cycle_key", "create", "delete", "flush", "load"])
def test_an_error_report_shows_neither_cookie_nor_data(calls, act, monkeypatch, settings):
    settings.DEBUG = False
    new = SessionStore()
    new["access_token"] = "a token of the provider's"
    if act != "create":
        new.save()
        new = SessionStore(new.session_key)
        if act != "load":
            new["access_token"] += " that is fresh"
    secrets = {new.session_key, new.store_key, "provider's"} - {None}

    def fail(self, sql, params, *args):
        raise OperationalError("server has gone away")

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "_execute", fail)
        with pytest.raises(OperationalError) as caught:
            getattr(calls, act)(new)
    report = report_of(caught.value)
    assert "server has gone away" in report
    assert "bff_sessions/stores/orm/" in report
    for secret in secrets:
        assert secret not in report
