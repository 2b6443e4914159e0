"""Every example of the README, run."""

import contextlib
import doctest
import inspect
import io
import json
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command
from django.http import JsonResponse
from django.test import RequestFactory
from django.urls import resolve, reverse

from bff_sessions import conf
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.tokens import Tokens
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.testing import UserSessionStoreTests, make_session
from bff_sessions.views.endpoint import HEADER
from tests.support.reference import reference

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(language, part):
    (found,) = [text for text in blocks(language) if part in text]
    return found


def sign_in(session_id):
    request = RequestFactory().get("/")
    request.session = SessionStore()
    claims = {"iss": "https://idp.example", "sub": "alice", "sid": session_id}
    exec(block("python", "bind_identity"), {"request": request, "claims": claims})
    request.session.save()
    return request


@pytest.mark.django_db
def test_the_reward():
    User.objects.create(username="alice")
    sign_in("laptop")
    sign_in("phone")
    example = doctest.DocTestParser().get_doctest(
        block("pycon", "revoke_sessions"), {}, "README", "README.md", 0
    )
    assert len(example.examples) == 7
    report = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)


@pytest.mark.django_db
def test_signing_out_elsewhere_spares_the_session_at_hand():
    User.objects.create(username="alice")
    sign_in("laptop")
    sign_in("phone")
    request = sign_in("tablet")
    namespace = {
        "get_store": get_store,
        "revoke_sessions": revoke_sessions,
        "UserSessionsFilter": UserSessionsFilter,
    }
    exec(block("python", "def sign_out_elsewhere"), namespace)
    assert namespace["sign_out_elsewhere"](request) == 2
    (left,) = get_store().get_user_sessions(UserSessionsFilter(subject_id="alice"))
    assert left.session_id == "tablet"


@pytest.mark.django_db
def test_a_refresh_runs_once():
    request = sign_in("laptop")
    request.session.update({"expires_at": 0, "refresh_token": "r1", "access_token": "a1"})
    request.session.save()
    used = []

    def refresh(token):
        used.append(token)
        return {"expires_at": time.time() + 60, "refresh_token": "r2", "access_token": "a2"}

    namespace = {"time": time, "refresh": refresh}
    exec(block("python", "def access_token"), namespace)
    assert [namespace["access_token"](request) for _ in range(2)] == ["a2", "a2"]
    assert used == ["r1"]
    assert SessionStore(request.session.session_key)["refresh_token"] == "r2"


def test_the_settings_of_the_first_screen_are_ours(settings):
    namespace = {}
    exec(block("python", "SESSION_ENGINE").replace("...,", ""), namespace)
    assert namespace["INSTALLED_APPS"] == ["bff_sessions"]
    assert namespace["SESSION_ENGINE"] == settings.SESSION_ENGINE
    settings.MIDDLEWARE = namespace["MIDDLEWARE"]
    assert [message for message in run_checks() if message.id.startswith("bff_sessions.")] == []


def test_the_example_of_settings_takes_effect(settings):
    namespace = {}
    exec(block("python", '"PARTITION": "shop"'), namespace)
    settings.BFF_SESSIONS = namespace["BFF_SESSIONS"]
    assert conf.PARTITION == "shop"


def test_the_example_of_a_cache_takes_effect(settings):
    namespace = {}
    exec(block("python", "CACHES = "), namespace)
    settings.CACHES = namespace["CACHES"]
    settings.BFF_SESSIONS = namespace["BFF_SESSIONS"]
    assert isinstance(get_store(), CachedUserSessionStore)
    assert [message for message in run_checks() if message.id.startswith("bff_sessions.")] == []


def test_the_example_of_a_provider_is_good(settings):
    namespace = {"env": lambda name: "a secret"}
    exec(block("python", "env("), namespace)
    settings.BFF_SESSIONS = namespace["BFF_SESSIONS"]
    assert get_provider("https://idp.example").client_id == "shop"


def test_the_example_of_two_providers_has_a_strict_and_a_sloppy_one(settings):
    namespace = {}
    exec(block("python", "sloppy.example"), namespace)
    settings.BFF_SESSIONS = namespace["BFF_SESSIONS"]
    assert [message for message in run_checks() if message.id.startswith("bff_sessions.")] == []
    strict = get_provider("https://idp.example").logout_options
    sloppy = get_provider("https://sloppy.example").logout_options
    assert (strict.strict_typ, strict.max_age, strict.leeway) == (True, 600, 10)
    assert (sloppy.strict_typ, sloppy.max_age, sloppy.leeway) == (False, 600, 300)


def test_the_example_of_urls_has_the_endpoint_that_is_registered():
    namespace = {"__name__": "example"}
    exec(block("python", "bff_sessions.urls"), namespace)
    urls = type("urls", (), {"urlpatterns": namespace["urlpatterns"]})
    path = reverse("bff_sessions:backchannel-logout", urlconf=urls)
    assert f"https://shop.example{path}" in README


def test_tokens_may_live_elsewhere():
    namespace = {}
    exec(block("python", "def keep_tokens"), namespace)
    data, keep_tokens = {}, namespace["keep_tokens"]
    assert keep_tokens(data) is None
    expires_at = datetime(2030, 1, 1, tzinfo=UTC)
    tokens = Tokens(access_token="a", refresh_token="r", expires_at=expires_at)
    assert keep_tokens(data, tokens) == keep_tokens(data) == tokens
    json.dumps(data)


def test_a_view_that_calls_an_api(rf):
    request = rf.get("/")
    request.session = SessionStore()
    request.session["oidc"] = {"access_token": "a1"}
    calls = []

    def get(url, **options):
        calls.append((url, options["headers"]))
        return SimpleNamespace(status_code=200, json=lambda: {"orders": 2})

    namespace = {
        "requests": SimpleNamespace(get=get),
        "API": "https://api.example",
        "JsonResponse": JsonResponse,
    }
    exec(block("python", "def orders"), namespace)
    assert json.loads(namespace["orders"](request).content) == {"orders": 2}
    assert calls == [("https://api.example", {"Authorization": "Bearer a1"})]


@pytest.mark.django_db
def test_the_output_of_revoke_tokens(capsys, monkeypatch):
    from bff_sessions.oidc import sending

    monkeypatch.setattr(sending, "send", lambda *a, **k: Counter({sending.Outcome.REVOKED: 2}))
    call_command("revoke_tokens")
    shown = block("console", "revoke_tokens").splitlines()
    assert capsys.readouterr().out.splitlines() == shown[1:]


HEADINGS = {
    "PROVIDERS": "## OpenID Providers",
    "BACKCHANNEL_LOGOUT": "## Back-channel logout",
    "TOKEN_REVOCATION": "## Tokens end, too",
    "DEVICE": "## Where am I signed in?",
}


def test_table_of_settings_is_that_of_the_package():
    assert table_in("## Settings") == rows_of(conf.SETTINGS, ["Type", "Default", "Meaning"])


@pytest.mark.parametrize("setting", reference.OPTIONS)
def test_table_of_options_is_that_of_the_package(setting):
    table = reference.OPTIONS[setting][0].table()
    columns = {
        "PROVIDERS": ["Type", "Meaning"],
        "DEVICE": ["Type", "Default", "Meaning"],
    }.get(setting, ["Default", "Meaning"])
    assert table_in(HEADINGS[setting]) == rows_of(table, columns)


def rows_of(table, columns):
    """What the README says of the options in a table of the package."""

    def row(option):
        cells = {
            "Type": reference.type_of(option),
            "Default": f"`{reference.default_of(option)}`",
            "Meaning": option.doc,
        }
        return [cells[column] for column in columns]

    return {name: row(option) for name, option in table.items()}


def table_in(heading):
    """The cells of that part of the README by the names before them, links as their texts."""
    part = README.partition(f"{heading}\n")[2].partition("\n## ")[0]
    rows = {}
    for names, rest in re.findall(r"^\| (`[A-Z_]+`[^|]*) \| (.+) \|$", part, re.MULTILINE):
        cells = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", rest).split(" | ")
        rows |= dict.fromkeys(re.findall(r"`(\w+)`", names), cells)
    return rows


def test_every_verb_is_in_the_table():
    from bff_sessions import contract

    abilities = ("", "Cleanup", "Devices", "Leases", "Transactions")
    owners = [getattr(contract, f"UserSessionStore{ability}") for ability in abilities]
    named = {name: verb for owner in owners for name, verb in vars(owner).items()}
    verbs = {
        name
        for name, verb in named.items()
        if inspect.isfunction(verb) and name[0] != "_" and not name.endswith("_ability")
    }
    verbs -= {f"a{name}" for name in verbs}
    assert set(re.findall(r"^\| `(\w+)\(", README, re.MULTILINE)) == verbs


def test_the_suite_for_a_store_of_your_own(request):
    from tests.support.minimal import MinimalStore

    namespace = {"MyStore": MinimalStore, "__name__": "example"}
    exec(block("python", "make_store"), namespace)
    suite = namespace["TestMyStore"]
    assert issubclass(suite, UserSessionStoreTests)
    assert isinstance(suite("test_an_unknown_key_is_none").make_store(), MinimalStore)


@pytest.mark.django_db
def test_the_output_of_cleanup_sessions(capsys):
    for age in range(3):
        session = make_session()
        past = session.created.replace(year=2020, month=1, day=1 + age)
        get_store().create_user_session(make_session(expires=past))
    call_command("cleanup_sessions")
    shown = block("console", "cleanup_sessions").splitlines()
    assert capsys.readouterr().out.splitlines() == shown[1:]


def help_of(*command):
    out = io.StringIO()
    with pytest.raises(SystemExit), contextlib.redirect_stdout(out):
        call_command(*command, "--help")
    return out.getvalue()


@pytest.mark.django_db
def test_commands_name_options_and_extras_that_exist():
    cron = re.search(r"^17 .*/manage\.py (.*)$", README, re.MULTILINE)
    assert cron[1] == "cleanup_sessions --verbosity 0"
    options = set(re.findall(r"`(--[a-z-]+)`", README))
    assert options >= {"--batch-size", "--sleep", "--max-seconds", "--partition", "--dry-run"}
    helped = help_of("cleanup_sessions"), help_of("sessions", "end"), help_of("revoke_tokens")
    for option in options:
        assert re.search(rf"{option}\b", "".join(helped))
    for example in re.findall(r"^\$ python manage\.py (sessions .*)$", README, re.MULTILINE):
        call_command(*example.split())
    extras = set(re.findall(r"\[(dev|oidc|sample|progress|servers)\]", README))
    setup = (ROOT / "setup.cfg").read_text()
    for extra in extras:
        assert re.search(rf"^{extra} =$", setup, re.MULTILINE)


def test_the_claims_of_ones_own(rf):
    request = rf.get("/")
    request.session = {"oidc": {"iss": "https://idp.example", "sub": "alice", "roles": ["admin"]}}
    namespace = {}
    exec(block("python", "def claims"), namespace)
    assert namespace["claims"](request) == {
        "iss": "https://idp.example",
        "sub": "alice",
        "roles": ["admin"],
    }


def test_the_answer_of_get_user_has_the_keys_that_it_has(client, db):
    client.cookies["sessionid"] = sign_in("laptop").session.session_key
    answer = client.get("/bff/user", headers={"X-CSRF": "1"}).json()
    assert json.loads(block("json", "claims")).keys() == answer.keys()
    assert set(re.findall(r"user\.(\w+)", block("js", "fetch"))) <= answer.keys()


def test_the_front_end_asks_for_what_there_is():
    code = block("js", "fetch")
    assert dict(re.findall(r'"(X-\w+)": "(1)"', code)) == {HEADER: "1"}
    assert f"HTTP_{re.search('X-CSRFToken', code)[0].upper()}".replace("-", "_") == (
        settings.CSRF_HEADER_NAME
    )
    paths = re.findall(r'bff\(["`]([\w/]+)', code) + re.findall(r"/bff/(\w+)", code)
    assert sorted(paths) == ["login", "sessions/", "user"]
    told = re.findall(r"^\| `(GET|POST|DELETE) (bff/[^?`]+)", README, re.MULTILINE)
    for _, path in told:
        assert resolve(f"/{path.replace('<public_id>', 'x')}").app_name == "bff_sessions"
    assert len(set(told)) == 6


def test_the_cookies_satisfy_the_checks(settings):
    namespace = {}
    exec(block("python", "__Host-"), namespace)
    for name, value in namespace.items():
        if name.isupper():
            setattr(settings, name, value)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    found = run_checks(include_deployment_checks=True)
    assert [message for message in found if message.id.startswith("bff_sessions.")] == []
