"""No error report shows a secret: every endpoint, page, command and public function, with a fault
in every layer."""

import json
import pkgutil
from base64 import urlsafe_b64encode
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from unittest import mock
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session as OldSession
from django.contrib.sessions.serializers import JSONSerializer
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path, reverse

import bff_sessions
from bff_sessions import protection, revocation, urls
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.management import commands
from bff_sessions.models import Logout, Session, TakeOverBan, TokenRevocation
from bff_sessions.oidc.refresh import token_endpoint
from bff_sessions.oidc.sign_in import early_logouts
from bff_sessions.oidc.token_revocation import outbox
from bff_sessions.oidc.token_revocation.sealing import seal_token
from bff_sessions.oidc.tokens import keep_tokens
from bff_sessions.protection import store_key
from bff_sessions.signals import sessions_ended
from bff_sessions.stores.orm import OrmUserSessionStore
from bff_sessions.views import health
from tests.support.error_reports import Reports, Seeds, collected
from tests.support.old_sessions import OLD, OldStore
from tests.support.provider import CLIENT_ID, Provider
from tests.support.stores import CACHED
from tests.support.transmitter import CONTENT_TYPE, Transmitter
from tests.urls import urlpatterns as others

# Faults are injected above the driver, so that servers have nothing to add.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]


# The project


class Broken(Exception):
    """A fault of the project's own."""


def broken_resolver(data):
    raise Broken


def broken_tokens(data, new=None):
    tokens = keep_tokens(data, new)
    raise Broken(type(tokens).__name__)


def broken_claims(request):
    data = dict(request.session.items())
    raise Broken(len(data))


class BrokenSerializer(JSONSerializer):
    is_broken = False

    def dumps(self, data):
        plain = super().dumps(data)
        if self.is_broken:
            raise Broken
        return plain

    def loads(self, data):
        plain = super().loads(data)
        if self.is_broken:
            raise Broken
        return plain


def token_view(request):
    return HttpResponse(bff_sessions.get_access_token(request)[:0])


async def async_token_view(request):
    return HttpResponse((await bff_sessions.aget_access_token(request))[:0])


BACKEND = "django.contrib.auth.backends.ModelBackend"


def sign_in_view(request):
    """Sign in with the tokens of the session, which no local variable holds."""
    stored = request.session.get
    user = get_user_model().objects.get(username="operator")
    bff_sessions.sign_in(request, user, stored("oidc"), claims=stored("oidc"), backend=BACKEND)
    return HttpResponse()


async def async_sign_in_view(request):
    stored = request.session.aget
    user = await get_user_model().objects.aget(username="operator")
    await bff_sessions.asign_in(
        request, user, await stored("oidc"), claims=await stored("oidc"), backend=BACKEND
    )
    return HttpResponse()


def bind_view(request):
    bff_sessions.bind_identity(request, subject_id="alice")
    return HttpResponse()


async def async_bind_view(request):
    await bff_sessions.abind_identity(request, subject_id="alice")
    return HttpResponse()


def revoke_all_view(request):
    return HttpResponse(str(revocation.revoke_sessions(UserSessionsFilter(subject_id="alice"))))


async def async_revoke_all_view(request):
    mine = UserSessionsFilter(subject_id="alice")
    return HttpResponse(str(await revocation.arevoke_sessions(mine)))


def revoke_view(request):
    # As a project does that must not show the store key itself.
    return HttpResponse(str(revocation.revoke_session(request.session.store_key)))


async def async_revoke_view(request):
    return HttpResponse(str(await revocation.arevoke_session(request.session.store_key)))


@bff_sessions.recent_sign_in(max_age=0)
def recent_view(request):
    raise AssertionError("The sign-in is older.")


def require_recent_view(request):
    bff_sessions.require_recent_sign_in(request, max_age=3600)
    return HttpResponse()


async def async_require_recent_view(request):
    await bff_sessions.arequire_recent_sign_in(request, max_age=3600)
    return HttpResponse()


def revoke_user_view(request):
    user = get_user_model().objects.get(username="operator")
    return HttpResponse(str(revocation.revoke_user_sessions(user)))


async def async_revoke_user_view(request):
    user = await get_user_model().objects.aget(username="operator")
    return HttpResponse(str(await revocation.arevoke_user_sessions(user)))


urlpatterns = [
    *others,
    path("get_access_token", token_view),
    path("aget_access_token", async_token_view),
    path("sign_in", sign_in_view),
    path("asign_in", async_sign_in_view),
    path("bind_identity", bind_view),
    path("abind_identity", async_bind_view),
    path("revoke_sessions", revoke_all_view),
    path("arevoke_sessions", async_revoke_all_view),
    path("revoke_session", revoke_view),
    path("arevoke_session", async_revoke_view),
    path("recent_sign_in", recent_view),
    path("require_recent_sign_in", require_recent_view),
    path("arequire_recent_sign_in", async_require_recent_view),
    path("revoke_user_sessions", revoke_user_view),
    path("arevoke_user_sessions", async_revoke_user_view),
]


# The world


class World:
    """A user with two sessions, a provider, an old session and a token that waits; all secret."""

    def __init__(self, provider, settings):
        self.provider, self.settings = provider, settings

    def configure(self, **options):
        self.settings.BFF_SESSIONS = {
            "PROVIDERS": {
                self.provider.issuer: {
                    "CLIENT_ID": CLIENT_ID,
                    "CLIENT_SECRET": self.client_secret,
                    "SIGNALS": {"AUTHORIZATION": self.authorization},
                }
            },
            "ENCRYPTION_KEYS": [self.encryption_key],
            "TOKEN_REVOCATION": {},
            "DEVICE": {},
            **options,
        }

    @contextmanager
    def configured(self, **options):
        self.configure(**options)
        try:
            yield
        finally:
            self.configure()

    @contextmanager
    def answering(self, answer):
        """Let the provider answer so, wherever it is asked for more than its metadata."""
        self.provider.answers = Answers(dict.fromkeys(("/token", "/revocation", "/keys"), answer))
        try:
            yield
        finally:
            self.provider.answers = {}

    def populate(self):
        self.client_secret = self.seeds.make("client secret")
        self.encryption_key = self.seeds.make("encryption key")
        self.authorization = f"Bearer {self.seeds.make('authorization of the transmitter')}"
        self.configure()  # The provider has not failed a moment ago.
        token_endpoint._failed.clear()
        for model in (Session, OldSession, TokenRevocation, Logout, TakeOverBan):
            model._base_manager.all().delete()
        outbox._pending.clear()
        user, _is_new = get_user_model().objects.get_or_create(
            username="operator", is_staff=True, is_superuser=True
        )
        self.user = user
        self.here, self.elsewhere = self.sign_in("laptop"), self.sign_in("phone")
        self.expired = self.sign_in("tablet")
        Session.objects.filter(session_id="tablet").update(
            expires=datetime.now(UTC) - timedelta(days=1)
        )
        self.old = OldStore()
        self.old["cart"] = self.seeds.make("old session data")
        self.old.save()
        self.seeds.add("old session key", self.old.session_key)
        self.seeds.add("old session data", OldSession.objects.get().session_data[16:])
        token = self.seeds.make("refresh token in the outbox")
        digest, sealed = seal_token(self.provider.issuer, token)
        now = datetime.now(UTC)
        TokenRevocation(
            digest=digest, issuer=self.provider.issuer, token=sealed, created=now, due=now
        ).save()
        self.seeds.add("digest in the outbox", digest)
        self.seeds.add("sealed token in the outbox", sealed[16:])
        for key in protection._encryption_keys():
            for secret in (*key.secrets.values(), key.step):
                self.seeds.add("derived key", secret)
        self.logout_token = self.provider.token(seeded=self.seeds.make("logout token"))
        self.seeds.add("signature of the logout token", self.logout_token.rpartition(".")[2])
        secret = self.seeds.make("security event token")
        self.security_event = Transmitter(self.provider).token(seeded=secret)
        self.seeds.add("signature of the security event", self.security_event.rpartition(".")[2])

    def sign_in(self, session_id):
        session = SessionStore()
        person = {"iss": self.provider.issuer, "sub": "alice", "sid": session_id}
        id_token = self.make_id_token(**person)
        session.update(
            {
                "oidc": {
                    **person,
                    "access_token": self.seeds.make("access token"),
                    "refresh_token": self.seeds.make("refresh token"),
                    "id_token": id_token,
                    "expires_at": 1_000_000_000,
                },
                "cart": self.seeds.make("session data"),
            }
        )
        session.save()
        key = store_key("default", session.session_key)
        self.seeds.add("session key", session.session_key)
        self.seeds.add("store key", key)
        self.seeds.add("ticket", Session.objects.get(key=key).ticket[9:])
        return session.session_key

    def make_id_token(self, **claims):
        claims["email"] = self.seeds.make("claim of the id token")
        signature = self.seeds.make("signature of the id token")
        parts = (json.dumps({"alg": "RS256"}), json.dumps(claims), signature)
        return ".".join(urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts)

    def chosen(self, action):
        """Return the form that confirms an action of the admin."""
        rows = Session.objects.filter(subject_id="alice")
        return {"action": action, "_selected_action": [row.pk for row in rows], "post": "yes"}

    def browser(self, kind, session_key):
        client = kind(raise_request_exception=False)
        client.cookies["sessionid"] = session_key
        return client


class Answers(dict):
    def get(self, name, default=None):
        return self[name]() if name in self else default


@pytest.fixture(scope="module")
def reports():
    return Reports()


@pytest.fixture
def world(settings, monkeypatch):
    monkeypatch.setattr(early_logouts, "_prefetch_keys", lambda issuer: None)
    # Of a transient error nothing is seen but the last one.
    monkeypatch.setattr("bff_sessions.stores.databases.retrying.time.sleep", lambda seconds: None)
    settings.ROOT_URLCONF = __name__
    settings.SESSION_SERIALIZER = f"{__name__}.BrokenSerializer"
    settings.DEBUG_PROPAGATE_EXCEPTIONS = False
    provider = Provider()
    provider.configuration["end_session_endpoint"] = f"{provider.issuer}/end"
    yield World(provider, settings)
    provider.close()


# Where faults are


class Counter:
    """Raises at its call of one number."""

    def __init__(self, number):
        self.left, self.raised = number, False

    def count(self, make):
        self.left -= 1
        if self.left == -1:
            self.raised = True
            raise make()


@contextmanager
def database_fault(counter):
    """Let a statement fail that concerns sessions."""

    def execute(run, sql, params, many, context):
        if "bff_sessions" in sql or "django_session" in sql:
            counter.count(lambda: DatabaseError("disk I/O error"))
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield


VERBS = [
    name
    for name in dir(OrmUserSessionStore)
    if not name.startswith("_") and callable(getattr(OrmUserSessionStore, name))
]


@contextmanager
def store_fault(counter):
    """Let the call of a verb of the store fail."""

    def patched(verb):
        def fail(self, *args, **kwargs):
            counter.count(lambda: RuntimeError("fault"))
            return verb(self, *args, **kwargs)

        return fail

    with ExitStack() as stack:
        for name in VERBS:
            verb = patched(getattr(OrmUserSessionStore, name))
            stack.enter_context(mock.patch.object(OrmUserSessionStore, name, verb))
        yield


class Fault:
    """A fault, and whether there is another one like it."""

    def __init__(self, *contexts, has_more=lambda: False):
        self._contexts = contexts
        self._stack = ExitStack()
        self._has_more = has_more

    def __enter__(self):
        for context in self._contexts:
            self._stack.enter_context(context)

    def __exit__(self, *exc_info):
        self._stack.close()

    @property
    def has_more(self):
        return self._has_more()


def at_each_place(fault, **options):
    def faults(world, number):
        counter = Counter(number)
        contexts = world.configured(**options), fault(counter)
        return Fault(*contexts, has_more=lambda: counter.raised)

    return faults


def with_settings(**options):
    return lambda world, number: Fault(world.configured(**options))


def serializer_faults(world, number):
    return Fault(mock.patch.object(BrokenSerializer, "is_broken", True))


def cache_faults(world, number):
    """Every call of the cache fails."""

    def fail(self, *args, **kwargs):
        raise ConnectionError("fault")

    names = ("get", "get_many", "set", "set_many", "add", "delete", "delete_many", "touch")
    broken = dict.fromkeys(names, fail)
    cache = mock.patch.multiple("django.core.cache.backends.locmem.LocMemCache", **broken)
    return Fault(world.configured(STORE=CACHED), cache)


def broken_receiver(sender, sessions, **kwargs):
    raise Broken


def receiver_faults(world, number):
    @contextmanager
    def connected():
        sessions_ended.connect(broken_receiver)
        try:
            yield
        finally:
            sessions_ended.disconnect(broken_receiver)

    return Fault(connected())


def provider_faults(world, number):
    """The provider repeats what it was sent, as something that cannot be read."""
    answers = [
        lambda posts: (200, {}, b"{" + posts.encode()),
        lambda posts: (200, {}, b"\xff" + posts.encode()),
        lambda posts: (200, {}, json.dumps({"access_token": {"of": posts}}).encode()),
        lambda posts: (200, {"Content-Encoding": "gzip"}, posts.encode()),
        lambda posts: (302, {"Location": f"/?{urlencode({'of': posts})}"}, b""),
        lambda posts: (400, {}, json.dumps({"error": posts}).encode()),
        lambda posts: (401, {}, json.dumps({"error": "invalid_client", "of": posts}).encode()),
        lambda posts: (503, {}, posts.encode()),
        lambda posts: (200, {"Content-Length": "9999"}, posts.encode()),
    ]
    answer = world.answering(lambda: answers[number](str(world.provider.posts)))
    return Fault(answer, has_more=lambda: number + 1 < len(answers))


FAULTS = {
    "none": with_settings(),
    "database": at_each_place(database_fault),
    "store": at_each_place(store_fault),
    "cache": cache_faults,
    "provider": provider_faults,
    "receiver": receiver_faults,
    "serializer": serializer_faults,
    "resolver": with_settings(IDENTITY_RESOLVER=f"{__name__}.broken_resolver"),
    "tokens": with_settings(TOKENS=f"{__name__}.broken_tokens"),
    "claims": with_settings(USER_CLAIMS=f"{__name__}.broken_claims"),
}
# While sessions move here from another engine; the browser has one there.
MOVING = {
    "database": at_each_place(database_fault, TAKE_OVER=OLD),
    "store": at_each_place(store_fault, TAKE_OVER=OLD),
}


# Where they are met


def endpoint(method, name, **kwargs):
    def visit(client, world):
        path = reverse(f"bff_sessions:{name}", kwargs={k: getattr(world, k) for k in kwargs})
        return send(client, method, path)

    return visit


def send(client, method, path, **values):
    """Send a request of a front end, with a form if there are values."""
    more = {"headers": {"X-CSRF": "1"}}
    if method == "post":
        more |= {"data": urlencode(values), "content_type": "application/x-www-form-urlencoded"}
    perform = getattr(client, method)
    return (async_to_sync(perform) if isinstance(client, AsyncClient) else perform)(path, **more)


def post_logout_token(client, world):
    # A provider has no session here.
    del client.cookies["sessionid"]
    path = reverse("bff_sessions:backchannel-logout")
    return send(client, "post", path, logout_token=world.logout_token)


def post_security_event(client, world):
    del client.cookies["sessionid"]
    post = async_to_sync(client.post) if isinstance(client, AsyncClient) else client.post
    header = {"Authorization": world.authorization}
    path = reverse("bff_sessions:signals")
    return post(path, world.security_event, content_type=CONTENT_TYPE, headers=header)


def visit_health(client, world):
    # A process repeats its last answer.
    with mock.patch.object(health, "_REPEATED_FOR", 0):
        return endpoint("get", "health")(client, world)


ENDPOINTS = {
    "user": endpoint("get", "user"),
    "sessions": endpoint("get", "sessions"),
    "other-sessions": endpoint("delete", "other-sessions"),
    "session": endpoint("delete", "session", public_id=...),
    "my-sessions": endpoint("get", "my-sessions"),
    "end-other-sessions": endpoint("post", "end-other-sessions"),
    "end-my-session": endpoint("post", "end-my-session", public_id=...),
    "login": endpoint("get", "login"),
    "logout": endpoint("post", "logout"),
    "logout-callback": endpoint("get", "logout-callback"),
    "events": endpoint("get", "events"),
    "health": visit_health,
    "jwks": endpoint("get", "jwks"),
    "backchannel-logout": post_logout_token,
    "signals": post_security_event,
}
FUNCTIONS = sorted(
    {
        name
        for module in (bff_sessions, revocation)
        for name in module.__all__
        # That one reads the query string, and no session.
        if name[0].islower() and name != "sign_in_parameters"
    }
)
LIST = "/admin/bff_sessions/session/"


def call(client, method, path, *args):
    perform = getattr(client, method)
    return (async_to_sync(perform) if isinstance(client, AsyncClient) else perform)(path, *args)


ADMIN = {
    "changelist": lambda browser, world: call(browser, "get", LIST, {"q": "alice"}),
    "overview": lambda browser, world: call(browser, "get", f"{LIST}overview/"),
    "events": lambda browser, world: call(browser, "get", f"{LIST}events/", {"subject": "alice"}),
    "change": lambda browser, world: call(browser, "get", f"{LIST}{world.row.pk}/change/"),
    "history": lambda browser, world: call(browser, "get", f"{LIST}{world.row.pk}/history/"),
    "delete": lambda browser, world: call(
        browser, "post", f"{LIST}{world.row.pk}/delete/", {"post": "yes"}
    ),
    "add": lambda browser, world: call(browser, "get", f"{LIST}add/"),
    "end_sessions": lambda browser, world: call(
        browser, "post", LIST, world.chosen("end_sessions")
    ),
    "sign_out_subjects": lambda browser, world: call(
        browser, "post", LIST, world.chosen("sign_out_subjects")
    ),
}
COMMANDS = {
    "check_provider": [[]],
    "cleanup_sessions": [[], ["--dry-run"]],
    "import_sessions": [["--from", OLD], ["--from", OLD, "--dry-run"]],
    "revoke_tokens": [[], ["--dry-run"]],
    "sessions": [
        ["list", "--subject", "alice"],
        ["show", "--subject", "alice", "--json"],
        ["end", "--subject", "alice", "--yes"],
        ["history", "--subject", "alice"],
        ["doctor"],
    ],
    # Django's own, which asks the engine.
    "clearsessions": [[]],
}


def quickly(faults):
    """Split faults into those of the database and all others, which are `thorough`."""
    few = {"database": faults["database"]}
    others = {name: fault for name, fault in faults.items() if name not in few}
    return few, others


def each_with(faults):
    """Meet faults on both pages and both kinds of server, but not each with each."""
    few, others = quickly(faults)
    thorough = pytest.mark.thorough
    return pytest.mark.parametrize(
        ("kind", "debug", "faults"),
        [
            pytest.param(Client, True, few, id="wsgi-debug"),
            pytest.param(Client, True, others, id="wsgi-debug-others", marks=thorough),
            pytest.param(AsyncClient, False, faults, id="asgi", marks=thorough),
        ],
    )


def journey(world, reports, faults, action, *, debug):
    """Meet each fault; return the names of those of which errors came through.

    Args:
        action: returns what to try; is called before the fault is there.
    """
    shown, met = set(), set()
    for name, fault in faults.items():
        for number in range(100):
            contexts = []
            world.seeds = Seeds()

            def prepare(fault=fault, number=number, contexts=contexts):
                world.populate()
                contexts.append(fault(world, number))
                return contexts[-1], action()

            texts, errors = reports.of(prepare, debug=debug)
            shown |= {f"{name}: {one}" for one in collected(texts, world.seeds)}
            if errors:
                met.add(name)
            if not contexts[-1].has_more:
                break
        else:
            raise AssertionError("The faults do not end.")
    assert shown == set()
    return met


@each_with(FAULTS)
@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoint_shows_no_secret(world, reports, kind, debug, faults, name):
    def action():
        client = world.browser(kind, world.here)
        return lambda output: ENDPOINTS[name](client, world)

    met = journey(world, reports, faults, action, debug=debug)
    # The others need no session, or answer that they found the fault.
    exempt = ("login", "logout-callback", "health", "jwks")
    assert {"database", "store"} & faults.keys() <= met or name in exempt


@each_with(FAULTS)
@pytest.mark.parametrize(
    "name",
    # The twins do the same, in the same steps.
    [
        pytest.param(each, marks=[pytest.mark.thorough] * (each[1:] in FUNCTIONS))
        for each in FUNCTIONS
    ],
)
def test_function_shows_no_secret(world, reports, kind, debug, faults, name):
    def action():
        client = world.browser(kind, world.here)
        return lambda output: send(client, "get", f"/{name}")

    assert {"database", "store"} & faults.keys() <= journey(
        world, reports, faults, action, debug=debug
    )


@each_with(MOVING)
@pytest.mark.parametrize("name", ["user", "logout", "sessions"])
def test_session_that_moves_here_shows_no_secret(world, reports, kind, debug, faults, name):
    def action():
        client = world.browser(kind, world.old.session_key)
        return lambda output: ENDPOINTS[name](client, world)

    assert journey(world, reports, faults, action, debug=debug) == faults.keys()


@pytest.mark.thorough
@each_with(MOVING)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_shows_no_secret_while_sessions_move(world, reports, kind, debug, faults, name):
    def action():
        client = world.browser(kind, world.here)
        return lambda output: send(client, "get", f"/{name}")

    assert journey(world, reports, faults, action, debug=debug) == faults.keys()


@pytest.mark.usefixtures("installed_history")
@each_with(FAULTS)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] * (name not in ("changelist", "delete")))
        for name in ADMIN
    ],
)
def test_admin_shows_no_secret(world, reports, kind, debug, faults, name):
    def action():
        client = Client(raise_request_exception=False)
        client.force_login(world.user)
        browser = world.browser(kind, client.cookies["sessionid"].value)
        return lambda output: ADMIN[name](browser, world)

    assert {"database", "store"} & faults.keys() <= journey(
        world, reports, faults, action, debug=debug
    )


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(quickly(FAULTS)[0], id="database"),
        pytest.param(quickly(FAULTS)[1], id="others", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, arguments) for name, cases in COMMANDS.items() for arguments in cases],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
@pytest.mark.usefixtures("installed_history")
def test_command_shows_no_secret(world, reports, capfd, faults, name, arguments):
    def action():
        return lambda output: call_command(name, *arguments, stdout=output, stderr=output)

    met = {"provider" if name == "check_provider" else "database"} & faults.keys()
    assert met <= journey(world, reports, faults, action, debug=True)
    assert world.seeds.found_in("".join(capfd.readouterr())) == set()


def test_every_endpoint_has_a_case():
    assert ENDPOINTS.keys() == {pattern.name for pattern in urls.urlpatterns}


def test_every_command_has_a_case():
    assert COMMANDS.keys() - {"clearsessions"} == {
        module.name for module in pkgutil.iter_modules(commands.__path__)
    }


def test_every_page_and_action_of_the_admin_has_a_case(rf):
    model_admin = admin.site.get_model_admin(Session)
    pages = {p.name.rpartition("_")[2] for p in model_admin.get_urls() if p.name is not None}
    assert ADMIN.keys() == pages | {action.__name__ for action in model_admin.actions}


def test_every_public_function_has_a_view():
    assert {str(pattern.pattern) for pattern in urlpatterns[2:]} == set(FUNCTIONS)
