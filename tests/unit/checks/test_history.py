"""What the checks say of the history."""

import pytest

from bff_sessions.history import reading
from bff_sessions.history.models import Event
from tests.support.checks import messages, only_message
from tests.support.stores import MEMORY, NATIVE_EXPIRY


class Elsewhere:
    """A router that sends the history to another database."""

    def db_for_write(self, model, **hints):
        return "elsewhere" if model is Event else None


pytestmark = pytest.mark.usefixtures("installed_history")


def test_history_beside_the_sessions_is_silent():
    assert messages() == []


def test_history_in_another_database_is_warned_of(settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.Elsewhere"]
    message = only_message("W110")
    assert "'default'" in message.msg
    assert "'elsewhere'" in message.msg


def test_store_that_deletes_expired_sessions_is_warned_of(settings):
    settings.BFF_SESSIONS = {"STORE": NATIVE_EXPIRY}
    # This store also reads the sessions of open pages one by one.
    (message,) = (each for each in messages() if each.id == "bff_sessions.W111")
    assert "NativeExpiryStore" in message.msg


@pytest.mark.parametrize("store", [MEMORY, NATIVE_EXPIRY])
def test_site_without_history_is_silent(settings, monkeypatch, store):
    monkeypatch.setattr(reading, "APP", "other")
    settings.BFF_SESSIONS = {"STORE": store}
    settings.DATABASE_ROUTERS = [f"{__name__}.Elsewhere"]
    assert not {m.id for m in messages()} & {"bff_sessions.W110", "bff_sessions.W111"}
