"""A database that cannot do its work now is reported as any other store is."""

import pytest
from django.db import Error, OperationalError, ProgrammingError, connection

from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.stores.databases.errors import without_values
from bff_sessions.stores.databases.outages import report_outages
from tests.support.faults import LOST, ROLLED_BACK


def failing(make):
    def work():
        with connection.wrap_database_errors:
            raise make()

    return work


def retried(work):
    """Return `work` with the error that `retry()` raises."""

    def retried():
        try:
            work()
        except Error as error:
            failure = without_values(error)
        raise failure

    return retried


def outage(work):
    with pytest.raises(StoreUnavailable) as caught:
        report_outages(work)
    # A report would show the text of the driver's error with it.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize("wrap", [lambda work: work, retried], ids=["raw", "retried"])
@pytest.mark.parametrize("make", LOST.values(), ids=LOST)
def test_lost_connection_is_an_outage(make, wrap):
    assert (
        outage(wrap(failing(make))) == f"The database cannot be reached: {type(make()).__name__}."
    )


@pytest.mark.parametrize("wrap", [lambda work: work, retried], ids=["raw", "retried"])
@pytest.mark.parametrize("make", ROLLED_BACK.values(), ids=ROLLED_BACK)
def test_undone_transaction_is_an_outage(make, wrap):
    text = outage(wrap(failing(make)))
    assert text == f"The database has undone a transaction: {type(make()).__name__}."


@pytest.mark.django_db
def test_missing_table_is_not_an_outage():
    def work():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM not_there")

    with pytest.raises((OperationalError, ProgrammingError), match="not_there"):
        report_outages(work)


@pytest.mark.parametrize("error", [ZeroDivisionError, OperationalError, StoreUnavailable])
def test_other_error_propagates(error):
    raised = error("some text")

    def work():
        raise raised

    with pytest.raises(error) as caught:
        report_outages(work)
    assert caught.value is raised


def test_result_is_returned():
    assert report_outages(lambda: 7) == 7
