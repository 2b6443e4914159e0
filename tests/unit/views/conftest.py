import pytest
from django.test import AsyncClient, Client

from bff_sessions.models import Session
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from tests.support.endpoints import Browser
from tests.support.factories import SessionFactory, ago


@pytest.fixture(params=[Client, AsyncClient], ids=["wsgi", "asgi"])
def open_browser(request, db, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    return lambda: Browser(request.param(enforce_csrf_checks=True))


@pytest.fixture
def browser(open_browser):
    return open_browser()


@pytest.fixture
def configure(settings):
    """Adds to BFF_SESSIONS."""
    before = getattr(settings, "BFF_SESSIONS", {})

    def configure(**values):
        settings.BFF_SESSIONS = {**before, **values}

    return configure


@pytest.fixture
def revoked(transactional_db):
    """Keys of the sessions of which sessions_ended told, after the commit."""
    keys = []

    def receiver(sessions, **kwargs):
        keys.extend(session.key for session in sessions)

    sessions_ended.connect(receiver)
    yield keys
    sessions_ended.disconnect(receiver)


@pytest.fixture
def strangers(db):
    """Sessions that are not alice's, though they look like it."""
    return [
        SessionFactory(subject_id="bob"),
        SessionFactory(subject_id="Alice"),
        SessionFactory(issuer="https://other.example"),
        SessionFactory(issuer=None),
        SessionFactory(partition="other"),
        SessionFactory(anonymous=True),
    ]


@pytest.fixture
def many(db):
    """250 more sessions of alice's, newest sign-in first."""
    made = [SessionFactory.build(created=ago(minutes=age)) for age in range(1, 251)]
    Session.objects.bulk_create(made)
    return made


@pytest.fixture
def no_tickets(monkeypatch):
    """Fails what reads tickets to list sessions; a sign-in reads those that it replaces."""
    store_class = type(get_store())
    read = store_class.get_user_sessions

    def read_replaced(store, filter):
        assert filter.session_id is not None
        return read(store, filter)

    monkeypatch.setattr(store_class, "get_user_sessions", read_replaced)
