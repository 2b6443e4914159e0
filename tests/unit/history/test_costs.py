"""What events cost: nothing without the history and receivers."""

from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.history.models import Event
from bff_sessions.revocation import revoke_sessions
from bff_sessions.signals import session_started, sessions_ended
from tests.support.factories import SessionFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ALICE = {"iss": "https://idp.example", "sub": "alice"}
ALICES = UserSessionsFilter(subject_id="alice")


@pytest.fixture
def receivers():
    def receive(**kwargs):
        pass

    for signal in (session_started, sessions_ended):
        signal.connect(receive)
    yield
    for signal in (session_started, sessions_ended):
        assert signal.disconnect(receive)


def sign_in():
    session = SessionStore()
    session["oidc"] = ALICE
    session.save()
    return session


@contextmanager
def statements(expected):
    """Expect so many statements, without those that begin and end a transaction."""
    with CaptureQueriesContext(connection) as captured:
        yield
    found = [query["sql"] for query in captured.captured_queries]
    counted = [sql for sql in found if not sql.startswith(("BEGIN", "COMMIT"))]
    assert len(counted) == expected, counted


def check(*, starts, ends, revokes):
    """Count the statements of a sign-in, a save, a sign-out and a revocation."""
    with statements(starts):
        session = sign_in()
    with statements(1):
        session["cart"] = [1]
        session.save()
    with statements(ends):
        session.flush()
    sign_in()
    with statements(revokes):
        assert revoke_sessions(ALICES) == 1


# SQLite has no rows to lock, so it locks the table by a statement of its own.
LOCK = 2 if connection.vendor == "sqlite" else 1
# A revocation looks for sessions, locks them, deletes them, and looks again.
REVOKES = 1 + LOCK + 1 + 1
# A row of the history, in a savepoint.
ROW = 3


def test_events_cost_no_statement_without_subscribers():
    check(starts=1, ends=1, revokes=REVOKES)


def test_receivers_cost_no_statement(receivers):
    check(starts=1, ends=1, revokes=REVOKES)


def test_history_costs_a_row_in_the_transaction(history):
    check(starts=1 + ROW, ends=LOCK + ROW + 1, revokes=REVOKES + ROW)


def test_clean_up_writes_all_events_of_a_batch_at_once(history):
    SessionFactory.create_batch(50, expired=True)
    with CaptureQueriesContext(connection) as captured:
        SessionStore.clear_expired()
    inserts = [query for query in captured.captured_queries if query["sql"].startswith("INSERT")]
    assert len(inserts) == 1
    assert Event.objects.count() == 50
