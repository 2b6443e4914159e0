"""Processes that revoke sessions in Redis, and are killed: no refresh token is forgotten."""

import json
import os
import random
import signal
import time
from contextlib import suppress
from unittest import mock

import pytest
from django.core.management import call_command

from bff_sessions.contract import EndReason
from bff_sessions.events import Cause, hook_for
from bff_sessions.models import TokenRevocation
from bff_sessions.oidc.token_revocation.sealing import seal_token
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.testing.factories import SessionFactory
from tests.support.processes import processes

pytestmark = pytest.mark.processes
pytest.importorskip("redis")

KILLS, SESSIONS = 50, 20
STORE = "bff_sessions.stores.redis.RedisUserSessionStore"
ISSUER = "https://idp.example"

# A fork begins at once, as it has imported everything.
REVOKER = """
import json, os, sys
import django; django.setup()
from django.conf import settings
settings.BFF_SESSIONS = json.loads(sys.stdin.readline())
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.oidc.token_revocation import outbox
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.testing.factories import SessionFactory
from bff_sessions.stores.redis import connecting
get_store()
print("ready", flush=True)
while subject := sys.stdin.readline().strip():
    child = os.fork()
    if child == 0:
        revoke_sessions(UserSessionsFilter(subject_id=subject))
        os._exit(0)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


def sign_in(subject, number):
    """Create a session with a refresh token. Return it, and the digest of its token."""
    token = f"refresh-{subject}-{number}"
    session = SessionFactory(
        subject_id=subject,
        issuer=ISSUER,
        data={"oidc": {"iss": ISSUER, "sub": subject, "refresh_token": token}},
    )
    return session, seal_token(ISSUER, token)[0]


def revoke(process, subject, *, kill_after=None):
    """Let the process revoke sessions. Return the seconds, and whether it ended by itself."""
    process.stdin.write(f"{subject}\n")
    process.stdin.flush()
    child, started = int(process.stdout.readline()), time.perf_counter()
    if kill_after is not None:
        time.sleep(kill_after)
        with suppress(ProcessLookupError):  # It has ended.
            os.kill(child, signal.SIGKILL)
    status = int(process.stdout.readline())
    return time.perf_counter() - started, status == 0


@pytest.mark.django_db(transaction=True)
def test_killed_revocation_forgets_no_refresh_token(redis_server, settings):
    settings.BFF_SESSIONS = {
        "STORE": STORE,
        "REDIS": {"URL": redis_server.url},
        "PROVIDERS": {ISSUER: {"CLIENT_ID": "shop"}},
        "TOKEN_REVOCATION": {},
    }
    signed_in, killed = [], 0
    with processes("tests.settings") as start_process:
        process = start_process(REVOKER, json.dumps(settings.BFF_SESSIONS))
        durations = []
        for number in range(3 + KILLS):
            subject = f"subject-{number}"
            signed_in += [sign_in(subject, each) for each in range(SESSIONS)]
            if number < 3:
                seconds, has_ended = revoke(process, subject)
                assert has_ended
                durations.append(seconds)
            else:
                kill_after = random.uniform(0, max(durations))
                _, has_ended = revoke(process, subject, kill_after=kill_after)
                killed += not has_ended
    store = get_store()
    known = set(TokenRevocation.objects.values_list("digest", flat=True))
    with mock.patch("bff_sessions.stores.redis.maintenance._INTERRUPTED", -1):
        finished = len(store.finish_deletes(hook_for(Cause(EndReason.OPERATOR))))
        assert store.finish_deletes(hook_for(Cause(EndReason.OPERATOR))) == []
    written = set(TokenRevocation.objects.values_list("digest", flat=True))
    live = {digest for one, digest in signed_in if store.get_user_session(one.key) is not None}
    ended = {digest for _, digest in signed_in} - live
    print(
        f"{killed} of {KILLS} revocations killed; of {len(signed_in)} sessions {len(ended)} ended, "
        f"{finished} of them by finish_deletes(), which wrote {len(written - known)} tokens; "
        f"{len(ended - written)} tokens forgotten"
    )
    assert ended - written == set()
    assert live & written == set()
    assert killed > KILLS / 5


# Dies after the sessions are closed, and before they are deleted.
SUICIDE = """
import json, os, signal, sys
import django; django.setup()
from django.conf import settings
settings.BFF_SESSIONS = json.loads(sys.stdin.readline())
from bff_sessions import events
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.revocation import revoke_sessions
from bff_sessions.signals import sessions_ended
sessions_ended.connect(lambda **kwargs: print("announced"), weak=False)
print("ready", flush=True)
events.subscribe(lambda reason: lambda ended: os.kill(os.getpid(), signal.SIGKILL))
revoke_sessions(UserSessionsFilter(subject_id="alice"))
"""


@pytest.mark.django_db(transaction=True)
def test_clean_up_announces_what_a_killed_revocation_has_ended_once(redis_server, settings):
    settings.BFF_SESSIONS = {"STORE": STORE, "REDIS": {"URL": redis_server.url}}
    sessions = [SessionFactory(subject_id="alice") for _ in range(3)]
    other = SessionFactory(subject_id="bob")
    with processes("tests.settings") as start_process:
        process = start_process(SUICIDE, json.dumps(settings.BFF_SESSIONS))
        assert process.wait() == -signal.SIGKILL
        assert process.stdout.read() == ""
    store = get_store()
    assert [store.get_user_session(one.key) for one in sessions] == [None] * 3
    heard = []

    def receiver(sessions, reason, **kwargs):
        heard.extend((session.sign_in_id, reason) for session in sessions)

    sessions_ended.connect(receiver)
    try:
        call_command("cleanup_sessions", verbosity=0)
        assert heard == []  # The process may be alive, and slow.
        with mock.patch("bff_sessions.stores.redis.maintenance._INTERRUPTED", -1):
            call_command("cleanup_sessions", verbosity=0)
            call_command("cleanup_sessions", verbosity=0)
    finally:
        sessions_ended.disconnect(receiver)
    assert sorted(heard) == sorted((one.sign_in_id, EndReason.CODE) for one in sessions)
    assert store.get_user_session(other.key) is not None
