"""Checks that sessions work on this host."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError

from bff_sessions.contract import UserSessionUpdate
from bff_sessions.exceptions import SessionExists, StoreUnavailable
from bff_sessions.health import examine
from bff_sessions.health.canary import PARTITION
from bff_sessions.models import TokenRevocation
from bff_sessions.oidc.registrations import find_registration
from bff_sessions.protection import is_current, store_key
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session
from tests.support.provider import Provider
from tests.support.stores import MEMORY, MINIMAL, NATIVE_EXPIRY

pytestmark = pytest.mark.django_db
OLD, NEW = "old" * 20, "new" * 20


@pytest.fixture
def configure(settings):
    def configure(**values):
        settings.BFF_SESSIONS = {**getattr(settings, "BFF_SESSIONS", {}), **values}

    return configure


@pytest.fixture
def provider(configure):
    with Provider() as local:
        configure(**local.settings)
        yield local


def find_provider(issuer):
    return {"CLIENT_ID": "shop"}


def verdicts(ask_providers=True):
    return {one.subject: one.verdict.value for one in examine(ask_providers=ask_providers)}


def text_of(subject):
    return next(one.text for one in examine(ask_providers=True) if one.subject == subject)


def read_canary(partition="default"):
    return get_store().get_user_session(store_key(PARTITION, partition))


def age_canary(**age):
    canary = read_canary()
    older = replace(canary, renewed=canary.renewed - timedelta(**age))
    get_store().update_user_session(canary.key, UserSessionUpdate.of(older))


def save_waiting_token(**age):
    now = datetime.now(UTC)
    TokenRevocation.objects.create(
        digest="d", issuer="https://idp.example", token=b"", due=now, created=now - timedelta(**age)
    )


def test_new_installation_has_no_fault():
    assert verdicts() == {"store": "ok", "ticket": "ok", "clean-up": "ok"}


@pytest.mark.parametrize("store", [MEMORY, MINIMAL, NATIVE_EXPIRY])
def test_every_store_can_be_examined(configure, store):
    configure(STORE=store)
    assert set(verdicts().values()) == {"ok"}
    assert read_canary() is not None


def test_store_that_fails_is_a_fault_and_quotes_nothing(monkeypatch):
    def fail(store, key):
        raise DatabaseError(f"secret {key}")

    monkeypatch.setattr(type(get_store()), "get_user_session", fail)
    assert verdicts() == {"store": "fault"}
    assert text_of("store") == "The check was stopped by DatabaseError."


def test_store_that_is_unavailable_says_why(monkeypatch):
    def fail(store, key):
        raise StoreUnavailable

    monkeypatch.setattr(type(get_store()), "get_user_session", fail)
    assert text_of("store").startswith("The server of the sessions cannot be reached")


def test_setting_that_is_wrong_is_a_fault(configure):
    configure(STORE="shop.Nothing")
    assert verdicts() == {"store": "fault"}
    assert "BFF_SESSIONS['STORE']" in text_of("store")


# The canary


def test_canary_is_saved_once_an_hour():
    verdicts()
    first = read_canary()
    verdicts()
    assert read_canary() == first
    age_canary(hours=2)
    verdicts()
    assert read_canary().renewed >= first.renewed
    assert read_canary().sign_in_id != first.sign_in_id


def test_canary_of_a_host_with_other_keys_is_a_fault_for_a_day(configure):
    configure(ENCRYPTION_KEYS=[OLD])
    verdicts()
    age_canary(hours=23)
    canary = read_canary()
    configure(ENCRYPTION_KEYS=[NEW])
    assert verdicts()["ticket"] == "fault"
    text = text_of("ticket")
    assert "ENCRYPTION_KEYS" in text
    assert f"{canary.renewed + timedelta(days=1):%Y-%m-%d %H:%M} UTC" in text
    assert not any(secret in text for secret in (OLD, NEW, canary.key))
    assert read_canary() == canary
    age_canary(hours=1)
    assert verdicts()["ticket"] == "ok"


def test_canary_of_an_old_key_is_not_lost_during_a_rotation(configure):
    configure(ENCRYPTION_KEYS=[OLD])
    verdicts()
    configure(ENCRYPTION_KEYS=[NEW, OLD])
    assert verdicts()["ticket"] == "ok"
    assert is_current(read_canary().ticket)


def test_canary_that_an_operator_ends_is_no_fault(monkeypatch):
    def refuse(store, session):
        raise SessionExists

    monkeypatch.setattr(type(get_store()), "create_user_session", refuse)
    assert verdicts()["ticket"] == "warning"


def test_each_application_has_a_canary_of_its_own(configure):
    configure(ENCRYPTION_KEYS=[OLD])
    verdicts()
    configure(PARTITION="other", ENCRYPTION_KEYS=[NEW])
    assert verdicts()["ticket"] == "ok"
    assert None not in (read_canary(), read_canary("other"))


def test_session_that_cannot_be_read_after_its_save_is_a_fault(monkeypatch):
    monkeypatch.setattr(type(get_store()), "create_user_session", lambda store, session: None)
    assert verdicts()["ticket"] == "fault"


# Clean-up


def test_clean_up_that_is_late_is_a_fault():
    now = datetime.now(UTC)
    get_store().create_user_session(make_session(expires=now - timedelta(hours=23)))
    assert verdicts()["clean-up"] == "ok"
    get_store().create_user_session(make_session(expires=now - timedelta(hours=25)))
    assert verdicts()["clean-up"] == "fault"
    get_store().delete_expired_sessions()
    assert verdicts()["clean-up"] == "ok"


# Providers


def test_keys_of_the_provider_are_fetched(provider):
    assert verdicts() == dict.fromkeys(["store", "ticket", "clean-up", "keys", "outbox"], "ok")
    assert text_of("keys").startswith(f"{provider.issuer}: 5 signing keys")


def test_provider_without_keys_is_a_fault(provider):
    provider.answers["/keys"] = (500, {}, "")
    assert verdicts()["keys"] == "fault"
    assert provider.issuer in text_of("keys")


def test_provider_is_not_asked_without_need(provider, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "bff_sessions.oidc.providers.keys.SigningKeys.prefetch", lambda keys: asked.append(keys)
    )
    assert verdicts(ask_providers=False)["keys"] == "warning"
    assert len(asked) == 1
    assert provider.requests == []
    verdicts(ask_providers=True)
    assert verdicts(ask_providers=False)["keys"] == "ok"
    assert len(asked) == 1


def test_providers_of_a_callable_are_examined_once_they_are_used(provider, configure):
    configure(PROVIDERS=f"{__name__}.find_provider")
    assert verdicts()["keys"] == "ok"
    assert "has used no provider" in text_of("keys")
    find_registration(provider.issuer)
    assert text_of("keys").startswith(f"{provider.issuer}: 5 signing keys")


def test_options_of_a_provider_that_are_wrong_are_a_fault(configure):
    configure(PROVIDERS={"https://idp.example": {"CLIENT": "shop"}})
    assert verdicts()["keys"] == "fault"


@pytest.mark.parametrize(("minutes", "verdict"), [(59, "ok"), (61, "fault")])
def test_refresh_token_that_waits_for_more_than_an_hour_is_a_fault(provider, minutes, verdict):
    save_waiting_token(minutes=minutes)
    assert verdicts()["outbox"] == verdict


def test_refresh_tokens_do_not_wait_where_they_are_not_revoked(provider, configure):
    configure(TOKEN_REVOCATION=None)
    save_waiting_token(days=2)
    assert verdicts()["outbox"] == "ok"


def test_table_that_is_missing_stops_its_check_only(provider, monkeypatch):
    def fail(rows):
        raise DatabaseError("secret")

    monkeypatch.setattr("bff_sessions.oidc.models.TokenRevocationQuerySet.oldest", fail)
    found = verdicts()
    assert found.pop("outbox") == "fault"
    assert set(found.values()) == {"ok"}
    assert text_of("outbox") == "The check was stopped by DatabaseError."
