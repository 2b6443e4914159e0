"""Error reports show the variables of a traceback's frames: none of the engine's is a secret."""

import html
import secrets
import sys
import traceback
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from unittest import mock

import pytest
import sentry_sdk
from asgiref.sync import async_to_sync
from django.contrib.sessions.serializers import JSONSerializer
from django.db import OperationalError, connection
from django.test import RequestFactory
from django.views.debug import ExceptionReporter
from sentry_sdk.transport import Transport

from bff_sessions.engine import SessionStore
from bff_sessions.identity import resolve_identity
from bff_sessions.stores import get_store
from tests.support.stores import MEMORY, ORM

VERBS = [
    "get_user_session",
    "create_user_session",
    "overwrite_user_session",
    "touch_user_session",
    "delete_user_session",
    "get_user_sessions",
    "delete_user_sessions",
    "query_user_sessions",
    "acquire_lease",
    "release_lease",
    "on_commit",
]
OTHERS = ["statement", "dumps", "loads", "resolver"]


class Seeds:
    """Secrets of one session. A plain object, into which reports do not look."""

    def __init__(self):
        self.token = secrets.token_hex(20)
        session = SessionStore()
        session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
        session["access_token"] = self.token
        session.save()
        row = session.get_user_session()
        self.session_key = session.session_key
        self.texts = [self.session_key, row.key, self.token, repr(row.ticket)[2:-1]]
        # Of the tickets that are made later, as a report shows bytes.
        self.texts.append(repr(row.ticket[:9])[2:-1])


def load(session, seeds):
    return session.load()


def save(session, seeds):
    session["new"] = seeds.token
    session.save()


def renew(session, seeds):
    session.get("x")
    session.save()


def set_item(session, seeds):
    session["access_token"] = seeds.token


def update(session, seeds):
    session.update({"access_token": seeds.token, "_auth_user_id": "1"})


def set_default(session, seeds):
    session.setdefault("other", seeds.token)


def delete(session, seeds):
    session.delete(seeds.session_key)


def exists(session, seeds):
    session.exists(seeds.session_key)


def sign_in(session, seeds):
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "s2"}
    session.save()


def sign_in_again(session, seeds):
    new = SessionStore()
    new["access_token"] = seeds.token
    new["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
    new.save()


def save_after_a_move(session, seeds):
    session["new"] = seeds.token
    SessionStore(seeds.session_key).cycle_key()
    session.save()


def flush_after_a_move(session, seeds):
    session.get("x")
    SessionStore(seeds.session_key).cycle_key()
    session.flush()


def exclusive(session, seeds):
    with session.exclusive():
        session["new"] = seeds.token


OPERATIONS = [
    load,
    save,
    renew,
    set_item,
    update,
    set_default,
    lambda session, seeds: session.create(),
    lambda session, seeds: session.cycle_key(),
    lambda session, seeds: session.flush(),
    lambda session, seeds: session.modified,
    lambda session, seeds: session.get_expiry_age(),
    delete,
    exists,
    sign_in,
    sign_in_again,
    save_after_a_move,
    flush_after_a_move,
    exclusive,
]


async def aset_item(session, seeds):
    await session.aset("access_token", seeds.token)


async def asave(session, seeds):
    await session.aset("new", seeds.token)
    await session.asave()


async def aupdate(session, seeds):
    await session.aupdate({"access_token": seeds.token, "_auth_user_id": "1"})


async def aset_default(session, seeds):
    await session.asetdefault("other", seeds.token)


async def asign_in(session, seeds):
    await session.aset("oidc", {"iss": "https://idp.example", "sub": "alice", "sid": "s2"})
    await session.asave()


async def asign_in_again(session, seeds):
    new = SessionStore()
    await new.aset("access_token", seeds.token)
    await new.aset("oidc", {"iss": "https://idp.example", "sub": "alice", "sid": "s1"})
    await new.asave()


async def arenew(session, seeds):
    await session.aget("x")
    await session.asave()


async def asave_after_a_move(session, seeds):
    await session.aset("new", seeds.token)
    await SessionStore(seeds.session_key).acycle_key()
    await session.asave()


async def aflush_after_a_move(session, seeds):
    await session.aget("x")
    await SessionStore(seeds.session_key).acycle_key()
    await session.aflush()


async def aexclusive(session, seeds):
    async with session.exclusive():
        await session.aset("new", seeds.token)


ASYNC_OPERATIONS = [
    lambda session, seeds: session.aload(),
    arenew,
    lambda session, seeds: session.acreate(),
    lambda session, seeds: session.acycle_key(),
    lambda session, seeds: session.aflush(),
    lambda session, seeds: session.aget_expiry_age(),
    lambda session, seeds: session.adelete(seeds.session_key),
    lambda session, seeds: session.aexists(seeds.session_key),
    aset_item,
    asave,
    aupdate,
    aset_default,
    asign_in,
    asign_in_again,
    asave_after_a_move,
    aflush_after_a_move,
    aexclusive,
]


def fail(*args, **kwargs):
    """Fail as a driver does, with the parameters in a variable."""
    parameters = args
    raise OperationalError(f"{len(parameters)} parameters")


@contextmanager
def fault(name):
    """Let `name` fail: a verb of the store, or what the engine calls besides."""
    with ExitStack() as stack:
        if name == "statement":
            stack.enter_context(connection.execute_wrapper(fail))
        elif name in ("dumps", "loads"):
            stack.enter_context(mock.patch.object(JSONSerializer, name, fail))
        elif name == "resolver":
            stack.enter_context(mock.patch(f"{__name__}.identity_of", fail))
        else:
            stack.enter_context(mock.patch.object(get_store(), name, fail))
        yield


def identity_of(data):
    return resolve_identity(data)


def resolver(data):
    return identity_of(data)


class Capturing(Transport):
    def __init__(self):
        super().__init__()
        self.events = []

    def capture_envelope(self, envelope):
        self.events.append(envelope.get_event())


def strings(value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *strings(item))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item)
    else:
        yield str(value)


def report_to_sentry(error):
    transport = Capturing()
    client = sentry_sdk.Client(
        dsn="https://public@sentry.example/1",
        transport=transport,
        include_local_variables=True,
        max_value_length=1_000_000,
        default_integrations=False,
    )
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        scope.capture_exception(error)
    [event] = transport.events
    text = "\n".join(strings(event))
    assert "'vars'" in repr(event) or "vars" in text
    return text


def report_to_django(error, settings):
    request = RequestFactory().get("/")
    for debug in (True, False):
        settings.DEBUG = debug
        reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
        yield html.unescape(reporter.get_traceback_html())
        yield reporter.get_traceback_text()
    settings.DEBUG = False


# Frames of which every kind of report has been looked at. Most errors leave the same few frames.
reported = set()


def reports_of(error, operation, settings):
    yield "\n".join(traceback.format_exception(error))
    frames, current = [operation.__code__], error
    while current is not None:
        walked = traceback.walk_tb(current.__traceback__)
        frames += [(frame.f_code, line) for frame, line in walked]
        current = current.__cause__ or current.__context__
    if tuple(frames) not in reported:
        yield report_to_sentry(error)
        yield from report_to_django(error, settings)
        reported.add(tuple(frames))


def to_sync(operation):
    @async_to_sync
    async def call(session, seeds):
        await operation(session, seeds)

    call.__code__ = operation.__code__
    return call


def attempt(operation, session, seeds):
    """Return the error of a view that does `operation`."""
    try:
        operation(session, seeds)
    except Exception:
        return sys.exc_info()[1]
    return None


@pytest.fixture
def reporting_store(settings, transactional_db):
    settings.BFF_SESSIONS = {
        "STORE": MEMORY,
        "IDENTITY_RESOLVER": f"{__name__}.resolver",
        "ABSOLUTE_LIFETIME": timedelta(days=2),
        "MAX_SESSIONS_PER_SUBJECT": 3,
        "RENEW_AFTER": 0,
    }


@pytest.mark.parametrize(
    ("is_async", "is_loaded"),
    [
        pytest.param(False, True, id="sync-loaded"),
        pytest.param(True, False, id="async-new", marks=pytest.mark.thorough),
        pytest.param(False, False, id="sync-new", marks=pytest.mark.thorough),
        pytest.param(True, True, id="async-loaded", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("name", [*VERBS, *OTHERS])
@pytest.mark.usefixtures("reporting_store")
def test_no_report_shows_a_secret(name, is_async, is_loaded, settings):
    if name == "statement":
        settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "STORE": ORM}
    failed = 0
    for operation in map(to_sync, ASYNC_OPERATIONS) if is_async else OPERATIONS:
        settings.SESSION_COOKIE_AGE = 80_000
        seeds = Seeds()
        settings.SESSION_COOKIE_AGE = 90_000  # So that it is worth renewing.
        session = SessionStore(seeds.session_key)
        if is_loaded:
            session.get("x")
        with fault(name):
            error = attempt(operation, session, seeds)
        if error is None:
            continue
        failed += 1
        for report in reports_of(error, operation, settings):
            assert [text for text in seeds.texts if text in report] == []
    assert failed


@pytest.mark.usefixtures("reporting_store")
def test_report_says_where_it_failed():
    session = SessionStore(Seeds().session_key)
    with fault("get_user_session"), pytest.raises(OperationalError) as caught:
        session.load()
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert frames == ["test_report_says_where_it_failed", "load"]
    [note] = caught.value.__notes__
    assert note.splitlines()[-1].startswith(f"{__file__}:")
    assert note.endswith(" in fail")


@pytest.mark.usefixtures("reporting_store")
def test_frames_of_the_project_keep_their_variables():
    session = SessionStore(Seeds().session_key)

    def view():
        step = "before"
        try:
            raise LookupError(step)
        except LookupError:
            session.load()

    with fault("get_user_session"), pytest.raises(OperationalError) as caught:
        view()
    handled = caught.value.__context__
    assert isinstance(handled, LookupError)
    [(frame, _)] = traceback.walk_tb(handled.__traceback__)
    assert frame.f_locals["step"] == "before"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.usefixtures("reporting_store")
def test_error_of_clear_expired_leads_through_no_frame_of_the_store(is_async):
    clear = async_to_sync(SessionStore.aclear_expired) if is_async else SessionStore.clear_expired
    with fault("delete_expired_batch"), pytest.raises(OperationalError) as caught:
        clear()
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    files = [frame.f_code.co_filename for frame in frames]
    hidden = "contract/cleanup.py", "engine/session.py"
    assert [name for name in files if name.endswith(hidden)] == []
    assert "fail" not in [frame.f_code.co_name for frame in frames]
    assert caught.value.__notes__[0].endswith(" in fail")
