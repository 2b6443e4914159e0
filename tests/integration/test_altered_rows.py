"""What somebody can do who writes to the table of sessions."""

import io
from datetime import timedelta

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.db.models import F

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.stores import get_store

DATA = {"oidc": {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}, "_auth_user_id": "7"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def key():
    session = SessionStore()
    session.update(DATA)
    session.save()
    return session.session_key


def data_of(key):
    return dict(SessionStore(key).items())


CHANGES = {
    "issuer": ["https://other.example", None, "", " "],
    "subject_id": ["bob", None, "", "Alice", "alice ", "x" * 255],
    "session_id": ["s2", None, ""],
    "user_id": ["8", None, ""],
    "sign_in_id": ["0" * 32, "", " "],
    "created": [timedelta(seconds=1), timedelta(seconds=-1), timedelta(days=1)],
    "partition": ["other"],
}


@pytest.mark.parametrize(
    ("column", "value"),
    [(column, value) for column, values in CHANGES.items() for value in values],
    ids=repr,
)
def test_row_with_an_altered_column_does_not_open(key, caplog, column, value):
    if isinstance(value, timedelta):
        value += Session.objects.get().created
    Session.objects.update(**{column: value})
    assert data_of(key) == {}
    assert "altered" in caplog.text
    assert key not in caplog.text
    # It is neither overwritten nor deleted.
    session = SessionStore(key)
    session["n"] = 1
    session.save()
    session.flush()
    assert Session.objects.filter(**{column: value}).exists()


def test_lists_pass_over_a_row_that_is_no_session(key):
    other = SessionStore()
    other.update({**DATA, "oidc": {**DATA["oidc"], "sid": "s2"}})
    other.save()
    Session.objects.filter(session_id="s1").update(sign_in_id="")
    filter = UserSessionsFilter(subject_id="alice")
    assert [s.session_id for s in get_store().get_user_sessions(filter)] == ["s2"]
    assert [s.session_id for s in get_store().query_user_sessions(filter).sessions] == ["s2"]


def test_text_of_one_column_cannot_move_to_another(key):
    row = Session.objects.get()
    Session.objects.update(
        issuer=row.issuer + "alice", subject_id=row.session_id, session_id=row.user_id
    )
    assert data_of(key) == {}


@pytest.mark.parametrize("form", ["json", "xml"])
def test_dumped_and_loaded_rows_open(key, form):
    dump = io.StringIO()
    call_command("dumpdata", "bff_sessions.Session", format=form, stdout=dump)
    Session.objects.all().delete()
    for loaded in serializers.deserialize(form, dump.getvalue()):
        loaded.save()
    assert data_of(key) == DATA


def test_device_and_lease_are_no_part_of_the_ticket(key):
    Session.objects.update(user_agent="Firefox", address="192.0.2.1", lease_owner="somebody")
    assert data_of(key) == DATA
    if connection.vendor == "sqlite":
        Session.objects.update(version=F("version") + 1)
        assert data_of(key) == DATA


def test_page_with_an_altered_row_leads_on_to_the_next():
    for number in range(5):
        session = SessionStore()
        session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": f"s{number}"}
        session.save()
    Session.objects.filter(session_id="s4").update(sign_in_id="")
    found, cursor = [], None
    while True:
        page = get_store().query_user_sessions(
            UserSessionsFilter(subject_id="alice"), cursor=cursor, limit=2
        )
        found += [session.session_id for session in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == ["s0", "s1", "s2", "s3"]
