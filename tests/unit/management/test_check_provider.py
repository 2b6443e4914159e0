"""manage.py check_provider."""

import io
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.management import CommandError, call_command

from bff_sessions.management.commands import check_provider as command
from tests.support.places import PLACES
from tests.support.provider import CLIENT_SECRET, Provider

IDP = "https://idp.example"


@pytest.fixture
def provider(settings):
    with Provider() as local:
        settings.BFF_SESSIONS = local.settings
        yield local


def check_provider(*arguments, **options):
    out = io.StringIO()
    call_command("check_provider", *arguments, stdout=out, no_color=True, **options)
    return out.getvalue()


def test_table_has_a_verdict_for_each_check_and_the_urls_to_register(provider):
    text = check_provider("--base-url", "https://shop.example/")
    lines = text.splitlines()
    assert lines[0] == f"{provider.issuer} as shop"
    assert "  ok       issuer                  The metadata names the same issuer." in lines
    assert any(line.startswith("  warning  end_session_endpoint    None: ") for line in lines)
    assert lines[-4:] == [
        "Register at the provider:",
        "  backchannel_logout_uri    https://shop.example/bff/backchannel-logout",
        "  post_logout_redirect_uri  https://shop.example/bff/logout/callback",
        "  redirect_uri              the callback URL of your login library",
    ]
    assert CLIENT_SECRET not in text


def test_fault_fails_the_command_after_the_whole_table(provider):
    provider.answers["/keys"] = (500, {}, "")
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("check_provider", stdout=out, no_color=True)
    assert str(caught.value) == f"Faults were found in: {provider.issuer}."
    assert caught.value.returncode == 1
    assert "  fault    keys" in out.getvalue()
    assert "Register at the provider:" in out.getvalue()


def test_json_has_checks_and_urls(provider):
    document = json.loads(check_provider("--json", "--base-url", "https://shop.example"))
    (report,) = document["providers"]
    assert report["issuer"] == provider.issuer
    assert {"check": "metadata", "verdict": "ok"}.items() <= report["checks"][0].items()
    assert [each["name"] for each in document["register"]] == [
        "backchannel_logout_uri",
        "post_logout_redirect_uri",
    ]


def test_url_of_the_public_keys_is_shown_if_there_are_some(provider, settings):
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    # The provider of the tests knows the client's secret only.
    provider.answers["/token"] = (400, {}, {"error": "invalid_grant"})
    options = provider.options | {"CLIENT_KEYS": [pem]}
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: options}}
    document = json.loads(check_provider("--json", "--base-url", "https://shop.example"))
    register = {each["name"]: each["url"] for each in document["register"]}
    assert register["jwks_uri"] == "https://shop.example/bff/jwks"


def test_url_of_security_events_is_shown_if_they_are_received(provider, settings):
    options = provider.options | {"SIGNALS": {}}
    settings.BFF_SESSIONS = {"PROVIDERS": {provider.issuer: options}}
    text = check_provider("--base-url", "https://shop.example")
    assert "  endpoint_url              https://shop.example/bff/signals\n" in text
    assert (
        f"  ok       signals                 {provider.issuer}: 5 signing keys, for RS256" in text
    )


def test_all_providers_are_checked_unless_one_is_named(provider, settings):
    with Provider() as other:
        settings.BFF_SESSIONS = {"PROVIDERS": {p.issuer: p.options for p in (provider, other)}}
        documents = [check_provider("--json"), check_provider(other.issuer, "--json")]
    issuers = [[r["issuer"] for r in json.loads(each)["providers"]] for each in documents]
    assert issuers == [[provider.issuer, other.issuer], [other.issuer]]


def test_issuer_that_is_not_configured_is_answered_with_the_nearest(provider):
    with pytest.raises(CommandError) as caught:
        check_provider(f"{provider.issuer}/")
    assert str(caught.value) == (
        f"BFF_SESSIONS['PROVIDERS'] has no '{provider.issuer}/'. The nearest configured issuer is "
        f"'{provider.issuer}': only the final slash differs."
    )


@pytest.mark.parametrize(
    ("providers", "text"),
    [({}, "has no provider"), ({IDP: {"CLIENT_ID": ""}}, "CLIENT_ID"), (7, "PROVIDERS")],
)
def test_settings_that_are_wrong_are_named(settings, providers, text):
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    with pytest.raises(CommandError, match=text):
        check_provider()


def test_command_without_the_extra_names_it(monkeypatch):
    monkeypatch.setattr("bff_sessions.management.extras.find_spec", lambda name: None)
    with pytest.raises(CommandError, match=r"pip install 'django-bff-sessions\[oidc\]'"):
        check_provider()


@pytest.mark.parametrize("url", ["shop.example", "ftp://shop.example", "https://shop.example?a"])
def test_base_url_must_be_a_url(provider, url):
    with pytest.raises(CommandError, match=r"must be a URL such as https://shop\.example"):
        check_provider("--base-url", url)


# The URLs to register


def registered(base="https://shop.example"):
    return list(command._urls_to_register(base, False))


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/bff", "/bff/"),
        ("/v1/api/bff", "/v1/api/bff/"),
        ("/en-us/bff", "/en-us/bff/"),
        ("", "/"),
    ],
)
def test_urls_to_register_are_found_wherever_they_are_included(settings, place, path):
    settings.ROOT_URLCONF = PLACES[place]
    assert registered() == [
        ("backchannel_logout_uri", f"https://shop.example{path}backchannel-logout"),
        ("post_logout_redirect_uri", f"https://shop.example{path}logout/callback"),
    ]


def test_each_include_has_urls_to_register(settings):
    settings.ROOT_URLCONF = PLACES["/first/bff"]
    paths = [url.removeprefix("https://shop.example") for _, url in registered()]
    assert paths[:2] == ["/first/bff/backchannel-logout", "/second/bff/backchannel-logout"]


def test_path_that_captures_arguments_is_left_to_the_reader(settings):
    settings.ROOT_URLCONF = PLACES["/acme/bff"]
    assert {url.partition(" with the arguments")[2] for _, url in registered()} == {
        " that the path captures"
    }


def test_urls_that_are_not_included_are_asked_for(provider, settings):
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": []})
    assert 'add path("bff/", include("bff_sessions.urls"))' in check_provider()


@pytest.mark.parametrize(
    ("hosts", "debug", "base"),
    [
        (["shop.example"], False, "https://shop.example"),
        (["localhost", "127.0.0.1", ".shop.example"], False, "https://shop.example"),
        (["*"], True, "http://localhost:8000"),
        ([], True, "http://localhost:8000"),
        (["*"], False, "https://YOUR-SITE"),
    ],
)
def test_base_url_is_guessed_from_allowed_hosts(settings, hosts, debug, base):
    settings.ALLOWED_HOSTS, settings.DEBUG = hosts, debug
    assert command._guess_base_url() == base


@pytest.mark.parametrize(
    ("base", "text"),
    [
        ("https://YOUR-SITE", "Give the address of this site with --base-url."),
        ("http://localhost:8000", "Can the provider reach http://localhost:8000?"),
    ],
)
def test_guess_that_no_provider_can_use_is_said(provider, monkeypatch, base, text):
    monkeypatch.setattr(command, "_guess_base_url", lambda: base)
    assert text in check_provider()


@pytest.mark.parametrize(
    ("domain", "base"),
    [("shop.example", "https://shop.example"), ("example.com", "https://other.example")],
)
def test_base_url_is_guessed_from_the_current_site(settings, monkeypatch, domain, base):
    settings.ALLOWED_HOSTS = ["other.example"]
    monkeypatch.setattr("django.apps.apps.is_installed", lambda name: True)
    site = type("Site", (), {"objects": type("M", (), {"get_current": lambda: _Site(domain)})})
    monkeypatch.setattr(command, "import_string", lambda path: site)
    assert command._guess_base_url() == base


def test_site_that_cannot_be_read_is_not_used(settings, monkeypatch):
    settings.ALLOWED_HOSTS = ["other.example"]
    monkeypatch.setattr("django.apps.apps.is_installed", lambda name: True)
    monkeypatch.setattr(command, "import_string", lambda path: 1 / 0)
    assert command._guess_base_url() == "https://other.example"


class _Site:
    def __init__(self, domain):
        self.domain = domain
