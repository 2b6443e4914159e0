import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.core.cache.backends.base import BaseCache
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError

import bff_sessions
from bff_sessions import conf, engine
from bff_sessions.conf.faults import FAULTS, Fault
from bff_sessions.contract import UserSessionStore
from bff_sessions.middleware import SessionMiddleware
from bff_sessions.oidc.providers import get_provider
from bff_sessions.protection import seal
from bff_sessions.stores.memory import InMemoryUserSessionStore
from tests.support.checks import messages, only_message
from tests.support.middleware import DJANGOS, OURS
from tests.support.reference import reference

ROOT = Path(__file__).parents[3]
GOOD_KEYS = ["a good key of more than 32 characters", "another key of more than 32 characters"]
not_callable = "not callable"


class OtherRedis(BaseCache):
    """A cache of another package that takes several servers, as django-redis does."""

    def __init__(self, server, params):
        super().__init__(params)


class SmallerMemory(InMemoryUserSessionStore):
    pass


class NeedsAnAddress(InMemoryUserSessionStore):
    def __init__(self, address):
        super().__init__()


class SessionStore(engine.SessionStore):
    """What makes this module an engine."""


class Unfinished(UserSessionStore):
    """Without its verbs, so that it cannot be instantiated."""


def test_the_settings_of_the_tests_are_silent():
    assert messages() == []


def test_a_good_configuration_is_silent(settings):
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_NAME = "__Host-sessionid"
    settings.BFF_SESSIONS = {
        "STORE": "bff_sessions.stores.orm.OrmUserSessionStore",
        "PARTITION": "shop",
        "ENCRYPTION_KEYS": GOOD_KEYS,
        "RENEW_AFTER": 0.5,
        "ABSOLUTE_LIFETIME": timedelta(hours=12),
        "MAX_SESSIONS_PER_SUBJECT": 3,
        "ATOMIC_KEYS": ["tokens"],
        "IDENTITY_RESOLVER": "bff_sessions.identity.resolve_identity",
    }
    assert messages(deploy=True) == []


def test_an_empty_configuration_is_good(settings):
    settings.BFF_SESSIONS = {}
    assert messages() == []


def test_middleware_that_refuses_requests_in_flight_is_w008(settings, djangos_middleware):
    assert "bff_sessions.middleware.SessionMiddleware" in only_message("W008").hint
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    assert [message.id for message in messages()] == ["bff_sessions.W001"]


AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def test_missing_session_middleware_is_w014(settings):
    for middleware in ([], [AUTHENTICATION], ["shop.middleware.nope"]):
        settings.MIDDLEWARE = middleware
        assert f"above {AUTHENTICATION!r}" in only_message("W014").hint


class OurMiddleware(SessionMiddleware):
    """What a project may make of it."""


@pytest.mark.parametrize("ours", [OURS, "tests.unit.checks.test_settings.OurMiddleware"])
@pytest.mark.parametrize("is_first", [True, False])
def test_second_session_middleware_is_w009(settings, ours, is_first):
    both = [ours, DJANGOS] if is_first else [DJANGOS, ours]
    settings.MIDDLEWARE = [*both, AUTHENTICATION, "shop.middleware.nope"]
    assert f"Keep {ours!r} only" in only_message("W009").hint


@pytest.mark.parametrize("ours", [OURS, "tests.unit.checks.test_settings.OurMiddleware"])
def test_session_middleware_below_authentication_is_w010(settings, ours):
    settings.MIDDLEWARE = [AUTHENTICATION, ours]
    message = only_message("W010")
    assert f"{ours!r} is below {AUTHENTICATION!r}" in message.msg
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    assert [message.id for message in messages()] == ["bff_sessions.W001"]


def test_two_session_middlewares_around_authentication_are_two_faults(settings):
    settings.MIDDLEWARE = [DJANGOS, AUTHENTICATION, OURS]
    assert [message.id[-4:] for message in messages()] == ["W009", "W010"]


def test_a_missing_app_is_e001(settings):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "bff_sessions"]
    assert "INSTALLED_APPS" in only_message("E001").msg


@pytest.mark.parametrize("given", [None, [], "shop", 1, {"STORE"}])
def test_settings_that_are_no_dictionary_are_e002(settings, given):
    settings.BFF_SESSIONS = given
    assert type(given).__name__ in only_message("E002").msg


def test_an_unknown_setting_is_e003(settings):
    settings.BFF_SESSIONS = {"PARTITON": "shop"}  # codespell:ignore
    message = only_message("E003")
    assert "'PARTITON'" in message.msg
    assert "PARTITION" in message.hint


def test_every_unknown_setting_is_told(settings):
    settings.BFF_SESSIONS = {"PARTITON": "shop", "store": "x", 1: 2}  # codespell:ignore
    assert [message.id for message in messages()] == ["bff_sessions.E003"] * 3


@pytest.mark.parametrize(
    ("given", "id", "meant"),
    [
        ({"PARTITON": "shop"}, "E003", "PARTITION"),  # codespell:ignore
        ({"partition": "shop"}, "E003", "PARTITION"),
        ({"PROVIDER": {}}, "E003", "PROVIDERS"),
        ({"ENDPOINTS": ["user", "my_sessions"]}, "E050", "my-sessions"),
        ({"DEVICE": {"ADRESS": "full"}}, "E071", "ADDRESS"),  # codespell:ignore
        ({"DEVICE": {"ADDRESS": "truncate"}}, "E073", "truncated"),
        ({"BACKCHANNEL_LOGOUT": {"strict_type": True}}, "E032", "STRICT_TYP"),
        ({"TOKEN_REVOCATION": {"EXPIRED": True}}, "E044", "EXPIRED_SESSIONS"),
    ],
)
def test_hint_asks_for_what_was_meant(settings, given, id, meant):
    settings.BFF_SESSIONS = given
    hints = [message.hint for message in messages() if message.id == f"bff_sessions.{id}"]
    assert [hint.partition("? ")[0] for hint in hints] == [f"Did you mean {meant!r}"]


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("CLIENTID", "shop", "CLIENT_ID"),
        ("TOKEN_ENDPOINT_AUTH_METHOD", "client_secret_basics", "client_secret_basic"),
        ("ALGORITHMS", ["RS265", "ES256"], "RS256"),
    ],
)
def test_hint_of_a_provider_asks_for_what_was_meant(settings, name, value, meant):
    provide(settings, **{name: value})
    (message,) = messages()
    assert message.hint.startswith(f"Did you mean {meant!r}? ")


def test_name_unlike_any_other_has_no_guess(settings):
    settings.BFF_SESSIONS = {"XYZ": 1}
    assert only_message("E003").hint.startswith("Use one of ")


@pytest.mark.parametrize("name", ["BFF_SESSION", "BFFSESSIONS", "BFF_SESSIONS_PROVIDERS"])
def test_misspelt_name_of_the_dictionary_is_w012(settings, name):
    setattr(settings, name, {})
    assert only_message("W012").msg.startswith(f"{name} has no effect")


@pytest.mark.parametrize("name", ["BFF_SESSIONS_URL", "SESSION_ENGINE_OF_BFF", "SESSIONS"])
def test_setting_of_the_project_is_not_w012(settings, name):
    setattr(settings, name, {})
    assert messages() == []


@pytest.mark.parametrize(
    "store",
    ["shop.stores.Nope", "bff_sessions.stores.orm.Nope", "Nope", "", None, 1, dict, ["a.b"]],
)
def test_a_store_that_cannot_be_imported_is_e004(settings, store):
    settings.BFF_SESSIONS = {"STORE": store}
    assert repr(store) in only_message("E004").msg


@pytest.mark.parametrize(
    "store",
    [
        "builtins.dict",
        "bff_sessions.stores.get_store",
        "bff_sessions.contract.UserSessionStoreCleanup",
    ],
)
def test_a_store_that_is_no_store_is_e005(settings, store):
    settings.BFF_SESSIONS = {"STORE": store}
    assert store in only_message("E005").msg


@pytest.mark.parametrize(
    "store",
    ["bff_sessions.contract.UserSessionStore", "tests.unit.checks.test_settings.Unfinished"],
)
def test_a_store_without_its_verbs_is_e005(settings, store):
    settings.BFF_SESSIONS = {"STORE": store}
    assert store in only_message("E005").msg


@pytest.mark.parametrize(
    "resolver",
    ["shop.resolver", "bff_sessions.identity.nope", "", None, 1, len, ["a.b"], {"a": "b"}],
)
def test_a_resolver_that_cannot_be_imported_is_e006(settings, resolver):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": resolver}
    assert "IDENTITY_RESOLVER" in only_message("E006").msg


def test_a_resolver_that_cannot_be_called_is_e006(settings):
    settings.BFF_SESSIONS = {"IDENTITY_RESOLVER": "tests.unit.checks.test_settings.not_callable"}
    assert "must be the dotted path of a callable" in only_message("E006").msg


@pytest.mark.parametrize(
    "partition", [None, "", " ", "\t", 1, b"shop", "x" * 101, "a\0b", "\ud800"]
)
def test_a_partition_that_cannot_be_kept_is_e007(settings, partition):
    settings.BFF_SESSIONS = {"PARTITION": partition}
    assert "PARTITION" in only_message("E007").msg


@pytest.mark.parametrize("partition", ["x", "x" * 100, "Überseehandel"])
def test_a_partition_of_up_to_100_characters_is_good(settings, partition):
    settings.BFF_SESSIONS = {"PARTITION": partition}
    assert messages() == []


@pytest.mark.parametrize(
    "keys",
    [
        [],
        (),
        GOOD_KEYS[0],
        GOOD_KEYS[0].encode(),
        {GOOD_KEYS[0]},
        {"key": GOOD_KEYS[0]},
        [GOOD_KEYS[0], None],
        [1],
        ["top secret"],
        [GOOD_KEYS[0], b"top secret"],
        [""],
        [GOOD_KEYS[0], GOOD_KEYS[0]],
        [GOOD_KEYS[0], GOOD_KEYS[1], GOOD_KEYS[0]],
    ],
)
def test_encryption_keys_that_are_no_good_are_e008_and_stay_secret(settings, keys):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": keys}
    text = str(only_message("E008"))
    assert "ENCRYPTION_KEYS" in text
    for secret in [*GOOD_KEYS, "top secret", "good key", settings.SECRET_KEY]:
        assert secret not in text


@pytest.mark.parametrize(
    "keys", [None, GOOD_KEYS, tuple(GOOD_KEYS), [bytes(range(32))], ["x" * 32]]
)
def test_lists_of_long_keys_are_good(settings, keys):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": keys}
    assert messages() == []


def test_keys_appear_in_no_message_of_another_fault(settings):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": GOOD_KEYS, "STORE": "x", "PARTITION": "", "y": 1}
    found = messages()
    assert len(found) == 3
    for message in found:
        assert not any(key in str(message) for key in GOOD_KEYS)


@pytest.mark.parametrize("keys", ["a string that is no list, of more than 32 characters", [], [""]])
def test_bad_keys_are_refused_where_no_checks_run(settings, keys):
    settings.BFF_SESSIONS = {"ENCRYPTION_KEYS": keys}
    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS"):
        seal(b"data", bound_to=("store key",), purpose="ticket")


@pytest.mark.parametrize(
    ("id", "name", "values"),
    [
        ("E013", "RENEW_AFTER", [0, 1, -0.5, 2, True, "0.5", float("nan"), timedelta(1)]),
        ("E014", "ABSOLUTE_LIFETIME", [3600, timedelta(0), timedelta(-1), "1 day", True]),
        ("E015", "MAX_SESSIONS_PER_SUBJECT", [0, -1, 1.5, True, "3", float("inf")]),
    ],
)
def test_lifetimes_that_make_no_sense_are_told(settings, id, name, values):
    for value in values:
        settings.BFF_SESSIONS = {name: value}
        assert name in only_message(id).msg


@pytest.mark.parametrize(
    "key", ["", " ", None, 7, ["oidc"], "_bff_identity", "_auth_user_id", "oidc_id_token"]
)
def test_a_claims_key_that_is_none_or_taken_is_e030(settings, key):
    settings.BFF_SESSIONS = {"CLAIMS_KEY": key}
    assert repr(key) in only_message("E016").msg


def test_a_claims_key_of_ones_own_will_do(settings):
    settings.BFF_SESSIONS = {"CLAIMS_KEY": "claims"}
    assert messages() == []


@pytest.mark.parametrize("keys", ["tokens", None, 7, {"tokens": 1}, [""], ["tokens", 1], [["a"]]])
def test_atomic_keys_must_be_a_list_of_keys(settings, keys):
    settings.BFF_SESSIONS = {"ATOMIC_KEYS": keys}
    assert "ATOMIC_KEYS" in only_message("E017").msg


@pytest.mark.parametrize(
    "changes", [None, "deleted", ["blocked"], ["deleted", None], {"deleted": 1}]
)
def test_changes_of_a_user_must_be_known_ones(settings, changes):
    settings.BFF_SESSIONS = {"END_WITH_USER": changes}
    assert "END_WITH_USER" in only_message("E018").msg


@pytest.mark.parametrize("keys", [[], ["tokens"], ("a", "b"), {"a"}, frozenset({"a"})])
def test_any_collection_of_keys_is_good(settings, keys):
    settings.BFF_SESSIONS = {"ATOMIC_KEYS": keys}
    assert messages() == []


LIBRARIES = {
    "W030": "mozilla_django_oidc",
    "W031": "allauth.socialaccount.providers.openid_connect",
    "W032": "social_django",
}
RESOLVER = {"IDENTITY_RESOLVER": "tests.unit.identity.test_identity.resolve_tenant"}


@pytest.fixture
def told_of_libraries(monkeypatch, settings):
    """The warnings about login libraries, were these apps installed."""

    def tell(*names, **given):
        is_installed = {*names, "bff_sessions"}.__contains__
        monkeypatch.setattr(apps, "is_installed", is_installed)
        settings.BFF_SESSIONS = {"PROVIDERS": {"https://idp.example": {}}, **given}
        found = [message for message in messages() if message.id[-4:] in {*LIBRARIES, "W033"}]
        assert all(message.msg.endswith(".") and message.hint for message in found)
        return [message.id[-4:] for message in found]

    return tell


@pytest.mark.parametrize("id", LIBRARIES)
def test_a_library_that_does_not_say_whose_session_it_is(told_of_libraries, id):
    assert told_of_libraries(LIBRARIES[id]) == [id]
    assert told_of_libraries(LIBRARIES[id], PROVIDERS={}) == []
    assert told_of_libraries(LIBRARIES[id], **RESOLVER) == []


def test_libraries_with_their_adapters_are_fine(told_of_libraries, settings):
    settings.OIDC_STORE_ID_TOKEN = True
    settings.SOCIAL_AUTH_PIPELINE = None
    step = "bff_sessions.adapters.social_auth.copy_claims"
    settings.SOCIAL_AUTH_OIDC_PIPELINE = (step,)
    assert told_of_libraries(*LIBRARIES.values(), "bff_sessions.adapters.allauth") == []


class KeepingView:
    keeps_tokens = True


@pytest.mark.parametrize(
    ("view", "is_warned"),
    [
        (None, True),
        ("django.views.generic.View", True),
        (f"{__name__}.KeepingView", False),
        # The URLs cannot be imported either.
        ("shop.views.Nope", False),
    ],
)
def test_access_token_without_expiry_is_warned_of(told_of_libraries, settings, view, is_warned):
    settings.OIDC_STORE_ID_TOKEN = True
    settings.OIDC_STORE_ACCESS_TOKEN = True
    settings.OIDC_CALLBACK_CLASS = view
    assert told_of_libraries("mozilla_django_oidc") == ["W033"] * is_warned
    own = {"TOKENS": "bff_sessions.oidc.tokens.read_tokens"}
    assert told_of_libraries("mozilla_django_oidc", **own) == []
    settings.OIDC_STORE_ACCESS_TOKEN = False
    assert told_of_libraries("mozilla_django_oidc") == []


def test_a_store_that_needs_arguments_is_e005(settings):
    settings.BFF_SESSIONS = {"STORE": "tests.unit.checks.test_settings.NeedsAnAddress"}
    assert "'address'" in only_message("E005").msg


@pytest.mark.parametrize(
    ("app", "middleware"),
    [
        # The server starts.
        ("django.contrib.auth", OURS),
        ("django.contrib.auth", DJANGOS),
        # The models of an app of the project import the engine.
        ("shop", DJANGOS),
    ],
)
def test_engine_without_the_app_is_refused_when_django_starts(tmp_path, app, middleware):
    (tmp_path / "settings.py").write_text(
        "SECRET_KEY = 'only for this test'\n"
        f"INSTALLED_APPS = ['django.contrib.contenttypes', {app!r}]\n"
        f"MIDDLEWARE = [{middleware!r}]\n"
        "SESSION_ENGINE = 'bff_sessions.engine'\n"
    )
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/models.py").write_text("import bff_sessions.engine\n")
    program = "from django.core.wsgi import get_wsgi_application as start; start()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "add 'bff_sessions' to INSTALLED_APPS" in done.stderr


@pytest.mark.parametrize("name", ["sign_in", "bind_identity", "get_access_token"])
def test_function_without_the_app_is_refused(monkeypatch, name):
    monkeypatch.setattr(apps, "is_installed", lambda app: app != "bff_sessions")
    monkeypatch.delitem(vars(bff_sessions), name, raising=False)
    with pytest.raises(ImproperlyConfigured, match="add 'bff_sessions' to INSTALLED_APPS"):
        getattr(bff_sessions, name)


MINIMAL = {"STORE": "tests.support.minimal.MinimalStore"}
CACHED_MINIMAL = {
    "STORE": "bff_sessions.stores.cached.CachedUserSessionStore",
    "CACHED_STORE": MINIMAL["STORE"],
}


@pytest.mark.parametrize("store", [MINIMAL, CACHED_MINIMAL], ids=["alone", "cached"])
def test_store_that_lacks_an_ability_is_reported(settings, store):
    settings.BFF_SESSIONS = store
    reports = {"bff_sessions.W011", "bff_sessions.W071"}
    assert not reports & {message.id for message in messages()}
    settings.BFF_SESSIONS = store | {"DEVICE": {}}
    assert reports & {message.id for message in messages()} == {"bff_sessions.W071"}
    settings.BFF_SESSIONS = store | {"PROVIDERS": {"https://idp.example": {"CLIENT_ID": "shop"}}}
    assert reports & {message.id for message in messages()} == {"bff_sessions.W011"}


def test_store_with_all_abilities_is_not_reported(settings):
    for name in ("orm.OrmUserSessionStore", "cached.CachedUserSessionStore"):
        settings.BFF_SESSIONS = {
            "STORE": f"bff_sessions.stores.{name}",
            "DEVICE": {},
            "PROVIDERS": {"https://idp.example": {"CLIENT_ID": "shop"}},
        }
        ids = {message.id for message in messages()}
        assert not ids & {"bff_sessions.W011", "bff_sessions.W071"}


def test_an_engine_derived_from_ours_is_ours(settings):
    settings.SESSION_ENGINE = "tests.unit.checks.test_settings"
    assert messages() == []


def test_another_session_engine_is_w001(settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    message = only_message("W001")
    assert "signed_cookies" in message.msg
    assert "bff_sessions.engine" in message.hint


@pytest.mark.parametrize(
    "store",
    [
        "bff_sessions.stores.memory.InMemoryUserSessionStore",
        "tests.unit.checks.test_settings.SmallerMemory",
    ],
)
def test_sessions_in_memory_are_w002_outside_of_debug(settings, store):
    settings.BFF_SESSIONS = {"STORE": store}
    assert "memory" in only_message("W002").msg
    settings.DEBUG = True
    assert messages() == []


@pytest.mark.parametrize("name", ["SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY"])
def test_a_cookie_without_protection_is_w003_when_deploying(settings, name):
    settings.SESSION_COOKIE_SECURE = settings.SESSION_COOKIE_HTTPONLY = True
    setattr(settings, name, False)
    told = sorted(message.id for message in messages(deploy=True))
    assert told == ["bff_sessions.W003", "bff_sessions.W050"]
    assert messages() == []


def test_every_fault_at_once_is_told_at_once(settings):
    settings.BFF_SESSIONS = {
        "STORE": "x",
        "PARTITION": "",
        "ENCRYPTION_KEYS": [],
        "IDENTITY_RESOLVER": "x",
        "y": 1,
    }
    ids = sorted(message.id[-4:] for message in messages())
    assert ids == ["E003", "E004", "E006", "E007", "E008"]


def test_a_fault_makes_manage_py_check_fail(settings):
    settings.BFF_SESSIONS = {"STORE": "shop.stores.Nope"}
    with pytest.raises(SystemCheckError, match=r"bff_sessions\.E004"):
        call_command("check")


# The cached store


REDIS = "django.core.cache.backends.redis.RedisCache"


@pytest.fixture
def cached(settings):
    """Configures the cached store, with a cache that is as it should be."""
    settings.CACHES = {"default": {"BACKEND": REDIS, "LOCATION": "redis://127.0.0.1:1/0"}}

    def configure(**more):
        store = "bff_sessions.stores.cached.CachedUserSessionStore"
        settings.BFF_SESSIONS = {"STORE": store} | more

    configure()
    return configure


def test_a_good_cache_is_silent(cached):
    assert messages() == []
    cached(MAX_STALE=1.5, CACHED_STORE="tests.support.minimal.MinimalStore", ENDPOINTS=["user"])
    assert messages() == []


@pytest.mark.parametrize("store", ["shop.stores.Nope", "", None, 1])
def test_a_store_behind_the_cache_that_cannot_be_imported_is_e009(cached, store):
    cached(CACHED_STORE=store)
    message = only_message("E009")
    assert repr(store) in message.msg
    assert "CACHED_STORE" in message.msg


@pytest.mark.parametrize(
    "store", ["builtins.dict", "bff_sessions.stores.cached.CachedUserSessionStore"]
)
def test_a_store_behind_the_cache_that_is_none_is_e010(cached, store):
    cached(CACHED_STORE=store)
    message = only_message("E010")
    assert store in message.msg
    assert "CACHED_STORE" in message.msg


@pytest.mark.parametrize("alias", ["nope", None, 1, ["default"]])
def test_a_cache_that_is_not_there_is_e011(cached, alias):
    cached(CACHE=alias)
    assert repr(alias) in only_message("E011").msg


@pytest.mark.parametrize("seconds", [0, 0.5, -1, True, None, "30", float("inf"), float("nan")])
def test_a_max_stale_that_is_no_number_of_seconds_is_e012(cached, seconds):
    cached(MAX_STALE=seconds)
    assert repr(seconds) in only_message("E012").msg


@pytest.mark.parametrize("backend", ["locmem.LocMemCache", "dummy.DummyCache"])
def test_a_cache_of_one_process_is_w005_except_while_developing(cached, settings, backend):
    settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
    assert "'default'" in only_message("W005").msg
    settings.DEBUG = True
    assert messages() == []


@pytest.mark.parametrize(
    "location",
    ["redis://a:6379,redis://b:6379", "redis://a:6379;redis://b:6379", ["redis://a", "redis://b"]],
)
@pytest.mark.parametrize("backend", [REDIS, f"{__name__}.OtherRedis"])
def test_a_cache_with_replicas_is_w006(cached, settings, location, backend):
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": location}}
    assert "'default'" in only_message("W006").msg


@pytest.mark.parametrize(
    "location", ["127.0.0.1:1,127.0.0.1:2", ["unix:/a", "unix:/b"], Path("/tmp/a,b"), Path("/tmp")]
)
def test_location_without_urls_is_not_w006(cached, settings, location):
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.OtherRedis", "LOCATION": location}}
    assert messages() == []


def test_memory_behind_the_cache_is_w002_except_while_developing(cached, settings):
    cached(CACHED_STORE="bff_sessions.stores.memory.InMemoryUserSessionStore")
    assert "CACHED_STORE" in only_message("W002").msg
    settings.DEBUG = True
    assert messages() == []


@pytest.mark.parametrize(
    ("name", "value"), [("CACHE", "nope"), ("MAX_STALE", 0), ("CACHED_STORE", "nope")]
)
def test_setting_of_a_cache_that_nothing_uses_is_w013(settings, name, value):
    settings.BFF_SESSIONS = {name: value}
    message = only_message("W013")
    assert message.msg.startswith(f"BFF_SESSIONS[{name!r}] has no effect")
    assert "bff_sessions.stores.cached.CachedUserSessionStore" in message.hint


# Providers


IDP = "https://idp.example"
SECRET = "the secret of the client"


def provide(settings, *, issuer=IDP, **options):
    options = {"CLIENT_ID": "shop", "CLIENT_SECRET": SECRET} | options
    settings.BFF_SESSIONS = {"PROVIDERS": {issuer: options}}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"CLIENT_SECRET": None},
        {"JWKS_URI": "https://keys.example/set?v=1", "TOKEN_ENDPOINT": None},
        {"END_SESSION_ENDPOINT": None, "DISCOVERY_URL": None, "JWKS_URI": f"{IDP}/keys"},
        {"DISCOVERY_URL": "https://idp.example/policy/.well-known/openid-configuration?p=b2c"},
        {"ALLOW_MISSING_EXP": True},
        {"ALGORITHMS": ["ES256"]},
        {"ALGORITHMS": ("EdDSA", "ES256K")},
        {"TOKEN_ENDPOINT_AUTH_METHOD": "client_secret_post"},
        {"issuer": "https://idp.example/realms/shop/"},
        {"issuer": "http://localhost:8080"},
        {"issuer": "http://idp.localhost"},
        {"issuer": "http://127.0.0.1:8080", "JWKS_URI": "http://[::1]:8080/keys"},
        {"issuer": "http://keycloak:8080", "ALLOW_HTTP": True},
    ],
    ids=str,
)
def test_good_providers_are_silent(settings, options):
    provide(settings, **options)
    assert messages() == []


@pytest.mark.parametrize("providers", [None, [], 1], ids=repr)
def test_providers_that_are_none_are_e020(settings, providers):
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    only_message("E020")


@pytest.mark.parametrize("path", ["https://idp.example", "shop.providers.find", "tests"])
def test_callable_of_providers_that_cannot_be_imported_is_e065(settings, path):
    settings.BFF_SESSIONS = {"PROVIDERS": path}
    assert path in only_message("E065").msg


def test_providers_from_a_callable_are_silent(settings):
    settings.BFF_SESSIONS = {"PROVIDERS": "operator.itemgetter"}
    assert messages() == []


@pytest.mark.parametrize("clients", [None, "shop", [], [{"CLIENT_ID": "shop"}, "till"], [None]])
def test_issuer_without_clients_is_e063(settings, clients):
    settings.BFF_SESSIONS = {"PROVIDERS": {IDP: clients}}
    only_message("E063")


def test_client_that_stands_twice_is_e064(settings):
    settings.BFF_SESSIONS = {"PROVIDERS": {IDP: [{"CLIENT_ID": "shop"}, {"CLIENT_ID": "shop"}]}}
    only_message("E064")


def test_fault_of_one_of_several_clients_names_its_place(settings):
    settings.BFF_SESSIONS = {
        "PROVIDERS": {IDP: [{"CLIENT_ID": "shop"}, {"CLIENT_ID": "till", "ALGORITHMS": []}]}
    }
    assert f"[{IDP!r}][1]['ALGORITHMS']" in only_message("E029").msg
    settings.BFF_SESSIONS = {
        "PROVIDERS": {IDP: [{"CLIENT_ID": "shop"}, {"CLIENT_ID": "till", "CLIENT_KEYS": ["x"]}]}
    }
    assert f"[{IDP!r}][1]['CLIENT_KEYS']" in only_message("E047").msg


@pytest.mark.parametrize("age", [None, -1, True, "60", 86_401], ids=repr)
def test_wrong_age_of_providers_is_e066(settings, age):
    settings.BFF_SESSIONS = {"PROVIDERS_MAX_AGE": age}
    only_message("E066")


def test_providers_without_the_extra_are_e021(settings, monkeypatch):
    provide(settings)
    monkeypatch.setattr("bff_sessions.checks.providers.find_spec", lambda name: None)
    assert "oidc" in only_message("E021").hint
    settings.BFF_SESSIONS = {}
    assert messages() == []


@pytest.mark.parametrize(
    "issuer",
    [
        None,
        1,
        "",
        "idp.example",
        "https://",
        "https://idp.example/?realm=shop",
        "https://idp.example#shop",
        "https://me@idp.example",
        "https://idp.example:port",
        "https://idp.example/ ",
        "ftp://idp.example",
        "https://idp.example/" + "a" * 255,
    ],
)
def test_an_issuer_that_is_none_is_e022(settings, issuer):
    provide(settings, issuer=issuer)
    only_message("E022")


def test_an_unknown_option_of_a_provider_is_e023(settings):
    provide(settings, CLIENT="shop")
    assert "'CLIENT'" in only_message("E023").msg


@pytest.mark.parametrize("client_id", [None, "", " ", 1, "a" * 256])
def test_a_client_id_that_is_none_is_e024(settings, client_id):
    provide(settings, CLIENT_ID=client_id)
    only_message("E024")


@pytest.mark.parametrize("secret", ["", " ", 1, b"the secret"])
def test_a_client_secret_that_is_none_is_e025(settings, secret):
    provide(settings, CLIENT_SECRET=secret)
    message = only_message("E025")
    assert "the secret that" in message.hint
    assert repr(secret) not in message.msg


@pytest.mark.parametrize("allow", ["yes", 1, None])
def test_an_allowance_that_is_none_is_e026(settings, allow):
    provide(settings, ALLOW_HTTP=allow)
    only_message("E026")


@pytest.mark.parametrize("allow", ["yes", 1, None])
def test_switch_for_missing_exp_that_is_neither_true_nor_false_is_e035(settings, allow):
    provide(settings, ALLOW_MISSING_EXP=allow)
    assert "ALLOW_MISSING_EXP" in only_message("E035").msg


@pytest.mark.parametrize(
    "name", ["DISCOVERY_URL", "JWKS_URI", "TOKEN_ENDPOINT", "END_SESSION_ENDPOINT"]
)
@pytest.mark.parametrize("url", ["", "/token", "ftp://idp.example", 1])
def test_an_endpoint_that_is_no_address_is_e027(settings, name, url):
    provide(settings, **{name: url})
    assert name in only_message("E027").msg


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": "http://idp.example"},
        {"issuer": "http://10.0.0.1"},
        {"JWKS_URI": "http://idp.example/keys"},
        {"REVOCATION_ENDPOINT": "http://localhost.example"},
        {"DISCOVERY_URL": "http://idp.example/metadata"},
    ],
    ids=str,
)
def test_plain_http_elsewhere_is_e028(settings, options):
    provide(settings, **options)
    assert "ALLOW_HTTP" in only_message("E028").hint


@pytest.mark.parametrize(
    "algorithms", [[], None, "RS256", ["RS256", "HS256"], ["none"], [None], ["ES521"], [["RS256"]]]
)
def test_algorithms_that_are_none_are_e029(settings, algorithms):
    provide(settings, ALGORITHMS=algorithms)
    only_message("E029")


@pytest.mark.parametrize("method", ["", "client_secret_jwt", ["client_secret_basic"]])
def test_an_unknown_way_to_say_who_we_are_is_e030(settings, method):
    provide(settings, TOKEN_ENDPOINT_AUTH_METHOD=method)
    only_message("E030")


@pytest.mark.parametrize(
    "options",
    [
        {"JWKS_URI": None},
        {"JWKS_URI": None, "DISCOVERY_URL": f"{IDP}/metadata"},
        {"DISCOVERY_URL": None},
        {"DISCOVERY_URL": None, "JWKS_URI": None, "TOKEN_ENDPOINT": f"{IDP}/token"},
    ],
    ids=str,
)
def test_provider_without_key_set_is_w020(settings, options):
    provide(settings, **options)
    message = only_message("W020")
    assert message.msg == (
        f"BFF_SESSIONS['PROVIDERS'][{IDP!r}] has no JWKS_URI: logout tokens are refused."
    )
    # A warning does not keep the provider from doing what it can.
    assert get_provider(IDP).client_id == "shop"


def test_no_check_shows_the_secret(settings):
    provide(settings, CLIENT_ID="", JWKS_URI="", ALGORITHMS=[], ALLOW_HTTP=1, CLIENT="a")
    found = messages()
    assert len(found) == 5
    assert SECRET not in "".join(map(str, found))
    settings.BFF_SESSIONS = {"PROVIDERS": [SECRET]}
    assert SECRET not in str(only_message("E020"))


def test_options_of_a_provider_hide_the_secret(settings):
    provide(settings)
    options = get_provider(IDP).options
    assert options.client_secret == SECRET
    assert SECRET not in repr(options)


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
)
def test_url_of_metadata_for_an_issuer_is_e039(settings, path):
    provide(settings, issuer=f"{IDP}/realms/shop{path}")
    assert f"probably '{IDP}/realms/shop'" in only_message("E039").hint


def test_issuer_with_and_without_a_final_slash_is_w021(settings):
    options = {"CLIENT_ID": "shop"}
    settings.BFF_SESSIONS = {"PROVIDERS": {f"{IDP}/": options, IDP: options}}
    message = only_message("W021")
    assert f"both {IDP!r} and '{IDP}/'" in message.msg


# Back-channel logout


def log_out_with(settings, options):
    settings.BFF_SESSIONS = {"BACKCHANNEL_LOGOUT": options}


def test_good_options_of_logout_are_silent(settings):
    log_out_with(settings, {"STRICT_TYP": True, "ALL_SESSIONS": False, "MAX_AGE": 0, "LEEWAY": 1.5})
    assert messages() == []


@pytest.mark.parametrize("options", [None, [], "STRICT_TYP"])
def test_options_of_logout_that_are_none_are_e031(settings, options):
    log_out_with(settings, options)
    only_message("E031")


@pytest.mark.parametrize("name", ["STRICT", "strict_typ", 1])
def test_an_unknown_option_of_logout_is_e032(settings, name):
    log_out_with(settings, {name: True})
    assert repr(name) in only_message("E032").msg


@pytest.mark.parametrize("setting", ["BACKCHANNEL_LOGOUT", "TOKEN_REVOCATION"])
@pytest.mark.parametrize("name", ["ALLOW_MISSING_EXP", "ALGORITHMS", "CLIENT_ID"])
def test_option_of_a_provider_in_another_setting_is_sent_there(settings, setting, name):
    settings.BFF_SESSIONS = {setting: {name: True}}
    (message,) = messages()
    assert message.id in ("bff_sessions.E032", "bff_sessions.E044")
    assert "BFF_SESSIONS['PROVIDERS']" in message.hint


@pytest.mark.parametrize("name", ["STRICT_TYP", "ALL_SESSIONS"])
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_a_switch_of_logout_that_is_none_is_e033(settings, name, value):
    log_out_with(settings, {name: value})
    assert name in only_message("E033").msg


@pytest.mark.parametrize("name", ["MAX_AGE", "LEEWAY"])
@pytest.mark.parametrize("value", [-1, True, None, "60", float("nan"), float("inf"), 86_401])
def test_seconds_of_logout_that_are_none_are_e034(settings, name, value):
    log_out_with(settings, {name: value})
    assert name in only_message("E034").msg


# Options of one provider


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("name", "value"), [("MAX_AGE", 0), ("LEEWAY", 1.5), ("MAX_AGE", 86_400)])
def test_logout_options_of_a_provider_are_good(settings, strict, name, value):
    provide(settings, STRICT_TYP=strict, **{name: value})
    assert messages() == []


@pytest.mark.parametrize(
    ("id", "name", "values"),
    [
        ("E036", "STRICT_TYP", [1, None, "yes"]),
        ("E038", "REFRESH_CLAIMS", [None, "", "ID_TOKEN", "none", True, 1, ["userinfo"]]),
        ("E037", "MAX_AGE", [-1, True, None, "60", float("nan"), float("inf"), 86_401]),
        ("E037", "LEEWAY", [-1, True, None, "60", float("nan"), float("inf"), 86_401]),
    ],
)
def test_wrong_logout_option_of_a_provider_names_the_issuer(settings, id, name, values):
    for value in values:
        provide(settings, **{name: value})
        message = only_message(id)
        assert message.msg.startswith(f"BFF_SESSIONS['PROVIDERS'][{IDP!r}][{name!r}] must be ")
        assert message.msg.endswith(f"; it is {value!r}.")
        with pytest.raises(ImproperlyConfigured, match=name):
            get_provider(IDP)


# The texts, and the reference of them


def test_message_names_setting_rule_and_value(settings):
    settings.BFF_SESSIONS = {"RENEW_AFTER": 3}
    message = only_message("E013")
    assert message.msg == (
        "BFF_SESSIONS['RENEW_AFTER'] must be a number between 0 and 1, or None; it is 3."
    )
    assert message.hint.startswith("Give ")


def test_no_check_says_is_no():
    for _, *texts in reference.check_rows():
        assert not re.search(r"\bis no ", " ".join(texts))


def test_reference_has_every_id_and_no_other():
    package = Path(bff_sessions.__file__).parent
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    ids = [row[0] for row in reference.check_rows()]
    assert ids == sorted(set(ids))
    assert set(ids) == set(re.findall(r'"([EW]\d{3})"', source))
    assert len(ids) > 60


def test_every_check_has_a_text_and_a_hint():
    for id, *texts, hint in reference.check_rows():
        assert texts, id
        # A value at the end stands for itself and the full stop.
        assert all(text.endswith((".", "…")) for text in [*texts, hint]), id


def test_second_fault_of_an_id_is_refused():
    assert Fault("E001", FAULTS["E001"].text, FAULTS["E001"].hint) == FAULTS["E001"]
    with pytest.raises(ValueError, match="E001"):
        Fault("E001", "Another fault.", "Do something else.")


def test_id_of_an_option_is_of_no_other_fault():
    used = {}
    for setting in reference.OPTIONS:
        for option in reference.OPTIONS[setting][0].table().values():
            used.setdefault(option.check, set()).add((setting, option.rule.must_be, option.hint))
    for setting in conf.SETTINGS.values():
        for id in filter(None, (setting.check, setting.import_check)):
            used.setdefault(id, set()).add(setting.name)
    for id in FAULTS:
        used.setdefault(id, set()).add(id)
    assert {id: faults for id, faults in used.items() if len(faults) > 1} == {}
