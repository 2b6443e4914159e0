"""Sessions of the engine that was used before: TAKE_OVER and manage.py import_sessions."""

import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session as OldSession
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import connection, transaction
from django.db.utils import OperationalError
from django.test import Client

from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.engine.take_over import OldEngine
from bff_sessions.exceptions import SessionBusy, SessionChanged
from bff_sessions.models import Session
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from tests.support.checks import only_message
from tests.support.factories import UserFactory
from tests.support.old_sessions import (
    OLD,
    OldStore,
    import_sessions,
    import_sessions_lines,
    old_session,
    old_sign_in,
    row_of,
)
from tests.support.stores import CACHED, MEMORY, ORM


@pytest.fixture
def taking_over(settings):
    settings.BFF_SESSIONS = {"TAKE_OVER": OLD}


# When its cookie comes


@pytest.mark.django_db
def test_a_session_moves_when_its_cookie_comes(taking_over, calls):
    key = old_session(cart=[1, 2])
    end = OldSession.objects.get().expire_date
    assert dict(calls.items(SessionStore(key))) == {"cart": [1, 2]}
    assert not OldSession.objects.exists()
    assert row_of(key).expires == end


@pytest.mark.django_db
def test_a_user_stays_signed_in_and_can_be_found(taking_over, client):
    user = UserFactory(admin=True)
    client.cookies["sessionid"] = old_sign_in(user)
    assert client.get("/admin/").status_code == 200
    (session,) = get_store().get_user_sessions(UserSessionsFilter(subject_id=str(user.pk)))
    assert session.session_id is not None


@pytest.mark.django_db
def test_a_session_that_moves_for_an_exclusive_block_is_leased(taking_over):
    key = old_session(token=1)
    other = SessionStore(key).exclusive(timeout=0)
    with SessionStore(key).exclusive(), pytest.raises(SessionBusy), other:
        pass


@pytest.mark.django_db
def test_what_was_revoked_here_does_not_come_back_from_there(taking_over):
    user = UserFactory()
    key = old_sign_in(user)
    assert SessionStore(key)[SESSION_KEY] == str(user.pk)
    assert revoke_sessions(UserSessionsFilter(user_id=str(user.pk))) == 1
    assert dict(SessionStore(key).items()) == {}
    assert import_sessions() == "0 sessions moved."
    assert dict(SessionStore(key).items()) == {}


@pytest.mark.django_db
def test_signed_out_is_out_though_its_key_is_there_again(taking_over, monkeypatch):
    """A save that has to read the session anew must not find it in the table of before."""
    key = old_sign_in(UserFactory())
    there = OldSession.objects.get()
    session = SessionStore(key)
    session["a"] = 1
    there.save()

    def lose_the_race(self, read, session):
        self.delete_user_session(read.key)
        raise SessionChanged

    monkeypatch.setattr(type(get_store()), "overwrite_user_session", lose_the_race)
    with pytest.raises(UpdateError):
        session.save()
    assert not Session.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("ends", ["flush", "delete"])
def test_a_session_ends_there_too_before_it_has_moved(taking_over, calls, ends):
    key = old_session(a=1)
    getattr(calls, ends)(SessionStore(key))
    assert not OldSession.objects.exists()
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_a_session_of_before_exists(taking_over, calls):
    assert calls.exists(SessionStore(), old_session(a=1))


@pytest.mark.django_db
def test_a_key_is_looked_up_there_once(taking_over, django_assert_num_queries):
    old = old_session(a=1)
    with django_assert_num_queries(3):  # Here, there, and here again for a race that was lost.
        dict(SessionStore("x" * 32).items())
    dict(SessionStore(old).items())
    with django_assert_num_queries(1):
        dict(SessionStore(old).items())


@pytest.mark.django_db
def test_nothing_is_looked_up_there_unless_so_set(django_assert_num_queries):
    key = old_session(a=1)
    with django_assert_num_queries(1):
        assert dict(SessionStore(key).items()) == {}
    assert OldSession.objects.exists()


@pytest.mark.django_db
def test_what_has_expired_there_stays_there_in_silence(taking_over, caplog):
    key = old_session(a=1)
    OldSession.objects.update(expire_date=datetime.now(UTC) - timedelta(seconds=1))
    assert dict(SessionStore(key).items()) == {}
    assert OldSession.objects.exists()
    assert caplog.records == []


@pytest.mark.django_db
def test_what_does_not_open_stays_there_and_the_log_says_why(taking_over, caplog):
    key = old_session(secret="hidden")
    OldSession.objects.update(session_data="garbage")
    assert dict(SessionStore(key).items()) == {}
    assert OldSession.objects.exists()
    (record,) = caplog.records
    assert "not signed with SECRET_KEY" in record.getMessage()
    assert key not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_at_once_both_have_the_session(settings):
    settings.BFF_SESSIONS = {"TAKE_OVER": OLD}
    key = old_session(a=1)
    barrier, found = threading.Barrier(4), []

    def request():
        barrier.wait()
        try:
            found.append(dict(SessionStore(key).items()))
        finally:
            connection.close()

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"a": 1}] * 4
    assert Session.objects.count() == 1
    assert not OldSession.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_rollback_leaves_the_session_there(taking_over):
    key = old_session(a=1)
    with transaction.atomic():
        assert dict(SessionStore(key).items()) == {"a": 1}
        transaction.set_rollback(True)
    assert OldSession.objects.exists()
    assert dict(SessionStore(key).items()) == {"a": 1}


@pytest.mark.django_db
def test_what_was_saved_there_meanwhile_is_what_moves(taking_over, monkeypatch):
    key = old_session(a=1)
    to_session = OldEngine.to_session

    def slow(self, old):
        monkeypatch.undo()
        other = OldStore(key)
        other["b"] = 2
        other.save()
        return to_session(self, old)

    monkeypatch.setattr(OldEngine, "to_session", slow)
    assert dict(SessionStore(key).items()) == {"a": 1, "b": 2}


# All at once


@pytest.mark.django_db
def test_every_live_cookie_works_after_the_import(django_user_model):
    users = [UserFactory(admin=True) for _ in range(5)]
    keys = [old_sign_in(user) for user in users]
    assert import_sessions("--batch-size", "2") == "5 sessions moved."
    assert not OldSession.objects.exists()
    for user, key in zip(users, keys, strict=True):
        client = Client()
        client.cookies["sessionid"] = key
        assert client.get("/admin/").context["user"] == user


@pytest.mark.django_db
def test_a_second_run_finds_nothing_left():
    old_session(a=1)
    assert import_sessions() == "1 session moved."
    assert import_sessions() == "0 sessions moved."


@pytest.mark.django_db
def test_a_dry_run_moves_nothing():
    old_session(a=1)
    assert import_sessions("--dry-run") == "1 session would be moved."
    assert OldSession.objects.count() == 1
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_what_is_left_there_is_told_with_its_reason():
    for _ in range(3):
        old_session(a=1)
    expired, garbage, taken = OldSession.objects.order_by("session_key")
    OldSession.objects.filter(pk=expired.pk).update(expire_date=datetime(2020, 1, 1, tzinfo=UTC))
    OldSession.objects.filter(pk=garbage.pk).update(session_data="garbage")
    SessionStore(taken.pk).save(must_create=True)
    moved = old_session(a=2)
    assert import_sessions() == (
        "1 session moved. Not moved: expired (1), not signed with SECRET_KEY or one of "
        "SECRET_KEY_FALLBACKS (1), its key is taken in the store (1)."
    )
    assert OldSession.objects.count() == 3
    assert SessionStore(moved)["a"] == 2


@pytest.mark.django_db
def test_a_claim_that_cannot_be_kept_leaves_the_session_there():
    old_session(oidc={"iss": "https://idp.example", "sub": "x" * 300})
    assert import_sessions() == "0 sessions moved. Not moved: unreadable: ValueError (1)."


@pytest.mark.django_db
def test_what_is_stopped_goes_on_with_the_next_run(monkeypatch):
    for number in range(4):
        old_session(number=number)
    move = OldEngine.move

    def killed(self, pairs):
        if OldSession.objects.count() < 4:
            raise KeyboardInterrupt
        return move(self, pairs)

    monkeypatch.setattr(OldEngine, "move", killed)
    with pytest.raises(KeyboardInterrupt):
        import_sessions("--batch-size", "2")
    assert (OldSession.objects.count(), Session.objects.count()) == (2, 2)
    monkeypatch.undo()
    assert import_sessions("--batch-size", "2") == "2 sessions moved."


@pytest.mark.django_db
def test_sigterm_ends_it_between_two_batches(monkeypatch):
    for number in range(4):
        old_session(number=number)
    move = OldEngine.move

    def terminated(self, pairs):
        signal.raise_signal(signal.SIGTERM)
        return move(self, pairs)

    monkeypatch.setattr(OldEngine, "move", terminated)
    assert import_sessions("--batch-size", "2") == (
        "2 sessions moved. Stopped by a signal; run it again for the rest."
    )
    assert OldSession.objects.count() == 2


@pytest.mark.django_db
def test_a_key_that_no_cookie_holds_here_leaves_the_session_there():
    session = OldStore()
    session["a"] = 1
    session._session_key = "no\tkey of ours"
    session.save(must_create=True)
    assert import_sessions() == (
        "0 sessions moved. Not moved: its session key is not valid here (1)."
    )


@pytest.mark.django_db
def test_what_another_run_moves_meanwhile_is_not_moved_twice(monkeypatch):
    old_session(a=1)
    to_session = OldEngine.to_session

    def slow(self, old):
        monkeypatch.undo()
        assert import_sessions() == "1 session moved."
        return to_session(self, old)

    monkeypatch.setattr(OldEngine, "to_session", slow)
    assert import_sessions() == "0 sessions moved. Not moved: changed meanwhile (1)."
    assert Session.objects.count() == 1


# What to do next


def next_step(*arguments):
    _, *lines = import_sessions_lines(*arguments)
    return " ".join(lines)


@pytest.mark.django_db
def test_import_of_an_empty_table_asks_for_the_engine():
    assert next_step() == (
        f"The table of {OLD!r} is empty. If you used another engine before, name it with --from."
    )


@pytest.mark.django_db
def test_import_that_moves_nothing_says_that_nothing_else_can_move():
    old_session(a=1)
    OldSession.objects.update(session_data="garbage")
    assert next_step() == f"No other session in the table of {OLD!r} can move."


@pytest.mark.django_db
def test_dry_run_says_how_to_move():
    old_session(a=1)
    assert next_step("--dry-run") == "Run it without --dry-run to move them."


@pytest.mark.django_db
def test_import_says_what_happens_to_later_sessions(settings):
    old_session(a=1)
    assert f"or set BFF_SESSIONS['TAKE_OVER'] = {OLD!r}." in next_step()
    settings.BFF_SESSIONS = {"TAKE_OVER": OLD}
    old_session(a=1)
    assert "then leave out BFF_SESSIONS['TAKE_OVER']." in next_step()


@pytest.mark.django_db
def test_silent_import_advises_nothing():
    old_session(a=1)
    assert import_sessions_lines(verbosity=0) == []


# What cannot be


def test_engine_whose_app_is_not_installed_is_named(db, monkeypatch):
    def refuse():
        raise RuntimeError("Model class isn't in an application in INSTALLED_APPS.")

    monkeypatch.setattr(OldStore, "get_model_class", refuse)
    with pytest.raises(CommandError, match=f"The app of the engine {OLD!r} is not installed"):
        import_sessions()


def test_engine_without_its_table_is_named(db, monkeypatch):
    def refuse(self):
        raise OperationalError("no such table: django_session")

    monkeypatch.setattr(OldEngine, "count", refuse)
    with pytest.raises(CommandError, match=f"The table of {OLD!r} cannot be read"):
        import_sessions()


def test_without_such_an_engine_the_command_says_so(db):
    for engine in ("django.contrib.sessions.backends.file", "bff_sessions.engine", "json"):
        with pytest.raises(CommandError, match="is not a session engine with a table"):
            import_sessions("--from", engine)
    with pytest.raises(CommandError, match=r"'no\.such\.engine' cannot be imported"):
        import_sessions("--from", "no.such.engine")


@pytest.mark.parametrize("engine", ["no.such.engine", "django.contrib.session.backends.db", 7])
def test_engine_that_cannot_be_imported_is_e061(settings, engine):
    settings.BFF_SESSIONS = {"TAKE_OVER": engine}
    message = only_message("E061")
    assert f"BFF_SESSIONS['TAKE_OVER'] cannot be imported: {engine!r}" in message.msg


@pytest.mark.parametrize(
    "engine", ["bff_sessions.engine", "django.contrib.sessions.backends.file", "json"]
)
def test_engine_without_a_table_is_e060(settings, engine):
    settings.BFF_SESSIONS = {"TAKE_OVER": engine}
    assert f"a session engine with a table of its own, or None; it is {engine!r}" in (
        only_message("E060").msg
    )


def test_old_sessions_in_another_database_are_e062(settings):
    settings.DEBUG = True  # No W002.
    settings.BFF_SESSIONS = {"STORE": MEMORY, "TAKE_OVER": OLD}
    assert "must use the database of the store" in only_message("E062").msg


def test_django_s_own_engine_is_right(taking_over):
    assert run_checks() == []


def test_tables_must_be_in_one_database(settings):
    settings.BFF_SESSIONS = {"STORE": MEMORY}
    with pytest.raises(ImproperlyConfigured, match="must be in the database of the store"):
        OldEngine(OLD)
    for store in (ORM, CACHED):
        settings.BFF_SESSIONS = {"STORE": store}
        OldEngine(OLD)


# The way back


@pytest.mark.django_db
def test_on_the_way_back_what_has_moved_signs_in_again_and_the_rest_lives(settings, taking_over):
    """The package does not know the keys of the old table."""
    moved, stays = old_session(a=1), old_session(b=2)
    assert SessionStore(moved)["a"] == 1
    assert dict(OldStore(moved).items()) == {}
    assert OldStore(stays)["b"] == 2
