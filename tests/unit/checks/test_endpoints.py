"""What the checks say of settings, URLs and cookies."""

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.test.utils import override_script_prefix
from django.urls import include, path, reverse_lazy

from bff_sessions.checks.endpoints import check_endpoints
from tests.support.checks import messages, only_message
from tests.support.places import PLACES

not_callable = "not callable"
urlpatterns = [path("bff/", include("bff_sessions.urls")), path("start", print, name="start")]


class Without:
    """URLs without ours."""

    urlpatterns = []


@pytest.fixture
def good(settings):
    """A deployment as it should be."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    settings.SESSION_COOKIE_NAME = "__Host-sessionid"
    settings.CSRF_COOKIE_NAME = "__Host-csrftoken"
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.BFF_SESSIONS = {"PROVIDERS": {"https://idp.example": {"CLIENT_ID": "shop"}}}
    return settings


def test_a_good_deployment_is_silent(good):
    assert messages(deploy=True) == []


@pytest.mark.parametrize(
    "names", ["user", None, 1, {"user": True}, ["users"], ["user", 1], [["user"]], [None]]
)
def test_endpoints_that_there_are_not_are_e050(settings, names):
    settings.BFF_SESSIONS = {"ENDPOINTS": names}
    message = only_message("E050")
    assert repr(names) in message.msg
    assert "user, sessions, login, logout" in message.hint


@pytest.mark.parametrize("names", [[], (), {"user"}, frozenset({"login"}), ["user", "logout"]])
def test_some_endpoints_are_good(settings, names):
    settings.BFF_SESSIONS = {"ENDPOINTS": names}
    assert messages() == []


@pytest.mark.parametrize("status", [204, "401", None, 403, True, []])
def test_another_status_for_nobody_is_e051(settings, status):
    settings.BFF_SESSIONS = {"ANONYMOUS_STATUS": status}
    assert repr(status) in only_message("E051").msg


@pytest.mark.parametrize("path", ["shop.claims", "", None, 1, len, "bff_sessions.claims.nope"])
def test_claims_that_cannot_be_imported_are_e052(settings, path):
    settings.BFF_SESSIONS = {"USER_CLAIMS": path}
    assert "USER_CLAIMS" in only_message("E052").msg


def test_claims_that_cannot_be_called_are_e052(settings):
    settings.BFF_SESSIONS = {"USER_CLAIMS": "tests.unit.checks.test_endpoints.not_callable"}
    assert "must be the dotted path of a callable" in only_message("E052").msg


@pytest.mark.parametrize("name", ["", " ", None, 1, ["next"]])
def test_a_parameter_without_a_name_is_e053(settings, name):
    settings.BFF_SESSIONS = {"LOGIN_NEXT_PARAMETER": name}
    assert repr(name) in only_message("E053").msg


@pytest.mark.parametrize("url", ["no-such-name", "", 1, ["start"]])
def test_a_login_url_that_leads_nowhere_is_e054(settings, url):
    settings.BFF_SESSIONS = {"LOGIN_URL": url}
    message = only_message("E054")
    assert repr(url) in message.msg
    assert "BFF_SESSIONS" in message.msg


def test_the_login_url_of_django_that_leads_nowhere_is_e054(settings):
    settings.LOGIN_URL = "no-such-name"
    assert only_message("E054").msg.startswith("LOGIN_URL")
    settings.BFF_SESSIONS = {"LOGIN_URL": "/start"}
    assert messages() == []


@pytest.mark.urls("tests.unit.checks.test_endpoints")
@pytest.mark.parametrize(
    "url", ["start", "/start?a=b", "https://shop.example/", reverse_lazy("start")]
)
def test_a_login_url_that_leads_somewhere_is_good(settings, url):
    settings.BFF_SESSIONS = {"LOGIN_URL": url}
    assert messages() == []


@pytest.mark.parametrize("url", ["bff_sessions:login", "/bff/login", "/bff/login?a=b"])
def test_a_login_url_that_goes_round_in_circles_is_e055(settings, url):
    settings.BFF_SESSIONS = {"LOGIN_URL": url}
    assert "BFF_SESSIONS" in only_message("E055").msg
    settings.BFF_SESSIONS = {}
    settings.LOGIN_URL = url
    assert only_message("E055").msg.startswith("LOGIN_URL")


@pytest.mark.parametrize("value", ["Strict", "strict"])
def test_session_cookie_that_does_not_come_back_from_a_provider_is_w055(good, value):
    good.SESSION_COOKIE_SAMESITE = value
    assert repr(value) in only_message("W055", deploy=True).msg
    good.BFF_SESSIONS = {}
    assert messages(deploy=True) == []


def test_providers_without_our_urls_are_w053(good):
    good.ROOT_URLCONF = Without
    only_message("W053")
    good.BFF_SESSIONS = {"LOGIN_URL": "no-such-name"}
    assert messages() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENDPOINTS", ["user"]),
        ("ANONYMOUS_STATUS", 200),
        ("USER_CLAIMS", "bff_sessions.claims.standard_claims"),
    ],
)
def test_setting_of_endpoints_without_our_urls_is_w054(settings, name, value):
    settings.BFF_SESSIONS = {name: value}
    assert messages() == []
    settings.ROOT_URLCONF = Without
    assert only_message("W054").msg.startswith(f"BFF_SESSIONS[{name!r}] has no effect")


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_included_urls_are_found_wherever_they_are(good, place):
    good.ROOT_URLCONF = place
    assert [message.id for message in run_checks() if message.id.startswith("bff_sessions.")] == []


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/api/bff", "api:bff_sessions:login"),
        ("/v1/api/bff", "v1:api:bff_sessions:login"),
        ("/v2/bff", "v2:bff_sessions:login"),
        ("/shop/bff", "shop:login"),
        ("/acme/bff", "/acme/bff/login"),
        ("/en-us/bff", "bff_sessions:login"),
        ("", "bff_sessions:login"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/site"])
def test_login_url_in_circles_is_found_wherever_the_urls_are(settings, place, name, prefix):
    settings.ROOT_URLCONF = PLACES[place]
    settings.BFF_SESSIONS = {"LOGIN_URL": prefix + name if name.startswith("/") else name}
    with override_script_prefix(prefix or "/"):
        only_message("E055")


def test_login_url_of_another_site_is_not_resolved_here(settings):
    settings.BFF_SESSIONS = {"LOGIN_URL": "https://sso.example/bff/login"}
    assert messages() == []


def test_urls_that_cannot_be_imported_are_left_to_django(good):
    good.ROOT_URLCONF = "no.such.module"
    assert list(check_endpoints()) == []


def test_a_session_cookie_that_a_sibling_can_set_is_w050(good):
    good.SESSION_COOKIE_NAME = "sessionid"
    message = only_message("W050", deploy=True)
    assert "'__Host-sessionid'" in message.hint
    assert messages() == []


def test_a_csrf_cookie_that_a_sibling_can_set_is_w051(good):
    good.CSRF_COOKIE_NAME = "__Secure-csrftoken"
    assert "CSRF_COOKIE_NAME" in only_message("W051", deploy=True).hint
    assert messages() == []
    good.CSRF_USE_SESSIONS = True
    assert messages(deploy=True) == []


@pytest.mark.parametrize("value", ["None", "none", None, False])
def test_a_session_cookie_for_every_site_is_w052(good, value):
    good.SESSION_COOKIE_SAMESITE = value
    only_message("W052", deploy=True)
    assert messages() == []
    good.SESSION_COOKIE_SAMESITE = "lax"
    assert messages(deploy=True) == []


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("SESSION_COOKIE_SECURE", False, "SESSION_COOKIE_SECURE = True"),
        ("SESSION_COOKIE_DOMAIN", "shop.example", "SESSION_COOKIE_DOMAIN = None"),
        ("SESSION_COOKIE_PATH", "/bff/", "SESSION_COOKIE_PATH = '/'"),
        ("CSRF_COOKIE_SECURE", False, "CSRF_COOKIE_SECURE = True"),
        ("CSRF_COOKIE_DOMAIN", "shop.example", "CSRF_COOKIE_DOMAIN = None"),
        ("CSRF_COOKIE_PATH", "/bff/", "CSRF_COOKIE_PATH = '/'"),
    ],
)
def test_a_cookie_that_browsers_refuse_is_e056(good, name, value, hint):
    setattr(good, name, value)
    message = only_message("E056")
    assert "__Host-" in message.msg
    assert message.hint == f"Set {hint}."


@pytest.mark.parametrize("name", ["__Secure-sessionid", "__HOST-sessionid"])
def test_the_prefixes_that_browsers_know_are_known(good, name):
    good.SESSION_COOKIE_NAME = name
    assert messages() == []
    good.SESSION_COOKIE_SECURE = False
    only_message("E056")


def test_an_empty_domain_is_none(good):
    good.SESSION_COOKIE_DOMAIN = ""
    assert messages(deploy=True) == []


@pytest.mark.parametrize("names", [["events"], ("user", "events"), {"events"}])
@pytest.mark.parametrize("is_cached", [False, True], ids=["alone", "cached"])
def test_store_that_reads_open_pages_one_by_one_is_w057(settings, names, is_cached):
    cached = "bff_sessions.stores.cached.CachedUserSessionStore"
    minimal = "tests.support.minimal.MinimalStore"
    settings.BFF_SESSIONS = {
        "STORE": cached if is_cached else minimal,
        "CACHED_STORE": minimal,
        "ENDPOINTS": names,
    }
    ids = [message.id[-4:] for message in messages()]
    assert "W057" in ids
    settings.BFF_SESSIONS = settings.BFF_SESSIONS | {"ENDPOINTS": ["user"]}
    assert "W057" not in [message.id[-4:] for message in messages()]


def test_stores_that_read_open_pages_at_once_are_silent(settings):
    for name in ("orm.OrmUserSessionStore", "memory.InMemoryUserSessionStore"):
        settings.BFF_SESSIONS = {"STORE": f"bff_sessions.stores.{name}"}
        assert "W057" not in [message.id[-4:] for message in messages()]


@pytest.mark.parametrize(
    ("name", "id", "values"),
    [
        ("EVENTS_EVERY", "E057", [0, 0.05, 61, "1", None, True]),
        ("EVENTS_NOTICES", "E059", ["yes", 1, None]),
        ("EVENTS_THREADS", "E058", [-1, 1.5, "8", None, True]),
    ],
)
def test_wrong_settings_of_events_are_reported(settings, name, id, values):
    for value in values:
        settings.BFF_SESSIONS = {name: value}
        assert repr(value) in only_message(id).msg


def test_notices_that_the_store_does_not_send_are_w058(settings):
    settings.BFF_SESSIONS = {"STORE": "tests.support.minimal.MinimalStore", "EVENTS_NOTICES": True}
    assert "W058" in [message.id[-4:] for message in messages()]
    settings.BFF_SESSIONS = {"EVENTS_NOTICES": True}
    ids = [message.id[-4:] for message in messages()]
    assert ("W058" in ids) is (connection.vendor != "postgresql")
