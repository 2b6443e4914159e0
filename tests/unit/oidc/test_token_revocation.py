"""Refresh tokens of sessions that end are revoked at their provider: RFC 7009, over real HTTP."""

import asyncio
import io
import json
import logging
import os
import signal
import sys
import threading
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from cryptography.fernet import Fernet
from django.contrib.sessions.management.commands import clearsessions
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from django.core.signals import request_finished
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.models import F
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path

from bff_sessions.contract import DeletedSession, EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.events import EXPIRED, Cause, hook_for
from bff_sessions.exceptions import TicketUnreadable
from bff_sessions.management import extras
from bff_sessions.models import Session, TokenRevocation
from bff_sessions.oidc.models import TokenRevocationQuerySet
from bff_sessions.oidc.token_revocation import outbox, sending
from bff_sessions.oidc.token_revocation.outbox import hand_over
from bff_sessions.oidc.token_revocation.sealing import open_token
from bff_sessions.oidc.token_revocation.sending import Outcome, send
from bff_sessions.oidc.tokens import Tokens
from bff_sessions.revocation import (
    arevoke_session,
    arevoke_sessions,
    revoke_session,
    revoke_sessions,
)
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.stores.orm import OrmUserSessionStore
from tests.support.processes import go, processes
from tests.support.provider import CLIENT_SECRET, serve
from tests.support.sessions import start
from tests.support.stores import CACHED, MEMORY

ALICES = UserSessionsFilter(subject_id="alice")


def end_view(request):
    return HttpResponse(str(revoke_sessions(ALICES)))


async def aend_view(request):
    return HttpResponse(str(await arevoke_sessions(ALICES)))


urlpatterns = [
    path("end", end_view),
    path("aend", aend_view),
    path("bff/", include("bff_sessions.urls")),
]


@pytest.fixture
def provider(settings, transactional_db, monkeypatch):
    settings.ROOT_URLCONF = __name__
    outbox._pending.clear()  # What other tests have left.
    with serve(monkeypatch) as provider:
        settings.BFF_SESSIONS = provider.settings
        yield provider


@pytest.fixture
def configure(provider, settings):
    """Set options of TOKEN_REVOCATION, and other settings in small letters."""

    def configure(*, others=None, **options):
        settings.BFF_SESSIONS = {
            **provider.settings,
            "TOKEN_REVOCATION": {name.upper(): value for name, value in options.items()},
            **(others or {}),
        }

    return configure


def sign_in(provider, **more):
    """A session of alice's; its refresh token."""
    data = provider.sign_in(**more)
    start(**data)
    return data["oidc"]["refresh_token"]


def end_and_wait(count=1):
    """End the session, and leave the tokens to the command."""
    assert revoke_sessions(ALICES) == count
    outbox._pending.clear()


def command(**options):
    out = io.StringIO()
    call_command("revoke_tokens", stdout=out, **options)
    return out.getvalue()


def make_due():
    TokenRevocation.objects.update(due=datetime.now(UTC))


def paths(provider):
    return provider.requests


# The common case: after the response


def test_a_request_that_ends_sessions_has_their_tokens_revoked(provider):
    tokens = [sign_in(provider, sid=sid) for sid in ("phone", "laptop")]
    assert Client().get("/end").content == b"2"
    assert sorted(provider.revoked) == sorted(tokens)
    assert not TokenRevocation.objects.exists()


def test_an_asynchronous_request_does_so_too(provider):
    token = sign_in(provider)
    response = async_to_sync(AsyncClient().get)("/aend")
    assert response.content == b"1"
    assert provider.revoked == [token]
    assert not TokenRevocation.objects.exists()


def test_it_is_asked_for_as_the_specification_says(provider):
    token = sign_in(provider)
    Client().get("/end")
    ((form, headers),) = [(f, h) for path, f, h in provider.forms if path == "/revocation"]
    assert form == {"token": token, "token_type_hint": "refresh_token"}
    # RFC 6749, 2.3.1: form-encoded before.
    encoded = CLIENT_SECRET.replace(":", "%3A").replace(" ", "+")
    assert headers["Authorization"] == f"Basic {b64encode(f'shop:{encoded}'.encode()).decode()}"


def test_signing_out_at_the_endpoint_does_so_too(provider):
    data = provider.sign_in()
    client = Client()
    client.cookies["sessionid"] = start(**data)
    assert client.post("/bff/logout").status_code == 302
    assert provider.revoked == [data["oidc"]["refresh_token"]]


def test_signing_out_revokes_the_token_that_the_session_held_last(provider, monkeypatch):
    """Another request has it rotated when this one, which has loaded the session, signs out."""
    key, store, rotations = start(**provider.sign_in()), type(get_store()), []

    def rotating_before(delete):
        def rotate_and_delete(self, which, **arguments):
            if not rotations:
                rotations.append(which)
                other = SessionStore(key)
                other["oidc"] = {**other["oidc"], "refresh_token": "rotated"}
                other.save()
            return delete(self, which, **arguments)

        return rotate_and_delete

    # Whichever of them the sign-out uses first.
    for verb in ("delete_user_session", "delete_user_sessions"):
        monkeypatch.setattr(store, verb, rotating_before(getattr(store, verb)))
    client = Client()
    client.cookies["sessionid"] = key
    assert client.post("/bff/logout").status_code == 302
    assert get_store().get_user_sessions(ALICES) == []
    assert provider.revoked == ["rotated"]


def test_nothing_is_sent_before_the_response(provider):
    sign_in(provider)
    response = None

    def is_answered(form):
        assert response is not None

    provider.before["/revocation"] = is_answered
    assert revoke_sessions(ALICES) == 1
    assert provider.requests == []  # Not even discovery.
    response = HttpResponse()
    request_finished.send(sender=None)
    assert len(provider.revoked) == 1


@pytest.mark.parametrize("store", [MEMORY, CACHED])
def test_whichever_store_keeps_the_sessions(provider, configure, store):
    configure(others={"STORE": store})
    token = sign_in(provider)
    Client().get("/end")
    assert provider.revoked == [token]


def test_one_session_that_is_ended_by_its_key(provider):
    token = sign_in(provider)
    (session,) = get_store().get_user_sessions(ALICES)
    revoke_session(session.key)
    request_finished.send(sender=None)
    assert provider.revoked == [token]


def test_after_the_response_can_be_switched_off(provider, configure):
    configure(after_response=False)
    token = sign_in(provider)
    Client().get("/end")
    assert provider.requests == []
    assert command() == "1 refresh token revoked.\n"
    assert provider.revoked == [token]


def test_a_request_is_held_up_for_a_bounded_time(provider, monkeypatch):
    monkeypatch.setattr(outbox, "_MAX_SECONDS", 0.1)
    provider.delay = 0.15
    for sid in "abc":
        sign_in(provider, sid=sid)
    Client().get("/end")
    assert len(provider.revoked) == 1
    assert TokenRevocation.objects.count() == 2


def test_only_so_many_wait_for_the_end_of_a_request_that_never_comes(provider):
    hand_over([Tokens(refresh_token=f"r{n}", issuer=provider.issuer) for n in range(120)])
    assert len(outbox._pending) == 100
    assert TokenRevocation.objects.count() == 120


def test_a_fault_after_the_response_goes_to_the_log_only(provider, monkeypatch, caplog):
    sign_in(provider)
    monkeypatch.setattr(sending, "send", lambda *a, **k: 1 / 0)
    assert Client().get("/end").status_code == 200
    assert "ZeroDivisionError" in caplog.text
    assert TokenRevocation.objects.count() == 1


def test_no_connection_is_left_open(provider):
    """With CONN_MAX_AGE = 0 each request closes its own."""
    sign_in(provider)
    revoke_sessions(ALICES)
    request_finished.send(sender=None)
    assert connection.connection is None


def test_other_requests_send_nothing(provider, django_assert_num_queries):
    with django_assert_num_queries(0):
        request_finished.send(sender=None)


def test_request_of_another_tenant_leaves_tokens_pending(provider):
    wrapper = connections["default"]
    wrapper.schema_name = "a"
    try:
        token = sign_in(provider)
        revoke_sessions(ALICES)
        wrapper.schema_name = "b"
        request_finished.send(sender=None)
        assert provider.revoked == []
        wrapper.schema_name = "a"
        request_finished.send(sender=None)
        assert provider.revoked == [token]
    finally:
        del wrapper.schema_name


def test_failure_after_the_lease_was_lost_is_not_reported(provider, caplog):
    sign_in(provider)
    end_and_wait()
    rows = TokenRevocation.objects.current()

    def lose_the_lease(form):
        rows.update(attempts=F("attempts") + 1)  # In the thread of the provider.
        connections.close_all()

    provider.before["/revocation"] = lose_the_lease
    provider.answers["/revocation"] = (503, {}, b"")
    assert send(rows) == {Outcome.TAKEN: 1}
    assert "not revoked" not in caplog.text


# Which tokens


def test_at_rest_it_is_encrypted(provider):
    token = sign_in(provider)
    end_and_wait()
    (row,) = TokenRevocation.objects.all()
    stored = bytes(row.token)
    assert token.encode() not in stored
    assert token not in f"{row.digest}{row}{row!r}"
    assert open_token(row) == token


def test_at_rest_it_belongs_to_its_row_and_provider(provider):
    for sid in "ab":
        sign_in(provider, sid=sid)
    end_and_wait(2)
    one, other = TokenRevocation.objects.all()
    one.token = other.token
    with pytest.raises(TicketUnreadable):
        open_token(one)
    other.issuer = "https://thief.example"
    with pytest.raises(TicketUnreadable):
        open_token(other)


def test_a_token_comes_once(provider):
    tokens = [Tokens(refresh_token="r1", issuer=provider.issuer)] * 2
    hand_over(tokens)
    hand_over(tokens)
    assert TokenRevocation.objects.count() == 1


def test_tokens_for_offline_access_are_kept(provider, configure):
    """OpenID Connect Back-Channel Logout 1.0, 2.7."""
    sign_in(provider, scope="openid offline_access")
    end_and_wait()
    assert not TokenRevocation.objects.exists()
    configure(offline_access=True)
    sign_in(provider, scope="openid offline_access")
    end_and_wait()
    assert TokenRevocation.objects.count() == 1


def test_nothing_is_written_down_without_refresh_token_or_provider(provider):
    start(**provider.sign_in(refresh_token=None))
    start(oidc={"iss": provider.issuer, "sub": "alice", "sid": "s2"})
    start(**provider.sign_in(iss="https://else.example", sid="s3"))
    end_and_wait(3)
    assert not TokenRevocation.objects.exists()


def sign_in_as_lasuite(provider, refresh_token):
    given = provider.sign_in()["oidc"]
    return start(oidc_id_token=given["id_token"], oidc_refresh_token=refresh_token)


def test_refresh_token_of_django_lasuite_is_revoked(provider, settings):
    settings.OIDC_STORE_REFRESH_TOKEN_KEY = key = Fernet.generate_key()
    client = Client()
    client.cookies["sessionid"] = sign_in_as_lasuite(provider, Fernet(key).encrypt(b"r1").decode())
    assert client.post("/bff/logout").status_code == 302
    assert provider.revoked == ["r1"]


def test_unreadable_refresh_token_is_not_sent_and_reported_once(provider, caplog):
    ciphertext = Fernet(Fernet.generate_key()).encrypt(b"r1").decode()
    for _ in range(2):
        sign_in_as_lasuite(provider, ciphertext)
    end_and_wait(2)
    assert not TokenRevocation.objects.exists()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.oidc", logging.ERROR)
    assert provider.issuer in record.getMessage()
    assert ciphertext not in caplog.text


def test_the_issuer_may_be_that_of_the_session(provider):
    data = provider.sign_in()
    del data["oidc"]["iss"]
    start(_bff_identity={"iss": provider.issuer, "sub": "alice", "sid": None}, **data)
    end_and_wait()
    assert TokenRevocation.objects.get().issuer == provider.issuer


@pytest.mark.parametrize("change", [{"TOKEN_REVOCATION": None}, {"PROVIDERS": {}}])
def test_it_can_be_switched_off(provider, configure, change, django_assert_num_queries):
    configure(others=change)
    sign_in(provider)
    with django_assert_num_queries(0):
        hand_over([Tokens(refresh_token="r1", issuer=provider.issuer)])
    end_and_wait()
    assert not TokenRevocation.objects.exists()


def test_what_is_rolled_back_is_not_sent(provider):
    sign_in(provider)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        revoke_sessions(ALICES)
        raise ZeroDivisionError
    request_finished.send(sender=None)
    assert provider.requests == []
    assert not TokenRevocation.objects.exists()
    assert len(get_store().get_user_sessions(ALICES)) == 1


def test_what_is_committed_is_sent(provider):
    token = sign_in(provider)
    with transaction.atomic():
        revoke_sessions(ALICES)
        assert not outbox._pending
    request_finished.send(sender=None)
    assert provider.revoked == [token]


@pytest.mark.django_db
def test_inside_a_test_case_of_django_it_works(
    settings, monkeypatch, django_capture_on_commit_callbacks
):
    settings.ROOT_URLCONF = __name__
    with serve(monkeypatch) as provider:
        settings.BFF_SESSIONS = provider.settings
        token = sign_in(provider)
        with django_capture_on_commit_callbacks(execute=True):
            revoke_sessions(ALICES)
        # It lives in a transaction, which a request must not end.
        Client().get("/end")
        assert provider.revoked == [token]
        assert not TokenRevocation.objects.exists()


# Whatever goes wrong, the session has ended


def tell_nothing(data, new=None):
    raise LookupError(str(data))


FAULTS = {
    "error": lambda provider: provider.answers.update({"/revocation": (500, {}, "")}),
    "refusal": lambda provider: provider.answers.update({"/revocation": (400, {}, {})}),
    "unreachable": lambda provider: setattr(provider, "delay", 0.5),
    "no discovery": lambda provider: provider.answers.update(
        {"/.well-known/openid-configuration": (404, {}, "")}
    ),
    "no endpoint": lambda provider: provider.configuration.pop("revocation_endpoint"),
}


@pytest.mark.parametrize("url", ["/end", "/aend"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_provider_keeps_a_session_alive(provider, monkeypatch, fault, url, caplog):
    token = sign_in(provider)
    if fault == "unreachable":
        from bff_sessions.oidc.transport import http

        monkeypatch.setattr(http, "TIMEOUT", 0.1)
        monkeypatch.setattr(
            "bff_sessions.oidc.providers.provider.post_form",
            lambda *a, **k: http.post_form(*a, **k | {"timeout": 0.1}),
        )
    FAULTS[fault](provider)
    client = Client() if url == "/end" else None
    response = client.get(url) if client else async_to_sync(AsyncClient().get)(url)
    assert (response.status_code, response.content) == (200, b"1")
    assert not Session.objects.exists()
    assert TokenRevocation.objects.count() == (0 if fault == "no endpoint" else 1)
    assert token not in caplog.text


def unreadable_ticket(settings, monkeypatch):
    Session.objects.update(ticket=b"nothing")


def broken_function(settings, monkeypatch):
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "TOKENS": f"{__name__}.tell_nothing"}


def wrong_options(settings, monkeypatch):
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "TOKEN_REVOCATION": {"NOPE": 1}}


def no_extra(settings, monkeypatch):
    for name in ("bff_sessions.oidc.token_revocation.sending", "bff_sessions.oidc.providers"):
        monkeypatch.setitem(sys.modules, name, None)


def no_table(settings, monkeypatch):
    monkeypatch.setattr(TokenRevocation._meta, "db_table", "not_there")


@pytest.mark.parametrize(
    "fault", [unreadable_ticket, broken_function, wrong_options, no_table, no_extra]
)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_no_fault_of_ours_keeps_a_session_alive(
    provider, settings, monkeypatch, caplog, fault, in_transaction
):
    token = sign_in(provider)
    with monkeypatch.context() as patch:
        fault(settings, patch)
        if in_transaction:
            with transaction.atomic():
                assert revoke_sessions(ALICES) == 1
                # What the caller does next is not spoilt: on PostgreSQL an error would.
                assert not Session.objects.exists()
        else:
            assert revoke_sessions(ALICES) == 1
        request_finished.send(sender=None)
    assert not Session.objects.exists()
    assert [record.name for record in caplog.records] == ["bff_sessions.oidc"]
    assert token not in caplog.text
    assert provider.revoked == []


def test_one_unreadable_ticket_does_not_hide_the_others(provider):
    for sid in "ab":
        sign_in(provider, sid=sid)
    Session.objects.filter(session_id="a").update(ticket=b"nothing")
    end_and_wait(2)
    assert TokenRevocation.objects.count() == 1


@pytest.mark.parametrize("in_transaction", [False, True])
def test_failed_query_for_tokens_keeps_no_session_alive(provider, settings, caplog, in_transaction):
    settings.BFF_SESSIONS = {
        **settings.BFF_SESSIONS,
        "TOKENS": f"{__name__}.read_no_table",
    }
    start(**provider.sign_in())
    caplog.clear()
    if in_transaction:
        with transaction.atomic():
            assert revoke_sessions(ALICES) == 1
            assert not Session.objects.exists()
    else:
        assert revoke_sessions(ALICES) == 1
    assert not Session.objects.exists()
    assert {record.name for record in caplog.records} == {"bff_sessions.oidc"}


def read_no_table(data, new=None):
    """Tokens that live in a table of the project's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM not_there")


def test_error_says_how_many_tokens_were_lost(provider, monkeypatch, caplog):
    for sid in "ab":
        sign_in(provider, sid=sid)
    with monkeypatch.context() as patch:
        no_table(None, patch)
        assert revoke_sessions(ALICES) == 2
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "(2)" in record.getMessage()


# Delete and token together


REVOKE = pytest.mark.parametrize(
    "revoke", [revoke_sessions, async_to_sync(arevoke_sessions)], ids=["sync", "async"]
)


def test_client_that_hangs_up_loses_no_token(provider, monkeypatch):
    sign_in(provider)
    deleting, cancelled = threading.Event(), threading.Event()
    delete = OrmUserSessionStore.delete_user_sessions

    def wait_and_delete(*args, **kwargs):
        deleting.set()
        assert cancelled.wait(60)
        return delete(*args, **kwargs)

    async def hang_up():
        task = asyncio.ensure_future(arevoke_sessions(ALICES))
        assert await asyncio.to_thread(deleting.wait, 60)
        task.cancel()
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await sync_to_async(len)("")  # In the same thread, and so after the delete.

    monkeypatch.setattr(OrmUserSessionStore, "delete_user_sessions", wait_and_delete)
    async_to_sync(hang_up)()
    assert not Session.objects.exists()
    assert TokenRevocation.objects.count() == 1


DYING = """
import json, os, signal, sys
from django.conf import settings
settings.BFF_SESSIONS = json.loads(sys.stdin.readline())
import django; django.setup()
from bff_sessions import revocation
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.signals import sessions_ended
from bff_sessions.oidc.models import TokenRevocationQuerySet
add = TokenRevocationQuerySet.add
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
def add_and_die(*args):
    add(*args)
    die()
if sys.argv[1] == "before":
    TokenRevocationQuerySet.add = add_and_die
else:
    sessions_ended.has_listeners = die
print("ready", flush=True); sys.stdin.readline()
revocation.revoke_sessions(UserSessionsFilter(subject_id="alice"))
"""


@pytest.mark.processes
@pytest.mark.parametrize(("when", "ended"), [("before", 0), ("after", 1)])
def test_killed_process_loses_no_token(provider, settings, when, ended):
    sign_in(provider)
    with processes("tests.settings") as start_process:
        process = start_process(DYING, json.dumps(settings.BFF_SESSIONS), when)
        go(process)
        assert process.wait(60) == -signal.SIGKILL
    assert Session.objects.count() == 1 - ended
    assert TokenRevocation.objects.count() == ended


@REVOKE
def test_batch_that_fails_loses_no_token_of_those_before(provider, monkeypatch, revoke):
    for sid in "abc":
        sign_in(provider, sid=sid)
    deletes = []
    # MariaDB and MySQL delete row by row.
    in_first_batch = 2 if connection.vendor == "mysql" else 1

    def fail_the_second(execute, sql, *args):
        if sql.startswith("DELETE"):
            deletes.append(sql)
            if len(deletes) > in_first_batch:
                raise RuntimeError
        return execute(sql, *args)

    monkeypatch.setattr("bff_sessions.stores.orm.deletes._BATCH", 2)
    with connection.execute_wrapper(fail_the_second), pytest.raises(RuntimeError):
        revoke(ALICES)
    assert Session.objects.count() == 1
    assert TokenRevocation.objects.count() == 2


@pytest.mark.parametrize(
    "revoke", [revoke_session, async_to_sync(arevoke_session)], ids=["sync", "async"]
)
@pytest.mark.parametrize("store", [None, MEMORY, CACHED])
def test_session_refreshed_just_before_its_end_hands_over_the_new_token(
    provider, configure, monkeypatch, revoke, store
):
    if store is not None:
        configure(others={"STORE": store})
    key = start(**provider.sign_in())
    store, rotated = get_store(), []
    read = store.get_user_session

    def read_and_rotate(which):
        session = read(which)
        if not rotated:
            rotated.append(which)
            other = SessionStore(key)
            other["oidc"] = {**other["oidc"], "refresh_token": "rotated"}
            other.save()
        return session

    monkeypatch.setattr(store, "get_user_session", read_and_rotate)
    assert revoke(SessionStore(key).store_key)
    assert [open_token(row) for row in TokenRevocation.objects.all()] == ["rotated"]


def test_expired_session_that_is_revoked_by_its_key_hands_its_token_over(provider):
    token = sign_in(provider)
    (session,) = get_store().get_user_sessions(ALICES)
    Session.objects.update(expires=datetime.now(UTC) - timedelta(hours=1))
    assert revoke_session(session.key)
    assert [open_token(row) for row in TokenRevocation.objects.all()] == [token]


@REVOKE
def test_transaction_lost_with_the_token_ends_no_session(provider, monkeypatch, caplog, revoke):
    """MySQL and MariaDB roll back the whole transaction after a deadlock."""
    sign_in(provider)

    def be_rolled_back(self, rows):
        with connections[self.db].cursor() as cursor:
            cursor.execute("ROLLBACK")
        raise OperationalError("deadlock")

    with monkeypatch.context() as patch:
        patch.setattr(TokenRevocationQuerySet, "add", be_rolled_back)
        with pytest.raises(OperationalError, match="deadlock"):
            revoke(ALICES)
    assert Session.objects.count() == 1
    assert "lost" not in caplog.text
    assert revoke(ALICES) == 1
    assert TokenRevocation.objects.count() == 1


@REVOKE
def test_token_is_handed_over_though_the_signal_is_not_sent(provider, monkeypatch, revoke):
    def fail(*args, **kwargs):
        raise SystemExit

    sign_in(provider)
    monkeypatch.setattr(sessions_ended, "has_listeners", fail)
    with pytest.raises(SystemExit):
        revoke(ALICES)
    assert TokenRevocation.objects.count() == 1


class TokensElsewhere:
    """A router that sends tokens to another database."""

    def db_for_write(self, model, **hints):
        return "elsewhere" if model is TokenRevocation else None

    db_for_read = db_for_write


@pytest.fixture
def elsewhere(provider, settings):
    """Another database for tokens: in truth another connection to that of the tests."""
    connections.settings["elsewhere"] = {**connection.settings_dict}
    connections["elsewhere"].connect()  # Django's tests refuse to do so at the first statement.
    settings.DATABASE_ROUTERS = [f"{__name__}.TokensElsewhere"]
    yield "elsewhere"
    connections["elsewhere"].close()
    del connections["elsewhere"]
    del connections.settings["elsewhere"]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="Two connections would lock each other")
@REVOKE
def test_token_in_another_database_is_written_before_the_delete(elsewhere, provider, revoke):
    def die(execute, sql, *args):
        if sql.startswith("DELETE"):
            raise SystemExit
        return execute(sql, *args)

    token = sign_in(provider)
    with connection.execute_wrapper(die), pytest.raises(SystemExit):
        revoke(ALICES)
    assert Session.objects.count() == 1
    assert revoke(ALICES) == 1
    (row,) = TokenRevocation.objects.using(elsewhere)
    assert open_token(row) == token


@pytest.mark.skipif(connection.vendor == "sqlite", reason="Two connections would lock each other")
def test_fault_of_another_database_keeps_no_session_alive(elsewhere, provider, monkeypatch, caplog):
    sign_in(provider)
    with monkeypatch.context() as patch:
        no_table(None, patch)
        with transaction.atomic():
            assert revoke_sessions(ALICES) == 1
            assert not Session.objects.exists()
    assert not Session.objects.exists()
    assert "lost before they were revoked (1)" in caplog.text


@pytest.mark.parametrize("change", [{}, {"STORE": MEMORY}, {"TOKEN_REVOCATION": None}])
def test_tokens_in_another_database_are_warned_of(provider, configure, settings, change):
    def found():
        return [message for message in run_checks() if message.id == "bff_sessions.W047"]

    configure(others=change)
    assert found() == []
    settings.DATABASE_ROUTERS = [f"{__name__}.TokensElsewhere"]
    if change:
        assert found() == []
        return
    (message,) = found()
    assert "'elsewhere'" in message.msg
    assert "DATABASE_ROUTERS" in message.hint


@pytest.mark.parametrize("cause", [*map(Cause, EndReason), EXPIRED])
@pytest.mark.parametrize("change", [{"TOKEN_REVOCATION": None}, {"PROVIDERS": {}}])
def test_delete_is_one_statement_where_no_token_is_revoked(
    provider, configure, change, cause, django_assert_num_queries
):
    configure(others=change)
    sign_in(provider)
    (session,) = get_store().get_user_sessions(ALICES)
    with django_assert_num_queries(1):
        get_store().delete_user_session(session.key, on_ending=hook_for(cause))


# Clean-up


def test_clean_up_that_is_interrupted_loses_no_token(provider, configure):
    def die(deleted):
        raise SystemExit

    configure(expired_sessions=True)
    sign_in(provider)
    Session.objects.update(expires=datetime.now(UTC) - timedelta(hours=1))
    hook = hook_for(EXPIRED)

    def write_and_die(batch):
        hook(batch)
        raise SystemExit

    with pytest.raises(SystemExit):
        get_store().delete_expired_sessions(on_ending=write_and_die)
    assert (Session.objects.count(), TokenRevocation.objects.count()) == (1, 0)
    with pytest.raises(SystemExit):
        get_store().delete_expired_sessions(on_ending=hook, on_deleted=die)
    assert (Session.objects.count(), TokenRevocation.objects.count()) == (0, 1)


@pytest.mark.parametrize("how", ["cleanup_sessions", "clearsessions", "async"])
@pytest.mark.parametrize("wanted", [False, True])
def test_expired_sessions_hand_their_tokens_over_if_so_configured(
    provider, configure, settings, how, wanted
):
    if wanted:
        configure(expired_sessions=True)
    token = sign_in(provider)
    Session.objects.update(expires=datetime.now(UTC) - timedelta(hours=1))
    if how == "async":
        async_to_sync(SessionStore.aclear_expired)()
    else:
        call_command(clearsessions.Command() if how == "clearsessions" else how, verbosity=0)
    assert not Session.objects.exists()
    assert not outbox._pending
    assert command() == f"{int(wanted)} refresh token{'' if wanted else 's'} revoked.\n"
    assert provider.revoked == [token] * wanted


# Again and again


@pytest.mark.parametrize(
    ("attempts", "at_least", "at_most"),
    [(0, 30, 60), (1, 60, 120), (3, 240, 480), (60, 1800, 3600)],
)
def test_it_is_put_off_for_longer_each_time(provider, attempts, at_least, at_most):
    sign_in(provider)
    end_and_wait()
    TokenRevocation.objects.update(attempts=attempts)
    provider.answers["/revocation"] = 503, {}, ""
    assert command() == "0 refresh tokens revoked, 1 put off.\n"
    row = TokenRevocation.objects.get()
    assert at_least - 5 <= (row.due - datetime.now(UTC)).total_seconds() <= at_most
    assert row.attempts == attempts + 1
    # Not due: not sent.
    assert command() == "0 refresh tokens revoked.\n"
    provider.answers.clear()
    make_due()
    assert command() == "1 refresh token revoked.\n"


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        ("7000", 7000),
        ("date", 7000),
        ("1", None),
        ("99999999999", 24 * 60 * 60),
        ("9" * 400, 24 * 60 * 60),
        ("soon", None),
        ("Sun, 99 Nov 9999 99:99:99 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [503, 429, 400])
def test_the_provider_may_say_when(provider, status, retry_after, expected):
    sign_in(provider)
    end_and_wait()
    if retry_after == "date":
        moment = datetime.now(UTC) + timedelta(seconds=7000)
        retry_after = format_datetime(moment, usegmt=True)
    provider.answers["/revocation"] = status, {"Retry-After": retry_after}, ""
    command()
    pause = (TokenRevocation.objects.get().due - datetime.now(UTC)).total_seconds()
    if expected is None:
        assert 25 <= pause <= 60
    else:
        assert expected - 5 <= pause <= expected


@pytest.mark.parametrize(
    "answer", [(201, {}, ""), (302, {"Location": "/token"}, ""), (401, {}, {})]
)
def test_only_200_is_a_promise(provider, answer, caplog):
    sign_in(provider)
    end_and_wait()
    provider.answers["/revocation"] = answer
    assert "1 put off" in command()
    assert provider.issuer in caplog.text


def test_an_old_one_is_given_up(provider, configure, caplog):
    configure(give_up_after=timedelta(hours=1))
    token = sign_in(provider)
    end_and_wait()
    provider.answers["/revocation"] = 500, {}, ""
    TokenRevocation.objects.update(created=datetime.now(UTC) - timedelta(minutes=59), attempts=9)
    assert "1 put off" in command()
    caplog.clear()
    TokenRevocation.objects.update(created=datetime.now(UTC) - timedelta(minutes=61))
    make_due()
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 refresh token given up"):
        call_command("revoke_tokens", stdout=out)
    assert out.getvalue() == "0 refresh tokens revoked, 1 given up.\n"
    assert not TokenRevocation.objects.exists()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "ERROR",
            f"Refresh tokens that {provider.issuer} did not revoke are given up (1). The "
            f"revocation_endpoint of {provider.issuer} cannot be used. The provider answered with "
            "status 500.",
        )
    ]
    assert token not in caplog.text


@pytest.mark.parametrize(
    ("give_up_after", "attempts"),
    [
        (timedelta(seconds=1), 1),
        (timedelta(seconds=60), 2),
        (timedelta(hours=1), 6),
        (timedelta(days=3), 10),
        (timedelta(days=30), 10),
    ],
)
def test_token_that_was_sent_late_gets_a_fair_number_of_attempts(
    provider, configure, give_up_after, attempts
):
    configure(give_up_after=give_up_after)
    sign_in(provider)
    end_and_wait()
    TokenRevocation.objects.update(created=datetime.now(UTC) - timedelta(days=60))
    provider.answers["/revocation"] = 503, {}, ""
    for _ in range(attempts - 1):
        assert send(TokenRevocation.objects.current()) == {Outcome.PUT_OFF: 1}
        make_due()
    assert send(TokenRevocation.objects.current()) == {Outcome.GIVEN_UP: 1}
    assert not TokenRevocation.objects.exists()


def test_an_old_one_is_tried_once_more(provider):
    token = sign_in(provider)
    end_and_wait()
    TokenRevocation.objects.update(created=datetime.now(UTC) - timedelta(days=30))
    assert command() == "1 refresh token revoked.\n"
    assert provider.revoked == [token]


def test_without_a_revocation_endpoint_there_is_nothing_to_do(provider):
    sign_in(provider)
    end_and_wait()
    del provider.configuration["revocation_endpoint"]
    assert command() == "0 refresh tokens revoked, 1 without a revocation endpoint.\n"
    assert not TokenRevocation.objects.exists()


def test_none_for_revocation_endpoint_leaves_nothing_to_do(provider, settings, caplog):
    sign_in(provider)
    end_and_wait()
    options = {**provider.options, "REVOCATION_ENDPOINT": None}
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: options}}
    assert command() == "0 refresh tokens revoked, 1 without a revocation endpoint.\n"
    assert not TokenRevocation.objects.exists()
    assert provider.requests == []
    assert caplog.records == []


def test_provider_without_metadata_leaves_nothing_to_do(provider, settings, caplog):
    for sid in ("phone", "laptop"):
        sign_in(provider, sid=sid)
    end_and_wait(2)
    provider.answers["/.well-known/openid-configuration"] = 404, {}, ""
    options = {**provider.options, "TOKEN_ENDPOINT": f"{provider.issuer}/token"}
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: options}}
    assert command() == "0 refresh tokens revoked, 2 without a revocation endpoint.\n"
    assert not TokenRevocation.objects.exists()
    assert len(provider.requests) == 1
    assert caplog.records == []


def test_a_configured_endpoint_needs_no_discovery(provider, settings):
    sign_in(provider)
    end_and_wait()
    settings.BFF_SESSIONS = {
        "PROVIDERS": {
            provider.issuer: {
                **provider.options,
                "REVOCATION_ENDPOINT": f"{provider.issuer}/revocation",
            }
        }
    }
    command()
    assert paths(provider) == ["/revocation"]


@pytest.mark.parametrize("fault", ["provider", "key", "surprise"])
def test_what_cannot_be_sent_from_here_waits(provider, settings, monkeypatch, fault):
    """Another host may be able to."""
    sign_in(provider)
    end_and_wait()
    with monkeypatch.context() as patch:
        if fault == "provider":
            settings.BFF_SESSIONS = {}
        elif fault == "key":
            settings.SECRET_KEY = "another one that opens nothing of what the other one made"
        else:
            patch.setattr(sending, "open_token", lambda row: 1 / 0)
        assert "1 put off" in command()
    assert provider.revoked == []
    assert TokenRevocation.objects.count() == 1


def test_a_provider_that_is_down_is_asked_once(provider):
    for sid in "abc":
        sign_in(provider, sid=sid)
    end_and_wait(3)
    provider.answers["/revocation"] = 500, {}, ""
    assert command() == "0 refresh tokens revoked, 3 put off.\n"
    assert paths(provider).count("/revocation") == 1


def test_outage_of_a_provider_is_one_warning_of_a_run(provider, caplog, monkeypatch):
    failed, real = [], sending._Sender._fail

    def fail(sender, row, failure):
        failed.append(failure)
        return real(sender, row, failure)

    monkeypatch.setattr(sending._Sender, "_fail", fail)
    hand_over([Tokens(refresh_token=f"r{n}", issuer=provider.issuer) for n in range(250)])
    outbox._pending.clear()
    provider.answers["/revocation"] = 503, {"Retry-After": "7000"}, ""
    assert command() == "0 refresh tokens revoked, 250 put off.\n"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            f"Refresh tokens that {provider.issuer} has not revoked yet: 250. The "
            f"revocation_endpoint of {provider.issuer} cannot be used. The provider answered with "
            "status 503.",
        )
    ]
    # An error that is raised again for each token would grow.
    assert len(failed) == 250
    assert not any(isinstance(each, BaseException) for each in failed)
    assert {(each.reason, each.retry_after) for each in failed} == {(failed[0].reason, 7000)}


def test_tokens_given_up_in_one_run_are_one_error(provider, caplog):
    hand_over([Tokens(refresh_token=f"r{n}", issuer=provider.issuer) for n in range(20)])
    outbox._pending.clear()
    TokenRevocation.objects.update(created=datetime.now(UTC) - timedelta(days=4), attempts=50)
    provider.answers["/revocation"] = 503, {}, ""
    assert send(TokenRevocation.objects.current()) == {Outcome.GIVEN_UP: 20}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(
        f"Refresh tokens that {provider.issuer} did not revoke are given up (20). "
    )


def test_run_that_breaks_off_reports_what_it_has_done(provider, caplog, monkeypatch):
    hand_over([Tokens(refresh_token=f"r{n}", issuer=provider.issuer) for n in range(3)])
    outbox._pending.clear()
    provider.answers["/revocation"] = 503, {}, ""
    sent = iter([False, False])
    with pytest.raises(StopIteration):
        send(TokenRevocation.objects.current(), should_stop=lambda: next(sent))
    (record,) = caplog.records
    assert "has not revoked yet: 2. " in record.getMessage()


@pytest.mark.parametrize(
    ("status", "code", "is_done"),
    [
        # RFC 7009, 2.2: an invalid token needs no revocation.
        (400, "invalid_grant", True),
        (400, "token_inactive", True),
        (400, "invalid_token", True),
        # RFC 6750, 3.1: what authenticates this site is invalid.
        (401, "invalid_token", False),
        (503, "invalid_grant", False),
        (400, "invalid_request", False),
    ],
)
def test_token_that_is_no_longer_valid_needs_no_revocation(provider, caplog, status, code, is_done):
    for sid in "ab":
        sign_in(provider, sid=sid)
    end_and_wait(2)
    provider.answers["/revocation"] = status, {}, {"error": code}
    expected = "2 no longer valid" if is_done else "2 put off"
    assert command() == f"0 refresh tokens revoked, {expected}.\n"
    assert TokenRevocation.objects.exists() != is_done
    assert len(caplog.records) == (0 if is_done else 1)


def test_one_that_is_refused_does_not_stop_the_others(provider):
    for sid in "abc":
        sign_in(provider, sid=sid)
    end_and_wait(3)

    def refuse_the_first(form):
        provider.answers["/revocation"] = 400, {}, {"error": "invalid_request"}
        provider.before["/revocation"] = lambda form: provider.answers.clear()

    provider.before["/revocation"] = refuse_the_first
    assert command() == "2 refresh tokens revoked, 1 put off.\n"


CLIENT_FAULTS = [
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
]


@pytest.mark.parametrize("code", CLIENT_FAULTS)
def test_misconfigured_client_is_an_error_and_retried(provider, caplog, code):
    tokens = [sign_in(provider, sid=sid) for sid in "ab"]
    end_and_wait(2)
    provider.answers["/revocation"] = 401, {}, {"error": code}
    assert command() == "0 refresh tokens revoked, 2 put off.\n"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert provider.issuer in record.getMessage()
    assert code in record.getMessage()
    # A client that fails too often may be locked out.
    assert paths(provider).count("/revocation") == 1
    provider.answers.clear()
    make_due()
    assert command() == "2 refresh tokens revoked.\n"
    assert sorted(provider.revoked) == sorted(tokens)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_unsupported_token_type_is_final_and_reported_once(provider, caplog, status):
    for sid in "ab":
        sign_in(provider, sid=sid)
    end_and_wait(2)
    provider.answers["/revocation"] = status, {}, {"error": "unsupported_token_type"}
    assert command() == (
        "0 refresh tokens revoked, 2 of a type that the provider does not revoke.\n"
    )
    assert not TokenRevocation.objects.exists()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert provider.issuer in record.getMessage()


WAITS = [
    (503, {"error": "unsupported_token_type"}),
    (408, {}),
    (425, {}),
    (429, {"error": "invalid_client"}),
    (400, {"error": "temporarily_unavailable"}),
    (403, {"error": "slow_down"}),
]


@pytest.mark.parametrize(("status", "body"), WAITS)
def test_busy_provider_is_asked_once_and_later(provider, caplog, status, body):
    for sid in "ab":
        sign_in(provider, sid=sid)
    end_and_wait(2)
    provider.answers["/revocation"] = status, {"Retry-After": "7000"}, body
    assert command() == "0 refresh tokens revoked, 2 put off.\n"
    assert paths(provider).count("/revocation") == 1
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    for row in TokenRevocation.objects.all():
        assert 6990 <= (row.due - datetime.now(UTC)).total_seconds() <= 7000


def test_unknown_error_code_is_not_logged(provider, caplog):
    caplog.set_level(logging.DEBUG)
    sign_in(provider)
    end_and_wait()
    provider.answers["/revocation"] = 400, {}, {"error": "secret-7"}
    assert "1 put off" in command()
    assert "secret-7" not in caplog.text


# Each of them once


def test_who_comes_second_leaves_it_alone(provider):
    sign_in(provider)
    end_and_wait()
    rows = TokenRevocation.objects.current()
    one, two = rows.get(), rows.get()
    assert rows.claim(one, timedelta(seconds=60))
    assert not rows.claim(two, timedelta(seconds=60))
    assert send(rows) == {}
    # Its holder died.
    make_due()
    assert send(rows) == {Outcome.REVOKED: 1}


def test_who_lost_the_lease_does_not_put_off_what_another_has(provider):
    sign_in(provider)
    end_and_wait()
    rows = TokenRevocation.objects.current()
    slow, late = rows.get(), rows.get()
    assert rows.claim(slow, timedelta(0))
    assert not rows.claim(late, timedelta(seconds=60))
    other = rows.get()
    assert rows.claim(other, timedelta(seconds=60))
    assert rows.put_off(slow, datetime.now(UTC)) is False
    assert rows.get().due > datetime.now(UTC)
    assert rows.put_off(other, datetime.now(UTC)) is True


def test_what_another_has_taken_meanwhile_is_skipped(provider):
    for sid in "ab":
        sign_in(provider, sid=sid)
    end_and_wait(2)
    other = []

    def send_too(form):
        provider.before.clear()

        def run():
            other.append(send(TokenRevocation.objects.current()))
            connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    provider.before["/revocation"] = send_too
    outcomes = send(TokenRevocation.objects.current())
    assert other == [{Outcome.REVOKED: 1}]
    assert outcomes == {Outcome.REVOKED: 1, Outcome.TAKEN: 1}
    assert len(provider.revoked) == 2


PROCESS = """
import json, sys
from django.conf import settings
settings.BFF_SESSIONS = json.loads(sys.stdin.readline())
import django; django.setup()
from django.core.management import call_command
print("ready", flush=True); sys.stdin.readline()
call_command("revoke_tokens")
"""


@pytest.fixture
def process(provider, settings):
    with processes("tests.settings") as start_process:
        yield lambda: start_process(PROCESS, json.dumps(settings.BFF_SESSIONS))


@pytest.mark.processes
def test_two_commands_at_once_send_each_token_once(provider, process):
    tokens = [f"refresh-{number}" for number in range(40)]
    hand_over([Tokens(refresh_token=token, issuer=provider.issuer) for token in tokens])
    outbox._pending.clear()
    provider.delay = 0.02
    started = [process() for _ in range(2)]
    go(*started)
    outputs = [each.communicate(timeout=100)[0] for each in started]
    assert sorted(provider.revoked) == sorted(tokens)
    assert sum(int(output.split()[0]) for output in outputs) == 40
    assert not TokenRevocation.objects.exists()


@pytest.mark.processes
def test_sigterm_ends_it_after_the_token_at_hand(provider, process):
    hand_over([Tokens(refresh_token=f"r{n}", issuer=provider.issuer) for n in range(20)])
    outbox._pending.clear()
    asked = threading.Event()
    provider.before["/revocation"] = lambda form: (asked.set(), time.sleep(0.5))
    running = process()
    go(running)
    assert asked.wait(60)
    running.send_signal(signal.SIGTERM)
    output = running.communicate(timeout=60)[0]
    assert output.endswith("revoked. Stopped by a signal.\n")
    assert running.returncode == 0
    sent = int(output.split()[0])
    assert 1 <= sent == len(provider.revoked) < 20
    assert TokenRevocation.objects.count() == 20 - sent


def test_a_signal_while_a_provider_is_waited_for_loses_nothing(provider):
    hand_over([Tokens(refresh_token=f"r{n}", issuer=provider.issuer) for n in range(3)])
    provider.before["/revocation"] = lambda form: os.kill(os.getpid(), signal.SIGTERM)
    provider.delay = 0.2
    assert command() == "1 refresh token revoked. Stopped by a signal.\n"
    assert TokenRevocation.objects.count() == 2


# The command


def test_a_dry_run_sends_nothing(provider):
    for sid in "ab":
        sign_in(provider, sid=sid)
    end_and_wait(2)
    assert command(dry_run=True) == "2 refresh tokens would be sent.\n"
    assert command(dry_run=True, verbosity=0) == ""
    assert provider.requests == []


def test_the_time_can_be_bounded(provider):
    sign_in(provider)
    end_and_wait()
    assert command(max_seconds=0) == (
        "0 refresh tokens revoked. Stopped by --max-seconds, 1 left.\n"
    )
    assert command(max_seconds=60) == "1 refresh token revoked.\n"


def test_nothing_is_said_if_so_wanted(provider):
    sign_in(provider)
    end_and_wait()
    assert command(verbosity=0) == ""
    assert len(provider.revoked) == 1


def test_it_says_what_is_missing(provider, settings, monkeypatch):
    settings.BFF_SESSIONS = {"PROVIDERS": {"https://idp.example": {}}}
    with pytest.raises(CommandError, match="CLIENT_ID"):
        command()
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match="oidc"):
        command()


def test_a_fault_of_the_database_is_not_hidden(provider, monkeypatch):
    sign_in(provider)
    end_and_wait()

    def fail(*args):
        raise DatabaseError("gone")

    monkeypatch.setattr("bff_sessions.oidc.models.TokenRevocationQuerySet.claim", fail)
    with pytest.raises(DatabaseError):
        command()


def test_what_a_deleted_session_holds_is_handed_over_by_whoever_deletes_it(provider):
    token = sign_in(provider)
    (session,) = get_store().get_user_sessions(ALICES)
    get_store().delete_user_session(session.key)
    hand_over([DeletedSession.of(session)])
    request_finished.send(sender=None)
    assert provider.revoked == [token]
