"""The examples of docs/ do what their pages say; test_examples.py checks each by its kind."""

import json
import re
import time
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command
from django.http import JsonResponse
from django.test import Client
from django.urls import resolve, reverse

from bff_sessions import conf, exceptions, urls
from bff_sessions.contract import EndReason, UserSessionsFilter
from bff_sessions.engine import SessionStore
from bff_sessions.oidc.providers import get_provider
from bff_sessions.oidc.token_revocation import sending
from bff_sessions.oidc.tokens import Tokens
from bff_sessions.revocation import revoke_sessions
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.stores.cached import CachedUserSessionStore
from bff_sessions.testing import UserSessionStoreTests, make_session
from bff_sessions.views.endpoint import HEADER
from tests.support.examples import ROOT, example, examples, sign_in
from tests.support.minimal import MinimalStore
from tests.support.reference import reference


def text_of(page):
    return (ROOT / "docs" / f"{page}.md").read_text()


def our_messages(**options):
    return [each for each in run_checks(**options) if each.id.startswith("bff_sessions.")]


# The tests of docs/how-to/test-your-project.md, which pytest finds as if they were written here.
_PROJECT = {"__name__": __name__}
for _example in examples(ROOT / "docs" / "how-to" / "test-your-project.md"):
    if _example.language == "python" and re.search(r"^class \w+Tests?\(", _example.text, re.M):
        exec(_example.text, _PROJECT)
globals().update({name: value for name, value in _PROJECT.items() if name.endswith("Tests")})


def test_tests_of_your_project_are_run():
    assert [name for name in _PROJECT if name.endswith("Tests")]


@pytest.mark.parametrize(("app_label", "database"), [("bff_sessions", "sessions"), ("auth", None)])
def test_router_sends_sessions_to_their_database(app_label, database):
    router = example("how-to/databases", "python", "class SessionsRouter").run()["SessionsRouter"]()
    model = next(apps.get_app_config(app_label).get_models())
    assert router.db_for_read(model) == router.db_for_write(model) == database
    assert router.allow_migrate("sessions", app_label) is (database == "sessions")
    assert router.allow_migrate("default", app_label) is (False if database else None)


@pytest.mark.django_db
def test_signing_out_elsewhere_spares_the_current_session():
    User.objects.create(username="alice")
    sign_in("laptop")
    sign_in("phone")
    request = sign_in("tablet")
    namespace = example("how-to/revoke", "python", "def sign_out_elsewhere").run(
        get_store=get_store,
        revoke_sessions=revoke_sessions,
        UserSessionsFilter=UserSessionsFilter,
    )
    assert namespace["sign_out_elsewhere"](request) == 2
    (left,) = get_store().get_user_sessions(UserSessionsFilter(subject_id="alice"))
    assert left.session_id == "tablet"


@pytest.mark.django_db
def test_refresh_under_a_lock_runs_once():
    request = sign_in("laptop")
    request.session.update({"expires_at": 0, "refresh_token": "r1", "access_token": "a1"})
    request.session.save()
    used = []

    def refresh(token):
        used.append(token)
        return {"expires_at": time.time() + 60, "refresh_token": "r2", "access_token": "a2"}

    namespace = example("how-to/lock-a-session", "python", "def access_token").run(
        time=time, refresh=refresh
    )
    assert [namespace["access_token"](request) for _ in range(2)] == ["a2", "a2"]
    assert used == ["r1"]
    assert SessionStore(request.session.session_key)["refresh_token"] == "r2"


def test_example_of_settings_takes_effect(settings):
    namespace = example("reference/settings", "python", '"PARTITION": "shop"').run()
    settings.BFF_SESSIONS = namespace["BFF_SESSIONS"]
    assert conf.PARTITION == "shop"


@pytest.mark.parametrize("cache", ["backends.redis.RedisCache", "cluster.RedisClusterCache"])
def test_example_of_a_cache_takes_effect(settings, cache):
    namespace = example("how-to/cache", "python", "backends.redis.RedisCache").run()
    settings.CACHES = example("how-to/cache", "python", cache).run()["CACHES"]
    settings.BFF_SESSIONS = namespace["BFF_SESSIONS"]
    assert isinstance(get_store(), CachedUserSessionStore)
    assert our_messages() == []


def test_example_of_a_provider_is_valid(settings):
    found = example("how-to/back-channel-logout", "python", "# settings.py")
    settings.BFF_SESSIONS = found.run()["BFF_SESSIONS"]
    assert get_provider("https://idp.example").client_id == "shop"


def test_example_of_two_providers_has_a_strict_and_a_sloppy_one(settings):
    namespace = example("how-to/back-channel-logout", "python", "sloppy.example").run()
    settings.BFF_SESSIONS = namespace["BFF_SESSIONS"]
    assert our_messages() == []
    strict = get_provider("https://idp.example").logout_options
    sloppy = get_provider("https://sloppy.example").logout_options
    assert (strict.strict_typ, strict.max_age, strict.leeway) == (True, 600, 10)
    assert (sloppy.strict_typ, sloppy.max_age, sloppy.leeway) == (False, 600, 300)


def test_registered_url_is_that_of_the_endpoint():
    page = "how-to/back-channel-logout"
    namespace = example(page, "python", "bff_sessions.urls").run()
    urls = type("urls", (), {"urlpatterns": namespace["urlpatterns"]})
    path = reverse("bff_sessions:backchannel-logout", urlconf=urls)
    assert f"https://shop.example{path}" in text_of(page)


def test_tokens_may_live_elsewhere():
    namespace = example("how-to/access-tokens", "python", "def keep_tokens").run()
    data, keep_tokens = {}, namespace["keep_tokens"]
    assert keep_tokens(data) is None
    expires_at = datetime(2030, 1, 1, tzinfo=UTC)
    tokens = Tokens(access_token="a", refresh_token="r", expires_at=expires_at)
    assert keep_tokens(data, tokens) == keep_tokens(data) == tokens
    json.dumps(data)


def test_view_calls_an_api_with_the_access_token(rf):
    request = rf.get("/")
    request.session = SessionStore()
    request.session["oidc"] = {"access_token": "a1"}
    calls = []

    def get(url, **options):
        calls.append((url, options["headers"]))
        return SimpleNamespace(status_code=200, json=lambda: {"orders": 2})

    namespace = example("how-to/access-tokens", "python", "def orders").run(
        requests=SimpleNamespace(get=get), API="https://api.example", JsonResponse=JsonResponse
    )
    assert json.loads(namespace["orders"](request).content) == {"orders": 2}
    assert calls == [("https://api.example", {"Authorization": "Bearer a1"})]


@pytest.mark.django_db
def test_output_of_revoke_tokens(capsys, monkeypatch):
    monkeypatch.setattr(sending, "send", lambda *a, **k: Counter({sending.Outcome.REVOKED: 2}))
    call_command("revoke_tokens")
    shown = example("how-to/access-tokens", "console", "revoke_tokens").text.splitlines()
    assert capsys.readouterr().out.splitlines() == shown[1:]


@pytest.mark.django_db
def test_output_of_cleanup_sessions(capsys):
    for age in range(3):
        session = make_session()
        past = session.created.replace(year=2020, month=1, day=1 + age)
        get_store().create_user_session(make_session(expires=past))
    call_command("cleanup_sessions")
    shown = example("how-to/clean-up", "console", "cleanup_sessions").text.splitlines()
    assert capsys.readouterr().out.splitlines() == shown[1:]


@pytest.mark.django_db
def test_examples_of_sessions_find_and_end():
    lines = example("reference/commands", "console", "sessions list").text
    for line in re.findall(r"^\$ python manage\.py (sessions .*)$", lines, re.MULTILINE):
        call_command(*line.split())


def test_suite_for_a_store_of_your_own():
    namespace = example("reference/testing", "python", "make_store").run(MyStore=MinimalStore)
    suite = namespace["TestMyStore"]
    assert issubclass(suite, UserSessionStoreTests)
    assert isinstance(suite("test_an_unknown_key_is_none").make_store(), MinimalStore)


def test_claims_of_your_own(rf):
    request = rf.get("/")
    request.session = {"oidc": {"iss": "https://idp.example", "sub": "alice", "roles": ["admin"]}}
    namespace = example("how-to/single-page-application", "python", "def claims").run()
    assert namespace["claims"](request) == {
        "iss": "https://idp.example",
        "sub": "alice",
        "roles": ["admin"],
    }


def test_answer_of_get_user_has_the_keys_that_are_shown(client, db):
    client.cookies["sessionid"] = sign_in("laptop").session.session_key
    answer = client.get("/bff/user", headers={"X-CSRF": "1"}).json()
    page = "how-to/single-page-application"
    assert json.loads(example(page, "json", "claims").text).keys() == answer.keys()
    used = set(re.findall(r"user\.(\w+)", example(page, "js", "fetch").text))
    assert used <= answer.keys()


def test_front_end_sends_the_headers_and_paths_that_exist():
    page = "how-to/single-page-application"
    code = example(page, "js", "fetch").text
    assert dict(re.findall(r'"(X-\w+)": "(1)"', code)) == {HEADER: "1"}
    header = re.search("X-CSRFToken", code)[0]
    assert f"HTTP_{header.upper()}".replace("-", "_") == django_settings.CSRF_HEADER_NAME
    paths = re.findall(r'bff\(["`]([\w/]+)', code) + re.findall(r"/bff/(\w+)", code)
    assert sorted(paths) == ["login", "sessions/", "user"]
    listed = re.findall(r"^\| `(GET|POST|DELETE) (bff/[^?`]+)", text_of(page), re.MULTILINE)
    for _, path in listed:
        assert resolve(f"/{path.replace('<public_id>', 'x')}").app_name == "bff_sessions"
    assert len(set(listed)) == 7


def test_cookies_satisfy_the_checks(settings):
    namespace = example("how-to/single-page-application", "python", "__Host-").run()
    for name, value in namespace.items():
        if name.isupper():
            setattr(settings, name, value)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    assert our_messages(include_deployment_checks=True) == []


@pytest.mark.django_db
def test_blocked_users_are_signed_out():
    user = User.objects.create(username="alice")
    client = Client()
    client.force_login(user)
    example("how-to/revoke", "python", "def block").run()["block"](
        User.objects.filter(is_active=True)
    )
    assert not User.objects.get().is_active
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("page", "part"), [("how-to/revoke", "log_ends"), ("reference/signals", "mail_users")]
)
def test_receivers_get_each_session_that_ends(page, part):
    users, logger = [], SimpleNamespace(info=lambda text, user_id, reason: users.append(user_id))
    receiver = example(page, "python", part).run(
        logger=logger, mail_later=lambda user_id, text: users.append(user_id)
    )[part]
    store = get_store()
    session = make_session(user_id="42")
    store.create_user_session(session)
    try:
        revoke_sessions(UserSessionsFilter.of_session(session), reason=EndReason.OPERATOR)
    finally:
        sessions_ended.disconnect(receiver)
    assert users == ["42"]


def test_reference_lists_every_command():
    text = text_of("reference/commands")
    names = {path.stem for path in (ROOT / "bff_sessions/management/commands").glob("[a-z]*.py")}
    assert set(re.findall(r"^```\{command-help\} (\w+)", text, re.M)) == names


def test_reference_finds_every_logger_and_log_line():
    """A logger, or a call that logs, in a form that the reference does not find."""
    names = reference.logger_names()
    source = [path.read_text() for path in (ROOT / "bff_sessions").rglob("*.py")]
    assert len(re.findall(r"getLogger\(", "".join(source))) == len(
        re.findall(r"^logger = logging\.getLogger\(\"[\w.]+\"\)$", "".join(source), re.M)
    )
    lines = reference.log_lines()
    assert {line.logger for line in lines} == names
    assert all(line.message.strip("…. ") and line.levels for line in lines)


def test_reference_lists_every_url_with_its_methods():
    rows = {name: methods for _, methods, name, _ in reference.url_rows()}
    assert rows.keys() == {pattern.name for pattern in urls.urlpatterns}
    assert rows["end-my-session"] == "GET, POST"
    assert rows["backchannel-logout"] == "POST"
    assert rows["signals"] == "POST"


def test_reference_describes_every_setting_and_option():
    text = "".join(reference.describe(setting) for setting in (None, *reference.OPTIONS))
    for name in conf.SETTINGS:
        assert f"````{{setting}} {name}\n" in text
    for setting, (options, _) in reference.OPTIONS.items():
        for name in options.table():
            assert f"````{{setting}} {setting}.{name}\n" in text


def test_reference_lists_every_exception():
    found = {
        name
        for path in (ROOT / "bff_sessions").rglob("*.py")
        for name in re.findall(
            r"^class ([A-Z]\w+)\(.*(?:Error|Exception)\b", path.read_text(), re.M
        )
    }
    # Raised and caught inside the package, or Django's ImproperlyConfigured in disguise.
    internal = {"RefreshRefused", "OtherSubject", "LogoutTokenInvalid", "KeySetMissing", "NotMoved"}
    internal |= {"ClientKeyInvalid", "ConnectionLost", "SessionGone", "StoreFailed"}
    internal |= {"SignatureInvalid", "IdTokenInvalid"}
    internal |= {"EventTokenInvalid", "SignalInvalid", "SubjectUnresolved"}
    assert found - internal <= {*exceptions.__all__}
