import pytest
from django.contrib import admin

from bff_sessions.admin import changelist
from bff_sessions.models import Session
from bff_sessions.signals import sessions_ended
from tests.support.factories import UserFactory


@pytest.fixture
def operator(client):
    """Return the browser of a superuser."""
    client.force_login(UserFactory(admin=True))
    return client


@pytest.fixture
def revoked(transactional_db):
    """Return the store keys of the sessions in sessions_ended, which is sent after the commit."""
    keys = []

    def receiver(sender, sessions, **kwargs):
        keys.extend(session.key for session in sessions)

    sessions_ended.connect(receiver)
    yield keys
    assert sessions_ended.disconnect(receiver)


@pytest.fixture
def small_pages(monkeypatch):
    """Show two sessions on a page and search five for it."""
    monkeypatch.setattr(admin.site.get_model_admin(Session), "list_per_page", 2)
    monkeypatch.setattr(changelist, "_WINDOW", 5)
