"""How long a session lives: sliding, the absolute limit, and how many a subject may have."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import RequestFactory

from bff_sessions.contract import UserSessionsFilter, UserSessionUpdate
from bff_sessions.engine import SessionStore
from bff_sessions.revocation import revoke_sessions
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import altered, make_session
from tests.support.sessions import start

ALICES = UserSessionsFilter(subject_id="alice")
WEEK = timedelta(weeks=1)


def alice(sid="s1", issuer="https://idp.example", **more):
    return {"oidc": {"iss": issuer, "sub": "alice", "sid": sid}, **more}


def row_of(session_key):
    return get_store().get_user_session(SessionStore(session_key).store_key)


def age(session_key, by):
    """Let `by` pass for the session."""
    row = row_of(session_key)
    older = {name: getattr(row, name) - by for name in ("created", "renewed", "expires")}
    get_store().update_user_session(row.key, UserSessionUpdate.of(altered(row, **older)))
    return row_of(session_key)


def respond(session_key, view):
    """The response to a request with that cookie, through Django's own middleware."""

    def get_response(request):
        view(request.session)
        return HttpResponse()

    request = RequestFactory().get("/")
    request.COOKIES["sessionid"] = session_key
    return SessionMiddleware(get_response)(request)


def read(session):
    assert session["n"] == 1


@pytest.fixture
def configure(any_store, settings):
    """Adds to BFF_SESSIONS."""

    def configure(**values):
        settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, **values}

    return configure


@pytest.mark.parametrize("seconds", [-1, 1e-6, 2e-5])
def test_session_with_a_very_short_expiry_is_saved(configure, calls, seconds):
    session = SessionStore()
    session.set_expiry(seconds)
    calls.save(session)
    assert session.session_key


# Sliding


def test_a_request_that_reads_renews_when_it_is_due(configure, calls):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1).session_key
    before = age(key, WEEK + timedelta(hours=1))
    response = respond(key, read)
    after = row_of(key)
    assert response.cookies["sessionid"].value == key
    assert after.renewed > before.renewed
    assert after.expires - datetime.now(UTC) > 2 * WEEK - timedelta(seconds=5)
    assert after.ticket == before.ticket
    assert after.created == before.created


def test_a_request_that_reads_writes_nothing_before(configure, calls):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1).session_key
    before = age(key, WEEK - timedelta(hours=1))
    response = respond(key, read)
    assert "sessionid" not in response.cookies
    assert row_of(key) == before


def test_by_default_only_a_save_renews(configure, calls):
    key = calls.start(n=1).session_key
    before = age(key, 1.9 * WEEK)
    response = respond(key, read)
    assert "sessionid" not in response.cookies
    assert row_of(key) == before


def test_a_renewal_is_one_statement(transactional_db, settings, django_assert_num_queries):
    settings.BFF_SESSIONS = {"RENEW_AFTER": 0.5}
    session = SessionStore()
    session["n"] = 1
    session.save()
    age(session.session_key, 1.5 * WEEK)
    with django_assert_num_queries(2) as captured:
        respond(session.session_key, read)
    assert "ticket" not in captured[1]["sql"]
    with django_assert_num_queries(1):
        respond(session.session_key, read)


@pytest.mark.parametrize("first", [lambda s: s.pop("absent", None), lambda s: s.get("n")])
def test_whatever_the_first_access_is(configure, calls, first):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1).session_key
    age(key, 1.5 * WEEK)
    assert respond(key, first).cookies["sessionid"].value == key


def test_a_request_that_does_not_look_at_the_session_does_not_renew(configure, calls):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1).session_key
    before = age(key, 1.5 * WEEK)
    respond(key, lambda session: None)
    assert row_of(key) == before


def test_a_page_that_polls_does_not_keep_the_session_alive(configure, calls):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1).session_key
    before = age(key, 1.5 * WEEK)

    def poll(session):
        session.slide = False
        read(session)

    assert "sessionid" not in respond(key, poll).cookies
    assert row_of(key) == before


def test_nor_does_it_where_every_request_saves(configure, calls, settings, load):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    key = calls.start(n=1).session_key
    before = age(key, WEEK)
    session = SessionStore(key)
    session.slide = False
    assert calls.get(session, "n") == 1
    calls.save(session)
    assert row_of(key) == before
    calls.update(session, {"n": 2})
    calls.save(session)
    assert row_of(key).renewed > before.renewed
    assert load(key) == {"n": 2}


def test_what_changes_is_written_when_a_renewal_is_due(configure, calls, load):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1, nested=[]).session_key
    age(key, 1.5 * WEEK)
    respond(key, lambda session: session.update({"more": 1}))
    age(key, 1.5 * WEEK)
    respond(key, lambda session: session["nested"].append(1))
    assert load(key) == {"n": 1, "nested": [1], "more": 1}


def test_a_renewal_moves_the_ticket_to_a_new_key(configure, calls, settings, load):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1).session_key
    age(key, 1.5 * WEEK)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new key for the same sessions"
    respond(key, read)
    settings.SECRET_KEY_FALLBACKS = []
    assert load(key) == {"n": 1}


def test_a_fixed_expiry_is_not_renewed_at_every_read(configure, calls):
    configure(RENEW_AFTER=0.5)
    session = calls.start(n=1)
    key = session.session_key
    calls.set_expiry(session, datetime.now(UTC) + timedelta(minutes=10))
    calls.save(session)
    row = row_of(key)
    older = replace(row, renewed=row.renewed - WEEK)
    get_store().update_user_session(row.key, UserSessionUpdate.of(older))
    before = row_of(key)
    assert "sessionid" not in respond(key, read).cookies
    assert row_of(key) == before


def test_signed_out_is_out_for_a_renewal_on_its_way(configure, calls):
    configure(RENEW_AFTER=0.5)
    key = calls.start(**alice(n=1)).session_key
    age(key, 1.5 * WEEK)

    def revoked_meanwhile(session):
        read(session)
        revoke_sessions(ALICES)

    # Nothing was to be written, so there is nothing to complain about.
    assert respond(key, revoked_meanwhile).status_code == 200
    assert row_of(key) is None


def test_renewal_leaves_the_shorter_expiry_of_a_save_meanwhile(configure, calls):
    configure(RENEW_AFTER=0.5)
    key = calls.start(n=1).session_key
    age(key, 1.5 * WEEK)
    saved = []

    def shortened_meanwhile(session):
        read(session)
        other = SessionStore(key)
        calls.set_expiry(other, 300)
        calls.save(other)
        saved.append(row_of(key))

    assert respond(key, shortened_meanwhile).status_code == 200
    assert row_of(key) == saved[0]
    assert row_of(key).expires < datetime.now(UTC) + timedelta(minutes=6)


# The absolute lifetime


def test_no_session_outlives_the_absolute_lifetime(configure, calls, load):
    configure(ABSOLUTE_LIFETIME=WEEK, RENEW_AFTER=0.01)
    key = calls.start(**alice(n=1)).session_key
    created = row_of(key).created
    assert row_of(key).expires == created + WEEK
    row = age(key, timedelta(days=6))
    respond(key, lambda session: session.update({"m": 1}))
    assert row_of(key).expires == row.created + WEEK
    assert row_of(key).created == row.created
    assert load(key)["m"] == 1


def test_expiry_age_and_date_tell_the_truth(configure, calls):
    configure(ABSOLUTE_LIFETIME=WEEK)
    key = calls.start(**alice(n=1)).session_key
    row = age(key, timedelta(days=6))
    session = SessionStore(key)
    assert abs(calls.get_expiry_age(session) - 86400) < 5
    assert calls.get_expiry_date(SessionStore(key)) == row.created + WEEK
    response = respond(key, lambda session: session.update({"m": 1}))
    assert abs(response.cookies["sessionid"]["max-age"] - 86400) < 5


def test_what_is_shorter_than_the_absolute_lifetime_stays(configure, calls):
    configure(ABSOLUTE_LIFETIME=WEEK)
    session = calls.start(**alice())
    calls.set_expiry(session, 60)
    calls.save(session)
    assert calls.get_expiry_age(session) == 60
    assert calls.get_expiry_date(session) < datetime.now(UTC) + timedelta(seconds=61)
    assert row_of(session.session_key).expires < datetime.now(UTC) + timedelta(seconds=62)


def test_an_anonymous_session_has_no_absolute_lifetime(configure, calls, settings):
    configure(ABSOLUTE_LIFETIME=WEEK)
    key = calls.start(n=1).session_key
    assert row_of(key).expires > row_of(key).created + WEEK
    assert calls.get_expiry_age(SessionStore(key)) == settings.SESSION_COOKIE_AGE


def test_signing_in_again_starts_the_absolute_lifetime_again(configure, calls):
    configure(ABSOLUTE_LIFETIME=WEEK)
    session = calls.start(**alice("s1"))
    row = age(session.session_key, timedelta(days=6))
    calls.update(session, alice("s2"))
    calls.save(session)
    assert row_of(session.session_key).created > row.created + timedelta(days=5)
    assert calls.get_expiry_age(session) > 6 * 86400


def test_a_limit_that_was_lowered_holds_for_sessions_that_are_there(configure, calls, load):
    key = calls.start(**alice()).session_key
    age(key, timedelta(days=6))
    assert load(key)
    configure(ABSOLUTE_LIFETIME=timedelta(days=5))
    assert load(key) is None


# How many


def test_signing_in_once_too_often_ends_the_oldest(configure, calls, load):
    configure(MAX_SESSIONS_PER_SUBJECT=2)
    told = []

    def receiver(sessions, **kwargs):
        told.extend(session.session_id for session in sessions)

    sessions_ended.connect(receiver)
    try:
        keys = [calls.start(**alice(f"s{n}")).session_key for n in range(4)]
    finally:
        sessions_ended.disconnect(receiver)
    assert [load(key) is not None for key in keys] == [False, False, True, True]
    assert told == ["s0", "s1"]


def test_sessions_within_the_limit_stay(configure, calls, load):
    configure(MAX_SESSIONS_PER_SUBJECT=5)
    keys = [calls.start(**alice(f"s{n}")).session_key for n in range(6)]
    assert [load(key) is not None for key in keys] == [False] + [True] * 5


def test_oldest_sessions_end_first_without_reading_tickets(configure, calls, monkeypatch):
    configure(MAX_SESSIONS_PER_SUBJECT=3)
    store = get_store()
    now = datetime.now(UTC)
    sessions = [make_session(created=now - timedelta(seconds=age)) for age in range(1, 511)]
    for session in sessions:
        store.create_user_session(session)
    read, told = OrmUserSessionStore.get_user_sessions, []

    def read_none(store, filter):
        assert read(store, filter) == []  # Of the same session at the provider.
        return []

    monkeypatch.setattr(OrmUserSessionStore, "get_user_sessions", read_none)

    def receiver(sessions, **kwargs):
        told.extend(session.session_id for session in sessions)

    sessions_ended.connect(receiver)
    try:
        calls.start(**alice("new"))
    finally:
        sessions_ended.disconnect(receiver)
    assert told == [session.session_id for session in reversed(sessions[2:])]


def test_of_two_that_sign_in_at_the_same_moment_one_stays(configure, calls, load, monkeypatch):
    configure(MAX_SESSIONS_PER_SUBJECT=1)
    store, others = get_store(), []
    look = store.query_user_sessions

    def sign_in_and_look(filter, **page):
        if not others:  # Between what the first one writes and what it finds.
            others.append(SessionStore())
            others[0].update(alice(sid=None))
            others[0].save()
        return look(filter, **page)

    monkeypatch.setattr(store, "query_user_sessions", sign_in_and_look)
    first = calls.start(**alice(sid=None)).session_key
    assert [load(key) is not None for key in (first, others[0].session_key)] == [False, True]


def test_sign_ins_in_transactions_count_each_other_after_the_commit(
    transactional_db, settings, load, monkeypatch
):
    settings.BFF_SESSIONS = {"MAX_SESSIONS_PER_SUBJECT": 1}
    store, earlier = get_store(), start(**alice("s1"))
    look = store.query_user_sessions

    def look_into_own_transaction(filter, **page):
        # Until the commit, the other transaction's session is not visible.
        unseen = replace(filter, subject_id="nobody")
        return look(unseen if connection.in_atomic_block else filter, **page)

    monkeypatch.setattr(store, "query_user_sessions", look_into_own_transaction)
    with transaction.atomic():
        session = SessionStore()
        session.update(alice("s2"))
        session.save()
        session.cycle_key()
        assert load(earlier)
    assert [load(key) is not None for key in (earlier, session.session_key)] == [False, True]


def test_only_the_same_issuer_counts_and_saving_is_no_sign_in(configure, calls, load):
    configure(MAX_SESSIONS_PER_SUBJECT=1)
    keys = [
        calls.start(**alice(issuer="https://other.example")).session_key,
        calls.start(oidc={"iss": "https://idp.example", "sub": "bob"}).session_key,
        calls.start(_auth_user_id="alice").session_key,
        calls.start(n=1).session_key,
        calls.start(n=2).session_key,
        calls.start(**alice()).session_key,
    ]
    for key in keys:
        calls.change(key, more=1)
    assert all(load(key) for key in keys)
