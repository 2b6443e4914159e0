import io
import os
import pathlib
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.sessions.management.commands import clearsessions
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, connections

from bff_sessions.contract import ANY, UserSessionStore
from bff_sessions.engine import SessionStore
from bff_sessions.models import Logout, Session
from bff_sessions.oidc.models import LogoutQuerySet
from bff_sessions.stores import get_store
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.testing import make_session
from tests.support.factories import SessionFactory

ROOT = pathlib.Path(__file__).parents[3]
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def cleanup(*arguments, **options):
    """What the command prints; without rests between batches."""
    out = io.StringIO()
    call_command("cleanup_sessions", *arguments, **{"sleep": 0, "stdout": out} | options)
    return out.getvalue()


def use(settings, store):
    settings.BFF_SESSIONS = {"STORE": f"tests.unit.management.test_cleanup_sessions.{store}"}


class Clock:
    """In place of the module `time`."""

    def __init__(self):
        self.now = self.slept = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds

    def taking(self, seconds, function):
        def wrapper(*args, **kwargs):
            self.now += seconds
            return function(*args, **kwargs)

        return wrapper


class Terminal(io.StringIO):
    def isatty(self):
        return True


class RecordingStore(OrmUserSessionStore):
    """Remembers how it was called, and the size of each batch."""

    calls = []
    batches = []

    def delete_expired_sessions(self, *, on_deleted=None, **arguments):
        def record(deleted):
            self.batches.append(len(deleted))
            if on_deleted is not None:
                on_deleted(deleted)

        self.calls.append(arguments)
        return super().delete_expired_sessions(on_deleted=record, **arguments)


class InterruptedStore(OrmUserSessionStore):
    """A signal arrives while the first batch is being removed."""

    number = signal.SIGTERM

    def _lock(self, *args, **kwargs):
        signal.raise_signal(self.number)
        return super()._lock(*args, **kwargs)


class InterruptedAtRestStore(OrmUserSessionStore):
    """A signal arrives after a batch."""

    number = signal.SIGTERM

    def delete_expired_sessions(self, *, on_deleted=None, **arguments):
        def interrupt(deleted):
            signal.raise_signal(self.number)

        return super().delete_expired_sessions(on_deleted=interrupt, **arguments)


class BrokenStore(OrmUserSessionStore):
    def delete_expired_sessions(self, **arguments):
        raise DatabaseError("the database is gone")


class RenewedMeanwhileStore(OrmUserSessionStore):
    """A session is renewed after it was chosen and before it is locked."""

    renewed_key = None

    def _lock(self, *args, **kwargs):
        def renew():
            Session.objects.filter(key=self.renewed_key).update(expires=tomorrow())
            connections.close_all()

        if connection.features.has_select_for_update:
            thread = threading.Thread(target=renew)
            thread.start()
            thread.join()
        else:
            # Nobody else can write by now.
            Session.objects.filter(key=self.renewed_key).update(expires=tomorrow())
        return super()._lock(*args, **kwargs)


class NoCleanupStore(UserSessionStore):
    create_user_session = get_user_session = update_user_session = None
    delete_user_session = get_user_sessions = delete_user_sessions = None


def tomorrow():
    return datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def recorded(settings):
    use(settings, "RecordingStore")
    RecordingStore.calls.clear()
    RecordingStore.batches.clear()
    return RecordingStore


@pytest.fixture(autouse=True)
def handlers_are_restored():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


# What goes and what stays


@pytest.mark.django_db
def test_expired_sessions_go_and_live_ones_stay():
    SessionFactory.create_batch(3, expired=True)
    SessionFactory(expired=True, anonymous=True)
    stay = {SessionFactory(), SessionFactory(endless=True), SessionFactory(anonymous=True)}
    cleanup()
    assert set(Session.objects.all()) == stay


@pytest.mark.django_db
@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("time_zone", ["UTC", "America/Chicago", "Asia/Tokyo"])
def test_a_session_goes_at_its_moment_in_every_time_zone(settings, use_tz, time_zone):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, time_zone
    now = datetime.now(UTC)
    SessionFactory(expires=now - timedelta(seconds=1))
    stays = SessionFactory(expires=now + timedelta(minutes=5))
    cleanup()
    assert Session.objects.get().pk == stays.pk


@pytest.mark.django_db
def test_nothing_to_do_is_no_fault():
    assert cleanup() == "0 expired sessions deleted.\n"


@pytest.mark.django_db
def test_a_partition_can_be_named():
    SessionFactory(expired=True, partition="shop")
    stay = {
        SessionFactory(expired=True, partition="blog"),
        SessionFactory(expired=True, partition="Shop"),
        SessionFactory(partition="shop"),
    }
    assert cleanup("--partition", "shop") == "1 expired session deleted.\n"
    assert set(Session.objects.all()) == stay


@pytest.mark.django_db
def test_a_dry_run_counts_and_removes_nothing():
    SessionFactory.create_batch(3, expired=True)
    SessionFactory()
    assert cleanup("--dry-run") == "3 expired sessions would be deleted.\n"
    assert Session.objects.count() == 4


@pytest.mark.django_db
def test_a_dry_run_counts_one_partition():
    SessionFactory(expired=True, partition="shop")
    SessionFactory(expired=True)
    assert cleanup("--dry-run", partition="shop") == "1 expired session would be deleted.\n"


def test_another_store_is_cleaned_up(settings):
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.memory.InMemoryUserSessionStore"}
    get_store().create_user_session(make_session(expires=datetime.now(UTC)))
    live = make_session()
    get_store().create_user_session(live)
    assert cleanup() == "1 expired session deleted.\n"
    assert get_store().get_user_session(live.key) == live
    assert isinstance(get_store(), InMemoryUserSessionStore)


# Batches, time and rest


@pytest.mark.django_db
def test_batches_are_no_larger_than_asked_for(recorded):
    SessionFactory.create_batch(7, expired=True)
    assert cleanup("--batch-size", "3") == "7 expired sessions deleted.\n"
    assert recorded.batches == [3, 3, 1]
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_one_batch_is_enough_by_default(recorded):
    SessionFactory.create_batch(7, expired=True)
    cleanup()
    assert recorded.batches == [7]


@pytest.mark.django_db
def test_batches_of_more_than_one_statement_are_removed_whole(recorded):
    rows = [SessionFactory.build(expired=True) for _ in range(1300)]
    Session.objects.bulk_create(rows)
    assert cleanup() == "1300 expired sessions deleted.\n"
    assert sum(recorded.batches) == 1300


@pytest.mark.django_db
def test_no_time_is_enough_for_nothing(recorded):
    SessionFactory(expired=True)
    said = "0 expired sessions deleted. Stopped by --max-seconds, 1 left.\n"
    assert cleanup("--max-seconds", "0") == said
    assert recorded.batches == []
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_no_batch_begins_after_the_time_is_over(recorded, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("bff_sessions.contract.pacing.time", clock)
    monkeypatch.setattr(OrmUserSessionStore, "_lock", clock.taking(3, OrmUserSessionStore._lock))
    SessionFactory.create_batch(10, expired=True)
    # At 0, 3, 6 and 9 seconds.
    assert cleanup("--batch-size", "1", "--max-seconds", "10") == "4 expired sessions deleted.\n"
    assert recorded.batches == [1, 1, 1, 1]
    assert Session.objects.count() == 6


@pytest.mark.django_db
@pytest.mark.parametrize(("limit", "logouts_left", "sessions_left"), [(7, 2, 5), (19, 0, 4)])
def test_logouts_and_sessions_share_the_time(
    recorded, settings, monkeypatch, limit, logouts_left, sessions_left
):
    clock = Clock()
    for module in ("contract.pacing", "management.commands.cleanup_sessions"):
        monkeypatch.setattr(f"bff_sessions.{module}.time", clock)
    for owner, name in ((OrmUserSessionStore, "_lock"), (LogoutQuerySet, "delete_expired")):
        monkeypatch.setattr(owner, name, clock.taking(3, getattr(owner, name)))
    providers = {"https://idp.example": {"CLIENT_ID": "shop"}}
    settings.BFF_SESSIONS = settings.BFF_SESSIONS | {"PROVIDERS": providers}
    moments = dict.fromkeys(["issued", "received", "expires"], datetime.now(UTC))
    Logout.objects.bulk_create(Logout(token=str(number), **moments) for number in range(5))
    SessionFactory.create_batch(5, expired=True)
    # Each batch takes 3 seconds, also the one that finds nothing.
    cleanup("--batch-size", "1", "--max-seconds", str(limit))
    assert Logout.objects.count() == logouts_left
    assert Session.objects.count() == sessions_left


@pytest.mark.django_db
def test_no_rest_is_longer_than_the_time_that_is_left(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("bff_sessions.contract.pacing.time", clock)
    SessionFactory.create_batch(3, expired=True)
    cleanup("--batch-size", "1", "--max-seconds", "10", sleep=1000)
    assert 10 <= clock.slept < 11
    assert Session.objects.count() == 2


@pytest.mark.django_db
def test_the_arguments_reach_the_store(recorded):
    call_command(
        "cleanup_sessions",
        "--batch-size=7",
        "--max-seconds=60",
        "--sleep=0.001",
        "--partition=shop",
        verbosity=0,
    )
    (arguments,) = recorded.calls
    assert arguments["batch_size"] == 7
    assert arguments["max_seconds"] == 60
    assert arguments["sleep"] == 0.001
    assert arguments["partition"] == "shop"


@pytest.mark.django_db
def test_without_arguments_the_store_has_its_way(recorded):
    call_command("cleanup_sessions", verbosity=0)
    (arguments,) = recorded.calls
    assert arguments["batch_size"] == 10_000
    assert arguments["max_seconds"] is None
    assert arguments["sleep"] is None
    assert arguments["partition"] is ANY


@pytest.mark.django_db
def test_it_rests_between_batches_for_as_long_as_asked_for(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("bff_sessions.contract.pacing.time", clock)
    SessionFactory.create_batch(3, expired=True)
    cleanup("--batch-size", "1", sleep=5)
    assert clock.slept in (pytest.approx(10), pytest.approx(15))  # After the last one, too, or not.


@pytest.mark.django_db
def test_it_does_not_rest_if_asked_not_to(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("bff_sessions.contract.pacing.time", clock)
    SessionFactory.create_batch(3, expired=True)
    cleanup("--batch-size", "1", sleep=0)
    assert clock.slept == 0


@pytest.mark.django_db
def test_it_rests_in_proportion_to_what_the_batch_took_by_default(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("bff_sessions.contract.pacing.time", clock)
    # Each rest as long as it is on average.
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    monkeypatch.setattr(OrmUserSessionStore, "_lock", clock.taking(3, OrmUserSessionStore._lock))
    SessionFactory.create_batch(3, expired=True)
    cleanup("--batch-size", "1", sleep=None)
    # Three times; on SQLite nobody else can write during a batch.
    assert clock.slept == pytest.approx(18 if connection.vendor == "sqlite" else 9)
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_a_batch_takes_few_statements(django_assert_max_num_queries):
    SessionFactory.create_batch(20, expired=True)
    # Savepoint, lock, select, delete and release, and the same again to find nothing left.
    with django_assert_max_num_queries(9):
        cleanup()


# What it says


@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 1, 2])
def test_it_says_in_one_line_what_was_done(count):
    SessionFactory.create_batch(count, expired=True)
    noun = "session" if count == 1 else "sessions"
    assert cleanup() == f"{count} expired {noun} deleted.\n"


@pytest.mark.django_db
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("dry_run", [True, False])
def test_with_verbosity_0_it_says_nothing(stream, dry_run):
    SessionFactory(expired=True)
    err = stream()
    assert cleanup(verbosity=0, dry_run=dry_run, stderr=err) == ""
    assert err.getvalue() == ""
    assert Session.objects.exists() == dry_run


@pytest.mark.django_db
def test_a_terminal_gets_a_progress_bar():
    SessionFactory.create_batch(3, expired=True)
    err = Terminal()
    assert cleanup("--batch-size", "1", stderr=err) == "3 expired sessions deleted.\n"
    assert "3/3" in err.getvalue()
    assert "100%" in err.getvalue()


@pytest.mark.django_db
def test_the_progress_bar_stays_on_its_line():
    SessionFactory.create_batch(3, expired=True)
    err = Terminal()
    cleanup("--batch-size", "1", stderr=err)
    assert err.getvalue().strip().count("\n") == 0


@pytest.mark.django_db
def test_the_progress_bar_counts_one_partition():
    SessionFactory.create_batch(2, expired=True, partition="shop")
    SessionFactory(expired=True)
    err = Terminal()
    cleanup("--partition", "shop", stderr=err)
    assert "2/2" in err.getvalue()


@pytest.mark.django_db
def test_what_is_no_terminal_gets_no_progress_bar():
    SessionFactory(expired=True)
    err = io.StringIO()
    cleanup(stderr=err)
    assert err.getvalue() == ""


@pytest.mark.django_db
def test_without_tqdm_there_is_no_progress_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    SessionFactory(expired=True)
    err = Terminal()
    assert cleanup(stderr=err) == "1 expired session deleted.\n"
    assert err.getvalue() == ""


class GoneTerminal(Terminal):
    def write(self, text):
        raise BrokenPipeError


class BrokenBar:
    """A bar of tqdm that can be drawn and not moved."""

    def __init__(self, **options):
        pass

    def update(self, number):
        raise RuntimeError

    close = update


@pytest.mark.django_db
def test_clean_up_goes_on_when_the_terminal_is_gone():
    SessionFactory.create_batch(3, expired=True)
    assert cleanup(stderr=GoneTerminal()) == "3 expired sessions deleted.\n"
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_clean_up_goes_on_without_a_bar_that_fails(monkeypatch):
    monkeypatch.setattr("tqdm.tqdm", BrokenBar)
    SessionFactory.create_batch(3, expired=True)
    assert cleanup(stderr=Terminal()) == "3 expired sessions deleted.\n"
    assert not Session.objects.exists()


# What it refuses


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch-size", "0"],
        ["--batch-size", "-1"],
        ["--batch-size", "many"],
        ["--batch-size", "1.5"],
        ["--max-seconds", "-1"],
        ["--max-seconds", "nan"],
        ["--max-seconds", "soon"],
        ["--sleep", "-0.1"],
        ["--sleep", "nan"],
        ["--sleep", ""],
        ["--sleep", "inf"],
        ["--partition", " "],
        ["--partition", ""],
        ["--nope"],
        ["session"],
    ],
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(CommandError) as caught:
        call_command("cleanup_sessions", *arguments)
    assert arguments[0] in str(caught.value)


@pytest.mark.parametrize("option", ["--batch-size", "--max-seconds", "--sleep"])
def test_what_is_wrong_with_an_argument_is_said_in_words(option):
    with pytest.raises(CommandError) as caught:
        call_command("cleanup_sessions", option, "-1")
    # argparse says "invalid <name of the function> value" of its own.
    assert "invalid _" not in str(caught.value)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"sleep": -1}, {"max_seconds": -1}])
@pytest.mark.django_db
def test_bad_options_from_python_are_refused(options):
    SessionFactory(expired=True)
    with pytest.raises((CommandError, ValueError)):
        cleanup(**options)
    assert Session.objects.count() == 1


def test_store_that_cannot_clean_up_deletes_expired_sessions_by_itself(settings):
    use(settings, "NoCleanupStore")
    by_itself = "NoCleanupStore deletes expired sessions by itself."
    assert cleanup() == f"{by_itself} The other clean-up is done.\n"
    assert cleanup(dry_run=True) == f"{by_itself}\n"
    assert cleanup(verbosity=0) == ""


@pytest.mark.django_db
def test_an_error_of_the_database_is_not_swallowed(settings):
    use(settings, "BrokenStore")
    with pytest.raises(DatabaseError):
        cleanup()


# As a process


def run(*arguments, **environment):
    """Run the command as cron does."""
    return subprocess.run(
        [sys.executable, "-m", "django", "cleanup_sessions", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_bad_argument_exits_with_2():
    process = run("--batch-size", "0")
    assert process.returncode == 2
    assert "--batch-size" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_database_out_of_reach_exits_with_a_fault(tmp_path):
    url = f"sqlite:///{tmp_path}/missing/database.sqlite3"
    process = run(TEST_DATABASE_URL=url)
    assert process.returncode == 1
    assert process.stdout == ""
    assert "unable to open database file" in process.stderr


PROGRAM = """
import sys
import django
from django.conf import settings
from django.core.management import call_command
from bff_sessions.stores.orm import OrmUserSessionStore

class TalkingStore(OrmUserSessionStore):
    def _lock(self, *args, **kwargs):
        deleted = super()._lock(*args, **kwargs)
        print("batch", flush=True)
        return deleted

if __name__ == "__main__":
    from datetime import timedelta
    from bff_sessions.models import Session
    from bff_sessions.testing import make_session

    call_command("migrate", verbosity=0)
    for _ in range(3):
        session = make_session()
        TalkingStore().create_user_session(make_session(expires=session.created - timedelta(1)))
    call_command("cleanup_sessions", batch_size=1, sleep=50)
    print(Session.objects.count(), "left")
"""
SETTINGS = """
SECRET_KEY = "x" * 50
INSTALLED_APPS = ["bff_sessions"]
SESSION_ENGINE = "bff_sessions.engine"
BFF_SESSIONS = {"STORE": "program.TalkingStore"}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "sessions.sqlite3"}}
"""


@pytest.mark.processes
@SIGNALS
def test_a_signal_ends_a_process_at_rest_with_what_was_done(tmp_path, number):
    main = "import django\ndjango.setup()\nimport runpy\n"
    main += 'runpy.run_module("program", run_name="__main__")\n'
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "program_settings.py").write_text(SETTINGS)
    (tmp_path / "main.py").write_text(main)
    with subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
            "DJANGO_SETTINGS_MODULE": "program_settings",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            assert process.stdout.readline() == "batch\n", process.stderr.read()
            process.send_signal(number)
            out, err = process.communicate()
        finally:
            process.kill()
            watchdog.cancel()
            watchdog.join()
    assert err == ""
    assert out == "1 expired session deleted. Stopped by a signal.\n2 left\n"
    assert process.returncode == 0


# Signals


@pytest.mark.django_db
@SIGNALS
@pytest.mark.parametrize("store", ["InterruptedStore", "InterruptedAtRestStore"])
def test_a_signal_ends_it_after_the_batch(settings, monkeypatch, store, number):
    monkeypatch.setattr(globals()[store], "number", number)
    use(settings, store)
    SessionFactory.create_batch(7, expired=True)
    said = cleanup("--batch-size", "3", sleep=60)
    assert said == "3 expired sessions deleted. Stopped by a signal.\n"
    assert Session.objects.count() == 4


@pytest.mark.django_db
@SIGNALS
def test_handlers_of_signals_are_as_before(settings, number):
    calls = []

    def handler(number, frame):
        calls.append(number)

    before = signal.signal(number, handler)
    try:
        cleanup()
        assert signal.getsignal(number) is handler
        use(settings, "BrokenStore")
        with pytest.raises(DatabaseError):
            cleanup()
        assert signal.getsignal(number) is handler
        use(settings, "InterruptedStore")
        InterruptedStore.number = number
        SessionFactory(expired=True)
        cleanup()
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
        InterruptedStore.number = signal.SIGTERM
    assert calls == []


def test_outside_of_the_main_thread_signals_are_left_alone(settings):
    settings.BFF_SESSIONS = {"STORE": "bff_sessions.stores.memory.InMemoryUserSessionStore"}
    said = []
    thread = threading.Thread(target=lambda: said.append(cleanup()))
    thread.start()
    thread.join()
    assert said == ["0 expired sessions deleted.\n"]


# Django's own command


@pytest.mark.django_db
@pytest.mark.parametrize(
    "clear",
    [lambda: clearsessions.Command().handle(), lambda: call_command(clearsessions.Command())],
)
def test_clearsessions_of_django_works_too(clear):
    SessionFactory(expired=True)
    stay = {SessionFactory(), SessionFactory(endless=True)}
    clear()
    assert set(Session.objects.all()) == stay


def test_clearsessions_says_so_if_the_store_cannot(settings):
    use(settings, "NoCleanupStore")
    with pytest.raises(CommandError, match="doesn't support clearing expired sessions"):
        call_command(clearsessions.Command())
    with pytest.raises(NotImplementedError, match="NoCleanupStore"):
        SessionStore.clear_expired()


# At the same time


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_two_at_once_remove_everything_exactly_once():
    rows = [SessionFactory.build(expired=True) for _ in range(200)]
    Session.objects.bulk_create(rows)
    live = SessionFactory()
    start, results, told = threading.Barrier(2), [], []

    def work():
        start.wait()
        try:
            results.append(
                get_store().delete_expired_sessions(batch_size=7, sleep=0, on_deleted=told.extend)
            )
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(result, int) for result in results), results
    assert sum(results) == 200
    assert sorted(session.key for session in told) == sorted(row.key for row in rows)
    assert Session.objects.get() == live


@pytest.mark.django_db(transaction=True)
def test_a_session_renewed_between_select_and_delete_stays(settings, monkeypatch):
    use(settings, "RenewedMeanwhileStore")
    SessionFactory.create_batch(3, expired=True)
    renewed = SessionFactory(expired=True)
    monkeypatch.setattr(RenewedMeanwhileStore, "renewed_key", renewed.key)
    assert cleanup() == "3 expired sessions deleted.\n"
    assert Session.objects.get() == renewed
    assert get_store().get_user_session(renewed.key) is not None
