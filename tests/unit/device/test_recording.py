"""The middleware records user agent, address and time of a request."""

from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from bff_sessions.contract import Device, UserSessionsFilter, UserSessionStoreDevices
from bff_sessions.device.options import DeviceOptions
from bff_sessions.device.recording import device_of
from bff_sessions.device.user_agents import describe_user_agent
from bff_sessions.engine import SessionStore
from bff_sessions.middleware import SessionMiddleware
from bff_sessions.models import Session
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from tests.support.factories import ago
from tests.support.minimal import MinimalStore

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.6 Safari/605.1.15"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def device(settings):
    """Set BFF_SESSIONS["DEVICE"]."""

    def device(store=None, **options):
        settings.BFF_SESSIONS = {"DEVICE": options} | ({"STORE": store} if store else {})

    return device


def sign_in():
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
    session.save()
    return session.session_key


def look(request):
    """Read the session without a change."""
    return HttpResponse(request.session.get("seen"))


def send(session_key, view=look, user_agent=FIREFOX, address="203.0.113.77"):
    request = RequestFactory().get("/", HTTP_USER_AGENT=user_agent, REMOTE_ADDR=address)
    if session_key is not None:
        request.COOKIES["sessionid"] = session_key
    SessionMiddleware(view)(request)
    return request.session


def stored(session_key):
    return get_store().get_user_session(SessionStore(session_key).store_key)


def kept(session_key):
    row = stored(session_key)
    return row.user_agent, row.address, row.last_seen is not None


@pytest.mark.django_db
def test_nothing_is_recorded_by_default(django_assert_num_queries):
    key = sign_in()
    with django_assert_num_queries(1):
        send(key)
    assert kept(key) == (None, None, False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (FIREFOX, None)),
        ({"ADDRESS": "truncated"}, (FIREFOX, "203.0.113.0/24")),
        ({"ADDRESS": "full", "USER_AGENT": False}, (None, "203.0.113.77")),
    ],
)
def test_options_select_what_is_recorded(any_store, settings, device, options, expected):
    device(store=settings.BFF_SESSIONS["STORE"], **options)
    key = sign_in()
    send(key)
    is_kept = get_store().get_ability(UserSessionStoreDevices) is not None
    assert kept(key) == ((*expected, True) if is_kept else (None, None, False))


@pytest.mark.django_db
def test_recording_is_one_statement_for_one_column_once_a_minute(device, django_assert_num_queries):
    device(ADDRESS="truncated")
    key = sign_in()
    send(key)
    with django_assert_num_queries(1):
        send(key)
    before = stored(key)
    Session.objects.update(last_seen=ago(seconds=61))
    with django_assert_num_queries(2) as queries:
        send(key)
    update = queries[1]["sql"]
    assert update.startswith("UPDATE")
    changed = update.partition(" SET ")[2].partition(" WHERE ")[0]
    assert "last_seen" in changed and "," not in changed.replace("', '", "")
    after = stored(key)
    assert after.last_seen > before.last_seen
    # It is neither a save nor a renewal.
    for name in ("version", "ticket", "renewed", "expires", "user_agent", "address"):
        assert getattr(after, name) == getattr(before, name)


@pytest.mark.django_db
def test_no_index_covers_the_recorded_columns():
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Session._meta.db_table)
    indexed = {column for constraint in found.values() for column in constraint["columns"] or ()}
    assert "expires" in indexed
    assert indexed.isdisjoint({"user_agent", "address", "last_seen"})


@pytest.mark.django_db
def test_other_device_is_recorded_after_the_interval(device):
    device(ADDRESS="truncated", SEEN_EVERY=10)
    key = sign_in()
    send(key)
    send(key, user_agent=IPHONE)
    assert kept(key) == (FIREFOX, "203.0.113.0/24", True)
    Session.objects.update(last_seen=ago(seconds=11))
    send(key, user_agent=IPHONE, address="")
    assert kept(key) == (IPHONE, None, True)


@pytest.mark.django_db
def test_disabled_option_clears_its_value(device):
    device(ADDRESS="full")
    key = sign_in()
    send(key)
    device(SEEN_EVERY=0)
    send(key)
    assert kept(key) == (FIREFOX, None, True)


@pytest.mark.django_db
def test_one_of_simultaneous_requests_records(device):
    device()
    key = sign_in()
    old = stored(key)
    device = Device(user_agent=FIREFOX)
    store, now = get_store(), datetime.now(UTC)
    results = [store.note_device(old.key, seen=now, if_seen=None, device=device) for _ in "123"]
    assert results == [True, False, False]


@pytest.mark.django_db
def test_device_of_a_new_sign_in_is_recorded(device):
    device()

    def view(request):
        request.session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "s1"}
        return HttpResponse()

    assert kept(send(None, view).session_key) == (FIREFOX, None, True)


@pytest.mark.django_db
def test_anonymous_session_is_not_recorded(device):
    device()
    session = SessionStore()
    session["cart"] = [1]
    session.save()
    send(session.session_key)
    assert kept(session.session_key) == (None, None, False)


@pytest.mark.django_db
def test_request_without_session_access_sends_no_statement(device, django_assert_num_queries):
    device()
    key = sign_in()
    with django_assert_num_queries(0):
        send(key, lambda request: HttpResponse())


@pytest.mark.django_db
def test_polling_page_is_not_recorded(device):
    device()

    def poll(request):
        request.session.slide = False
        return look(request)

    key = sign_in()
    send(key, poll)
    assert kept(key) == (None, None, False)


@pytest.mark.parametrize("session_end", ["revoked", "expired"])
def test_session_that_ends_meanwhile_stays_ended(any_store, settings, device, session_end):
    device(store=settings.BFF_SESSIONS["STORE"])
    key = sign_in()
    store, row = get_store(), stored(key)

    def view(request):
        look(request)
        if session_end == "revoked":
            revoke_sessions(UserSessionsFilter(subject_id="alice"))
        else:
            store.touch_user_session(row.key, renewed=row.renewed, expires=ago(seconds=1))
        return HttpResponse()

    send(key, view)
    assert stored(key) is None
    devices = store.get_ability(UserSessionStoreDevices)
    if devices is not None:
        now = datetime.now(UTC)
        assert devices.note_device(row.key, seen=now, if_seen=None, device=Device()) is False
        assert stored(key) is None


class RecordingStore(MinimalStore, UserSessionStoreDevices):
    """A store that has only this one of the optional verbs."""

    def note_device(self, key, **values):
        return self._store.note_device(key, **values)


def test_device_stays_when_the_default_rekey_moves_the_session(device, db):
    device(store=f"{__name__}.RecordingStore")
    key = sign_in()
    send(key)
    session = SessionStore(key)
    session.cycle_key()
    assert kept(session.session_key) == (FIREFOX, None, True)


def test_device_stays_when_the_session_is_saved_and_moves(any_store, settings, device):
    device(store=settings.BFF_SESSIONS["STORE"], ADDRESS="full")
    key = sign_in()
    send(key)
    before = kept(key)
    session = SessionStore(key)
    session["seen"] = True
    session.save()
    assert kept(key) == before
    session.cycle_key()
    assert kept(session.session_key) == before


def test_cached_session_is_recorded_once(settings, device, monkeypatch, db):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    device(store="bff_sessions.stores.cached.CachedUserSessionStore")
    key = sign_in()
    send(key)
    recorded = []
    monkeypatch.setattr(type(get_store()), "note_device", lambda *a, **k: recorded.append(k))
    for _ in range(3):
        send(key)
    assert recorded == []


@pytest.mark.django_db
def test_store_that_fails_does_not_fail_the_request(device, monkeypatch, caplog):
    def fail(self, key, **kwargs):
        raise RuntimeError(f"No {key}")

    device()
    key = sign_in()
    monkeypatch.setattr(type(get_store()), "note_device", fail)
    send(key)
    assert "RuntimeError" in caplog.text
    assert SessionStore(key).store_key not in caplog.text


def raises(request):
    raise RuntimeError(request.COOKIES["sessionid"])


async def is_asynchronous(request):
    return "203.0.113.77"


class Odd(str):
    """A text that raises when it is parsed as an address."""

    def __str__(self):
        raise RuntimeError

    __contains__ = split = __str__


def answers(value):
    return lambda request: value


bytes_of, list_of, odd_of = map(answers, (b"203.0.113.77", ["203.0.113.77"], Odd("203.0.113.77")))


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(
    "name", ["raises", "is_asynchronous", "bytes_of", "list_of", "odd_of", "missing"]
)
def test_address_of_that_fails_does_not_fail_the_request(device, caplog, name):
    device(ADDRESS="full", ADDRESS_OF=f"{__name__}.{name}")
    key = sign_in()
    send(key)
    # The rest is kept.
    assert kept(key) == (FIREFOX, None, True)
    assert key not in caplog.text


@pytest.mark.django_db
def test_address_of_that_raises_is_a_warning(device, caplog):
    device(ADDRESS="full", ADDRESS_OF=f"{__name__}.raises")
    send(sign_in())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "RuntimeError" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize("options", [{"UNKNOWN": 1}, {"SEEN_EVERY": "often"}], ids=str)
def test_wrong_options_do_not_fail_the_request(device, options):
    device(**options)
    key = sign_in()
    send(key)
    send(key)


@pytest.mark.django_db
def test_device_of_an_asynchronous_view_is_recorded(device):
    device()
    key = sign_in()

    async def view(request):
        return HttpResponse(await request.session.aget("seen"))

    async def send():
        request = AsyncRequestFactory().get("/", headers={"User-Agent": FIREFOX})
        request.COOKIES["sessionid"] = key
        await SessionMiddleware(view)(request)

    async_to_sync(send)()
    assert kept(key) == (FIREFOX, None, True)


def test_session_of_another_engine_is_ignored(settings, device, db):
    device()
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    send("x" * 32)


ODD = [
    "x" * 10_000,
    "a\0b",
    "caf\xe9 \U0001f98a",  # codespell:ignore
    "lone \ud800 surrogate",
    "line\r\nbreak\t\x1b[31m",
    "   ",
    "",
    "' OR 1=1; --",
]


@pytest.mark.django_db
@pytest.mark.parametrize("user_agent", ODD)
def test_odd_user_agents_are_stored_on_each_database(device, user_agent):
    device()
    key = sign_in()
    send(key, user_agent=user_agent)
    row = stored(key)
    assert row.last_seen is not None
    text = row.user_agent
    assert text is None or (0 < len(text) <= 255 and text.isascii() and text.isprintable())
    assert describe_user_agent(text) is None


@pytest.mark.parametrize(
    ("given", "truncated", "full"),
    [
        ("203.0.113.77", "203.0.113.0/24", "203.0.113.77"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1:2:3:4:5:6"),
        ("2001:0DB8::1", "2001:db8::/48", "2001:db8::1"),
        ("::ffff:203.0.113.77", "203.0.113.0/24", "203.0.113.77"),
        ("fe80::1%anything at all", "fe80::/48", "fe80::1"),
        ("ffff:" * 7 + "ffff", "ffff:ffff:ffff::/48", "ffff:" * 7 + "ffff"),
        ("203.0.113.77:8000", None, None),
        ("unix:", None, None),
        ("a\0b", None, None),
        ("", None, None),
        (None, None, None),
        (3405803853, None, None),
    ],
)
def test_address_is_stored_as_network_or_in_full_or_not_at_all(given, truncated, full):
    request = RequestFactory().get("/")
    request.META["REMOTE_ADDR"] = given
    for mode, expected in (("truncated", truncated), ("full", full), (None, None)):
        assert device_of(request, DeviceOptions(address=mode)).address == expected


def last_of_all(request):
    """Return the address of the client as the one proxy in front of the application saw it."""
    return request.headers["X-Forwarded-For"].rpartition(",")[2].strip()


def test_forwarded_address_counts_only_with_address_of():
    request = RequestFactory().get(
        "/", HTTP_X_FORWARDED_FOR="192.0.2.1, 198.51.100.7", REMOTE_ADDR="10.0.0.1"
    )
    options = DeviceOptions(address="full")
    assert device_of(request, options).address == "10.0.0.1"
    named = f"{__name__}.last_of_all"
    options = DeviceOptions(address="full", address_of=named)
    assert device_of(request, options).address == "198.51.100.7"


def test_known_user_agents_are_described():
    assert describe_user_agent(FIREFOX) == "Firefox on Windows"
    assert describe_user_agent(IPHONE) == "Safari on iPhone"
    assert describe_user_agent(MAC) == "Safari on macOS"
    assert describe_user_agent(ANDROID) == "Chrome on Android"
    assert describe_user_agent("curl/8.0") == "curl"
    assert describe_user_agent("nonsense") is None
    assert describe_user_agent(None) is None


@pytest.mark.parametrize("error", [RuntimeError, ImportError, RecursionError])
def test_user_agent_is_not_described_if_the_parser_raises(monkeypatch, caplog, error):
    def parse(user_agent):
        raise error(user_agent)

    monkeypatch.setattr("ua_parser.parse", parse)
    assert describe_user_agent(FIREFOX) is None
    assert error.__name__ in caplog.text
    assert "Firefox" not in caplog.text


def test_user_agent_is_not_described_if_the_parser_is_not_found(monkeypatch):
    def find_spec(name):
        raise ValueError(f"{name}.__spec__ is None")

    monkeypatch.setattr("bff_sessions.device.user_agents.find_spec", find_spec)
    assert describe_user_agent(FIREFOX) is None


def test_user_agent_is_not_described_without_ua_parser(monkeypatch):
    monkeypatch.setattr("bff_sessions.device.user_agents.find_spec", lambda name: None)
    assert describe_user_agent(FIREFOX) is None
