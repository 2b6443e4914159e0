"""Processes that sign users in and out, and are killed: history and sessions always agree."""

import random
import time
from collections import Counter

import pytest

from bff_sessions.contract import UserSession
from bff_sessions.history.models import ENDED, STARTED, Event
from bff_sessions.models import Session
from bff_sessions.stores.orm.rows import to_session
from bff_sessions.stores.orm.statements import SESSION
from tests.support.processes import processes

KILLS = 100

# A fork begins at once, as it has imported everything.
VISITOR = """
import os, random, signal, sys, time
import django; django.setup()
from django.db import connections
from bff_sessions.contract import EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.history import recording
from bff_sessions.revocation import revoke_sessions
recording.connect()
sys.stdin.readline()
print("ready", flush=True)

def sign_in(sub):
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": sub}
    session.save()
    return session

def visit(seed):
    random.seed(seed)
    while True:
        sub = f"visitor{seed}"
        session = sign_in(sub)
        way = random.randrange(4)
        if way == 0:
            session.signs_out = True
            session.flush()
        elif way == 1:
            sign_in(sub), sign_in(sub)
            revoke_sessions(UserSessionsFilter(subject_id=sub), reason=EndReason.OPERATOR)
        elif way == 2:
            session["oidc"] = {"iss": "https://idp.example", "sub": f"{sub}-b"}
            session.save()
        # Otherwise the session lives on.

# What is made once in each process.
sign_in("first").flush()
for line in sys.stdin:
    seed, seconds = line.split()
    connections.close_all()
    child = os.fork()
    if child == 0:
        visit(seed)
    time.sleep(float(seconds))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


@pytest.mark.thorough
@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_history_has_each_start_and_end_of_killed_processes():
    with processes("tests.settings") as start_process:
        process = start_process(VISITOR, "")
        for seed in range(KILLS):
            process.stdin.write(f"{seed} {random.uniform(0.03, 0.3)}\n")
            process.stdin.flush()
            assert int(process.stdout.readline()) == 9
    live = settled()
    started = Counter(Event.objects.filter(what=STARTED).values_list("public_id", flat=True))
    ended = Counter(Event.objects.filter(what=ENDED).values_list("public_id", flat=True))
    print(f"{KILLS} kills: {len(started)} starts, {len(ended)} ends, {len(live)} live sessions")
    assert len(ended) > KILLS
    assert max(started.values()) == max(ended.values()) == 1
    assert ended.keys() == started.keys() - live
    assert live < started.keys()


def settled():
    """Return the public IDs of the sessions when no killed process writes any more."""
    before = None
    while (now := (Event.objects.count(), live_sessions())) != before:
        before = now
        time.sleep(0.5)  # The server may still finish what a dead client has sent.
    return now[1]


def live_sessions():
    rows = Session.objects.values(*SESSION)
    sessions = map(to_session, rows)
    return {session.public_id for session in sessions if isinstance(session, UserSession)}
