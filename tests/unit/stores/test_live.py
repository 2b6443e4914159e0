"""One definition of a live session, also when ABSOLUTE_LIFETIME was shortened meanwhile."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib import admin
from django.core.management import call_command

from bff_sessions import stores
from bff_sessions.admin import figures
from bff_sessions.admin.filters import StateFilter
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.stores import get_store
from bff_sessions.stores.live import is_live, iterate_live_sessions
from bff_sessions.testing import altered, make_session
from bff_sessions.views.sessions import page_of, sessions_beside
from tests.support.factories import SessionFactory, ago
from tests.support.stores import MEMORY, ORM

ALICE = {"oidc": {"iss": "https://idp.example", "sub": "alice"}}
ALICES = UserSessionsFilter(subject_id="alice")


@pytest.fixture
def configure(settings, monkeypatch):
    """Change settings, and keep the store, which may hold its sessions in memory."""

    def configure(**changes):
        store = get_store()
        settings.BFF_SESSIONS = settings.BFF_SESSIONS | changes
        monkeypatch.setattr(stores, "_store", store)

    return configure


@pytest.fixture
def shortened(any_store, configure):
    """A session that ABSOLUTE_LIFETIME forbids and `expires` does not, and one that lives."""
    ends = []
    for hours in (3, 1):
        session = SessionStore()
        session.update(ALICE)
        session.save()
        store, read = get_store(), session.get_user_session()
        old = altered(read, created=ago(hours=hours), expires=ago(hours=-9))
        store.delete_user_session(read.key)
        store.create_user_session(old)
        ends.append((session.session_key, store.get_user_session(read.key)))
    configure(ABSOLUTE_LIFETIME=timedelta(hours=2))
    return ends


def test_session_over_its_absolute_lifetime_is_not_live(shortened):
    (old_key, old), (live_key, live) = shortened
    assert (is_live(old), is_live(live)) == (False, True)
    assert dict(SessionStore(old_key).items()) == {}
    assert dict(SessionStore(live_key).items()) == ALICE
    assert [one.key for one in iterate_live_sessions(ALICES)] == [live.key]


def test_command_lists_no_session_over_its_absolute_lifetime(shortened):
    _, (_, live) = shortened
    out = StringIO()
    call_command("sessions", "list", subject="alice", json=True, stdout=out)
    assert out.getvalue().count("public_id") == 1
    assert live.public_id in out.getvalue()


def test_pages_show_no_session_over_its_absolute_lifetime(shortened):
    _, (_, live) = shortened
    assert [one.key for one in sessions_beside(live)] == [live.key]
    assert [one.key for one in page_of(live, after=None).sessions] == [live.key]


@pytest.mark.parametrize("store", [ORM, MEMORY])
def test_limit_of_sessions_counts_live_ones(transactional_db, settings, configure, store):
    settings.BFF_SESSIONS = {"STORE": store}
    signed_in = {"renewed": ago(hours=1), "expires": ago(hours=-9)}
    for hours in (1, 3):
        get_store().create_user_session(make_session(created=ago(hours=hours), **signed_in))
    configure(ABSOLUTE_LIFETIME=timedelta(hours=2), MAX_SESSIONS_PER_SUBJECT=2)
    session = SessionStore()
    session.update(ALICE)
    session.save()
    assert len(list(iterate_live_sessions(ALICES))) == 2


def in_state(rf, state):
    request = rf.get("/", {"state": state})
    model_admin = admin.site._registry[Session]
    chosen = StateFilter(request, {"state": [state]}, Session, model_admin)
    return set(chosen.queryset(request, Session.objects.all()))


@pytest.mark.django_db
def test_admin_calls_a_session_over_its_absolute_lifetime_expired(settings, rf):
    old = SessionFactory(created=ago(hours=3))
    live, endless = SessionFactory(), SessionFactory(endless=True)
    anonymous = SessionFactory(anonymous=True, created=ago(hours=3))
    gone = SessionFactory(expired=True)
    settings.BFF_SESSIONS = {"ABSOLUTE_LIFETIME": timedelta(hours=2, minutes=30)}
    assert in_state(rf, "live") == set(Session.objects.live()) == {live, endless, anonymous}
    assert in_state(rf, "expired") == {old, gone}
    model_admin = admin.site._registry[Session]
    states = [model_admin.state(row) for row in (old, gone, live, endless, anonymous)]
    assert states == ["expired", "expired", "live", "live", "live"]
    spans = [(ago(hours=9), ago(hours=0))]
    counted = figures.count(spans, spans)
    assert (counted.live.number, counted.expired.number) == (3, 2)


@pytest.mark.django_db
def test_database_and_python_agree_which_sessions_live(settings):
    for created in (1, 3):
        for trait in ({}, {"expired": True}, {"endless": True}, {"anonymous": True}):
            SessionFactory(created=ago(hours=created), **trait)
    now = datetime.now(UTC)
    for lifetime in (None, timedelta(hours=2)):
        settings.BFF_SESSIONS = {"ABSOLUTE_LIFETIME": lifetime}
        assert set(Session.objects.live(now)) == {
            row for row in Session.objects.all() if is_live(row, now)
        }


def test_sign_in_replaces_a_session_over_its_absolute_lifetime(any_store, configure):
    session = SessionStore()
    session.update({"oidc": ALICE["oidc"] | {"sid": "s1"}})
    session.save()
    store, read = get_store(), session.get_user_session()
    store.delete_user_session(read.key)
    store.create_user_session(altered(read, created=ago(hours=3), expires=ago(hours=-9)))
    configure(ABSOLUTE_LIFETIME=timedelta(hours=2))
    anew = SessionStore()
    anew.update({"oidc": ALICE["oidc"] | {"sid": "s1"}})
    anew.save()
    # A longer lifetime must not bring the old session back.
    configure(ABSOLUTE_LIFETIME=timedelta(hours=9))
    assert dict(SessionStore(session.session_key).items()) == {}
    assert dict(SessionStore(anew.session_key).items()) != {}
