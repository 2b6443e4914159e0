"""Errors of the database say what happened, and quote no values."""

import traceback

import pytest
from django.db import (
    DataError,
    Error,
    IntegrityError,
    OperationalError,
    connection,
    transaction,
)

from bff_sessions.contract import UserSession
from bff_sessions.exceptions import SessionExists
from bff_sessions.models import Session
from bff_sessions.stores.databases.errors import without_values
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session

pytestmark = pytest.mark.django_db(transaction=True)


def texts_of(error):
    """Return all that a report shows of the error and of those behind it."""
    seen = []
    while error is not None:
        seen.append(f"{error} {error.args!r} {vars(error)!r}")
        if hasattr(error, "diag"):
            seen.append(str(error.diag.message_detail))
        seen.append("".join(traceback.format_exception_only(error)))
        error = error.__cause__ or error.__context__
    return "\n".join(seen)


def failure(work):
    with pytest.raises(Error) as caught:
        retry("default", work)
    return caught.value


def test_duplicate_key_is_not_quoted():
    session = make_session()
    rows = [Session(**{f.name: getattr(session, f.name, None) for f in Session._meta.fields[1:]})]
    OrmUserSessionStore().create_user_session(session)
    error = failure(lambda: Session.objects.bulk_create(rows))
    assert type(error) is IntegrityError
    assert session.key not in texts_of(error)
    assert type(error.__cause__).__name__ in ("IntegrityError", "UniqueViolation")
    assert error.__cause__.args
    if connection.vendor == "postgresql":
        assert error.__cause__.sqlstate == "23505"
        assert "bff_sessions_key" in str(error)
    elif connection.vendor == "mysql":
        assert error.args[0] == 1062


def test_failing_row_is_not_quoted():
    session = make_session(subject_id="secret-subject")
    row = Session(
        **{f.name: getattr(session, f.name, None) for f in Session._meta.fields[1:]}
        | {"partition": None}
    )
    error = failure(row.save)
    shown = texts_of(error)
    assert isinstance(error, IntegrityError)
    for secret in (session.key, "secret-subject", session.ticket.hex(), repr(session.ticket)):
        assert secret not in shown


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite stores text of any length")
def test_text_that_is_too_long_is_not_quoted():
    session = make_session(key="k" * 100)
    with pytest.raises(DataError) as caught:
        OrmUserSessionStore().create_user_session(session)
    assert session.key not in texts_of(caught.value)


def test_statement_is_not_quoted():
    def work():
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing_like_it FROM bff_sessions_session WHERE 'secret' = 'x'")

    assert "secret" not in texts_of(failure(work))


def test_taken_key_is_in_no_error_behind_the_one_that_is_raised():
    store, session = OrmUserSessionStore(), make_session()
    store.create_user_session(session)
    other = make_session()
    store.create_user_session(other)
    for work in (
        lambda: store.create_user_session(session),
        lambda: store.rekey_user_session(other.key, session, if_version=1),
    ):
        with pytest.raises(SessionExists) as caught:
            work()
        assert session.key not in texts_of(caught.value)


def test_error_that_has_no_cause_stays():
    error = IntegrityError("of Django's own")
    assert without_values(error) is error


def test_cause_that_cannot_be_made_anew_is_replaced():
    class Needy(Exception):
        def __init__(self, first, second):
            super().__init__(first)

    error = IntegrityError("line\nDETAIL: secret")
    error.__cause__ = Needy("line\nDETAIL: secret", 2)
    assert "secret" not in texts_of(without_values(error))
    assert str(without_values(error)) == "line"


def test_error_inside_a_transaction_of_the_caller_is_cleaned_too():
    session = make_session()
    store = OrmUserSessionStore()
    store.create_user_session(session)
    with pytest.raises(SessionExists), transaction.atomic():
        store.create_user_session(session)
    assert isinstance(store.get_user_session(session.key), UserSession)


class DriversError(Exception):
    """As of psycopg2: its code is in an attribute that only the driver sets."""

    @property
    def pgcode(self):
        return getattr(self, "_code", None)


def test_code_of_the_database_outlives_a_second_look():
    cause = DriversError("deadlock detected")
    cause._code = "40P01"
    error = OperationalError("deadlock detected")
    error.__cause__ = cause
    for _ in range(2):
        error = without_values(error)
        assert getattr(error.__cause__, "sqlstate", None) == "40P01"
