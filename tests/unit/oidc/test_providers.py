import base64
import json
import logging
import os
import subprocess
import sys
import threading
import traceback
from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from jwt import PyJWK
from jwt.algorithms import RSAAlgorithm
from urllib3 import HTTPResponse

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.providers import get_provider, get_providers
from bff_sessions.oidc.providers.keys import KeySetMissing
from bff_sessions.oidc.providers.sources import MAX_AGE, PAUSE_AFTER_FAILURE, TooEarly
from tests.support.provider import KEYS, encode, public_jwk

CONFIGURATION = "/.well-known/openid-configuration"
SECRET = "a secret: of+the client"


def find(keys, key_id, algorithm):
    """Return the first key that may have signed; None if there is none."""
    return next(keys.find(key_id, algorithm), None)


def test_importing_the_package_imports_nothing_optional():
    code = (
        "import sys, django; django.setup(); import bff_sessions.urls, bff_sessions.engine;"
        "print({'jwt', 'requests'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_a_provider_is_found_by_its_exact_issuer(provider):
    assert get_provider(provider.issuer).client_id == "shop"
    assert get_provider(provider.issuer + "/") is None
    assert [each.issuer for each in get_providers()] == [provider.issuer]


def test_a_change_of_settings_takes_effect(provider, settings):
    assert get_providers()
    settings.BFF_SESSIONS = {}
    assert get_providers() == []


def test_a_wrong_setting_is_told_when_it_is_used(settings):
    settings.BFF_SESSIONS = {"PROVIDERS": {"https://idp.example": {"CLIENT_ID": ""}}}
    with pytest.raises(ImproperlyConfigured, match="CLIENT_ID"):
        get_providers()


def test_the_secret_is_not_shown(configure):
    assert SECRET not in repr(configure(CLIENT_SECRET=SECRET))


# Endpoints


def test_endpoints_are_those_that_the_provider_tells(provider, configure):
    ask = configure().find_endpoint
    assert ask("token_endpoint") == f"{provider.issuer}/token"
    assert ask("revocation_endpoint") == f"{provider.issuer}/revocation"
    assert provider.requests == [CONFIGURATION]


def test_a_configured_endpoint_is_not_asked_for(provider, configure):
    configured = configure(TOKEN_ENDPOINT="https://idp.example/t")
    assert configured.find_endpoint("token_endpoint") == "https://idp.example/t"
    assert provider.requests == []


def test_the_configuration_is_asked_for_again_after_a_while(provider, configure, clock):
    configured = configure()
    configured.find_endpoint("token_endpoint")
    clock.advance(MAX_AGE - 1)
    configured.find_endpoint("token_endpoint")
    assert len(provider.requests) == 1
    clock.advance(1)
    provider.configuration["token_endpoint"] = f"{provider.issuer}/moved"
    assert configured.find_endpoint("token_endpoint") == f"{provider.issuer}/moved"
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, b"{}"),
        (404, {}, b"{}"),
        (200, {}, b"not json"),
        (200, {}, b"[]"),
        (200, {}, b"[" * 100_000),
        (200, {}, b"\xff"),
        (200, {}, b'{"issuer": "http://127.0.0.1"}'),
        (200, {"Content-Length": "nonsense"}, b"{}"),
        (200, {"Content-Encoding": "gzip"}, b"not gzip"),
        (302, {"Location": "/elsewhere"}, b""),
    ],
    ids=lambda answer: f"{answer[0]} {answer[2][:20]} {answer[1]}",
)
def test_a_configuration_that_is_none_makes_the_provider_unavailable(provider, configure, answer):
    provider.answers[CONFIGURATION] = answer
    with pytest.raises(ProviderUnavailable):
        configure().find_endpoint("token_endpoint")
    assert provider.requests == [CONFIGURATION]


def test_a_configuration_that_is_too_long_is_not_read(provider, configure):
    provider.configuration["padding"] = "a" * 300_000
    with pytest.raises(ProviderUnavailable, match="too long"):
        configure().find_endpoint("token_endpoint")


def test_an_answer_that_drips_is_not_waited_for(provider, configure, monkeypatch, clock):
    """Each piece comes in time, and all of them would take for ever."""
    read1 = HTTPResponse.read1

    def drip(self, *args, **kwargs):
        clock.advance(1)
        return read1(self, 1, **kwargs)

    monkeypatch.setattr(HTTPResponse, "read1", drip)
    with pytest.raises(ProviderUnavailable, match="too slowly"):
        configure().find_endpoint("token_endpoint")


def test_a_provider_elsewhere_does_not_have_us_call_services_of_this_machine(configure):
    configured = configure()
    elsewhere = replace(configured, issuer="https://idp.example")
    elsewhere.__dict__["discovery"] = configured.discovery
    for provider, is_good in ((configured, True), (elsewhere, False)):
        if is_good:
            assert provider.find_endpoint("token_endpoint").startswith("http://127.0.0.1")
        else:
            with pytest.raises(ProviderUnavailable, match="is not an https URL"):
                provider.find_endpoint("token_endpoint")


def test_a_provider_that_failed_is_left_in_peace_for_a_moment(provider, configure, clock):
    good = provider.configuration
    provider.configuration = good | {"issuer": "https://somebody.example"}
    configured = configure()
    for _ in range(5):
        with pytest.raises(ProviderUnavailable):
            configured.find_endpoint("token_endpoint")
    assert len(provider.requests) == 1
    provider.configuration = good
    clock.advance(PAUSE_AFTER_FAILURE)
    assert configured.find_endpoint("token_endpoint")


FAULTS = [
    ((404, {}, b"{}"), "status 404"),
    ((200, {}, b"[]"), "JSON object"),
    ((302, {"Location": "/elsewhere"}, b""), "a redirect"),
]


@pytest.mark.parametrize(("answer", "fault"), FAULTS)
def test_every_error_of_metadata_names_issuer_and_fault(provider, configure, answer, fault):
    provider.answers[CONFIGURATION] = answer
    configured = configure()
    told = []
    for ask in (lambda: configured.find_endpoint("token_endpoint"), configured.keys.get) * 2:
        with pytest.raises(ProviderUnavailable) as caught:
            ask()
        told.append(str(caught.value))
    assert len(set(told)) == 2
    for text in told:
        assert text.startswith(f"The metadata of {provider.issuer} cannot be used. The provider")
        assert text.count(fault) == 1
        assert text.count("not repeated yet") <= 1
    assert [("not repeated yet" in text) for text in told] == [False, True, True, True]


@pytest.mark.parametrize(("answer", "fault"), [*FAULTS, ((200, {}, b"{}"), "no usable key")])
def test_every_error_of_keys_names_issuer_and_fault(provider, configure, answer, fault):
    provider.answers["/keys"] = answer
    keys = configure().keys
    for _ in range(3):
        with pytest.raises(ProviderUnavailable, match=fault) as caught:
            find(keys, "RS256", "RS256")
        assert str(caught.value).startswith(f"The keys of {provider.issuer} cannot be used. The ")
    assert str(caught.value).endswith("The request failed recently and is not repeated yet.")


def test_unknown_key_of_a_recent_set_names_issuer(provider, configure):
    keys = configure().keys
    with pytest.raises(ProviderUnavailable) as caught:
        find(keys, "unknown\n\u202e" + "x" * 1000, "RS256")
    text = str(caught.value)
    assert text.startswith(f"The keys of {provider.issuer} do not include 'unknown\\n\\u202exxx")
    assert text.isprintable() and text.isascii() and len(text) < 300
    with pytest.raises(ProviderUnavailable, match=f"keys of {provider.issuer} were fetched too"):
        find(keys, "another", "RS256")


@pytest.mark.parametrize("endpoint", ["token_endpoint", "revocation_endpoint"])
def test_error_of_an_endpoint_names_issuer_endpoint_and_fault(provider, configure, endpoint):
    configured = configure(CLIENT_SECRET=SECRET)
    path = configured.find_endpoint(endpoint).removeprefix(provider.issuer)
    provider.answers[path] = (503, {"Retry-After": "7"}, b"")
    with pytest.raises(ProviderUnavailable) as caught:
        configured.post(endpoint, {"token": "hidden"})
    assert str(caught.value) == (
        f"The {endpoint} of {provider.issuer} cannot be used. "
        "The provider answered with status 503."
    )
    assert caught.value.retry_after == 7


def test_a_provider_that_does_not_answer_is_waited_for_no_longer_than_said(
    provider, configure, monkeypatch
):
    monkeypatch.setattr("bff_sessions.oidc.transport.http.TIMEOUT", 0.1)
    release = threading.Event()
    provider.answer = lambda *args: release.wait(20)
    try:
        with pytest.raises(ProviderUnavailable):
            configure().find_endpoint("token_endpoint")
    finally:
        release.set()


@pytest.mark.parametrize(
    "url", [1, False, [], "/token", "ftp://idp.example/t", "http://idp.example/t"]
)
def test_endpoint_that_cannot_be_trusted_makes_the_provider_unavailable(provider, configure, url):
    provider.configuration["token_endpoint"] = url
    with pytest.raises(ProviderUnavailable, match="token_endpoint"):
        configure().find_endpoint("token_endpoint")


@pytest.mark.parametrize("url", [None, ""])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_provider_may_have_no_endpoint(provider, configure, url, is_async):
    provider.configuration["end_session_endpoint"] = url
    del provider.configuration["userinfo_endpoint"]
    configured = configure()
    find = async_to_sync(configured.afind_endpoint) if is_async else configured.find_endpoint
    assert find("end_session_endpoint") is find("userinfo_endpoint") is None
    assert find("token_endpoint") == f"{provider.issuer}/token"


def test_none_says_that_the_provider_has_no_endpoint(provider, configure):
    configured = configure(REVOCATION_ENDPOINT=None)
    assert configured.find_endpoint("revocation_endpoint") is None
    assert provider.requests == []
    assert configured.find_endpoint("token_endpoint") == f"{provider.issuer}/token"


def test_nothing_is_posted_to_no_endpoint(provider, configure):
    with pytest.raises(ProviderUnavailable, match="has no token_endpoint"):
        configure(TOKEN_ENDPOINT=None).post("token_endpoint", {})
    assert provider.requests == []


# Metadata


@pytest.mark.parametrize("status", [404, 410])
def test_no_metadata_is_an_answer_where_an_endpoint_is_configured(
    provider, configure, clock, status
):
    good = provider.configuration
    provider.answers[CONFIGURATION] = (status, {}, b"")
    configured = configure(TOKEN_ENDPOINT="https://idp.example/t")
    for _ in range(3):
        assert configured.find_endpoint("revocation_endpoint") is None
        assert configured.find_endpoint("token_endpoint") == "https://idp.example/t"
    assert provider.requests == [CONFIGURATION]
    clock.advance(MAX_AGE)
    del provider.answers[CONFIGURATION]
    assert configured.find_endpoint("revocation_endpoint") == good["revocation_endpoint"]


@pytest.mark.parametrize("options", [{}, {"REVOCATION_ENDPOINT": None}], ids=str)
def test_no_metadata_is_a_fault_where_no_endpoint_is_configured(
    provider, configure, clock, options
):
    provider.answers[CONFIGURATION] = (404, {}, b"")
    configured = configure(**options)
    with pytest.raises(ProviderUnavailable):
        configured.find_endpoint("token_endpoint")
    del provider.answers[CONFIGURATION]
    clock.advance(PAUSE_AFTER_FAILURE)
    assert configured.find_endpoint("token_endpoint")


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_other_statuses_are_a_fault_where_an_endpoint_is_configured(provider, configure, status):
    provider.answers[CONFIGURATION] = (status, {}, b"")
    with pytest.raises(ProviderUnavailable):
        configure(JWKS_URI="https://idp.example/k").find_endpoint("revocation_endpoint")


def test_metadata_that_was_there_does_not_become_none(provider, configure, clock):
    configured = configure(JWKS_URI="https://idp.example/k")
    assert configured.find_endpoint("revocation_endpoint")
    clock.advance(MAX_AGE)
    provider.answers[CONFIGURATION] = (404, {}, b"")
    with pytest.raises(ProviderUnavailable):
        configured.find_endpoint("revocation_endpoint")


def test_metadata_may_be_elsewhere(provider, configure):
    body = json.dumps(provider.configuration).encode()
    provider.answers["/elsewhere?p=b2c"] = (200, {}, body)
    configured = configure(DISCOVERY_URL=f"{provider.issuer}/elsewhere?p=b2c")
    assert configured.find_endpoint("token_endpoint") == f"{provider.issuer}/token"
    assert provider.requests == ["/elsewhere?p=b2c"]


def test_metadata_from_elsewhere_must_name_the_issuer(provider, configure):
    body = json.dumps(provider.configuration | {"issuer": "https://idp.example"}).encode()
    provider.answers["/elsewhere"] = (200, {}, body)
    with pytest.raises(ProviderUnavailable, match="another issuer"):
        configure(DISCOVERY_URL=f"{provider.issuer}/elsewhere").find_endpoint("token_endpoint")


def test_provider_without_metadata_is_never_asked(provider, configure):
    url = f"{provider.issuer}/token"
    configured = configure(DISCOVERY_URL=None, TOKEN_ENDPOINT=url, CLIENT_SECRET="s")
    assert configured.find_endpoint("jwks_uri") is None
    configured.post("token_endpoint", {})
    assert provider.requests == ["/token"]


def test_plain_http_is_taken_where_it_is_allowed(provider, configure):
    provider.configuration["token_endpoint"] = "http://idp.example/t"
    configured = configure(ALLOW_HTTP=True)
    assert configured.find_endpoint("token_endpoint") == "http://idp.example/t"


def test_a_slash_at_the_end_of_the_issuer_is_left_out_of_the_address(provider, settings):
    issuer = provider.configuration["issuer"] = provider.issuer + "/"
    settings.BFF_SESSIONS = {"PROVIDERS": {issuer: {"CLIENT_ID": "shop"}}}
    assert get_provider(issuer).find_endpoint("token_endpoint")
    assert provider.requests == [CONFIGURATION]


# Posts


def basic(pair):
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_post_says_who_we_are_with_basic(provider, configure, is_async):
    configured = configure(CLIENT_ID="shop:1", CLIENT_SECRET=SECRET)
    post = async_to_sync(configured.apost) if is_async else configured.post
    answer = post("token_endpoint", {"refresh_token": "r 1"})
    assert (answer.ok, answer.status_code, answer.json()) == (True, 200, {"access_token": "new"})
    # RFC 6749, 2.3.1: encoded before they are put together.
    assert provider.posts == [(basic("shop%3A1:a+secret%3A+of%2Bthe+client"), "refresh_token=r+1")]


def test_a_post_to_a_configured_endpoint_does_not_ask_for_the_configuration(provider, configure):
    url = f"{provider.issuer}/token"
    configure(CLIENT_SECRET="s", TOKEN_ENDPOINT=url).post("token_endpoint", {})
    assert provider.requests == ["/token"]
    assert provider.posts == [(basic("shop:s"), "")]


@pytest.mark.parametrize("is_told", [False, True])
def test_a_post_says_who_we_are_in_the_form_where_the_provider_wants_that(
    provider, configure, is_told
):
    more = {"TOKEN_ENDPOINT_AUTH_METHOD": "client_secret_post"} if is_told else {}
    if not is_told:
        methods = ["client_secret_post", "private_key_jwt"]
        provider.configuration["token_endpoint_auth_methods_supported"] = methods
    configure(CLIENT_SECRET="s", **more).post("token_endpoint", {"a": "b"})
    assert provider.posts == [(None, "a=b&client_id=shop&client_secret=s")]


def test_what_is_told_comes_before_what_the_provider_wants(provider, configure):
    provider.configuration["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    more = {"TOKEN_ENDPOINT_AUTH_METHOD": "client_secret_basic"}
    configure(CLIENT_SECRET="s", **more).post("token_endpoint", {})
    assert provider.posts == [(basic("shop:s"), "")]


def test_a_public_client_says_its_id_and_finds_no_credentials_elsewhere(
    provider, configure, monkeypatch, tmp_path
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    configure().post("token_endpoint", {"a": "b"})
    assert provider.posts == [(None, "a=b&client_id=shop")]


def test_a_refusal_is_an_answer(provider, configure):
    provider.answers["/token"] = (400, {}, b'{"error": "invalid_grant"}')
    answer = configure().post("token_endpoint", {})
    assert (answer.ok, answer.status_code) == (False, 400)
    assert answer.json() == {"error": "invalid_grant"}
    assert "invalid_grant" not in repr(answer)


@pytest.mark.parametrize(
    "answer",
    [(status, {}, b"") for status in (408, 425, 429, 500, 503)] + [(307, {"Location": "/x"}, b"")],
)
def test_who_cannot_answer_now_is_unavailable(provider, configure, answer):
    provider.answers["/token"] = answer
    with pytest.raises(ProviderUnavailable):
        configure().post("token_endpoint", {})
    assert provider.requests == [CONFIGURATION, "/token"]


def test_an_error_tells_nothing_of_what_was_posted(configure, caplog):
    caplog.set_level(logging.DEBUG)
    url = "http://127.0.0.1:1/token?key=hidden"
    configured = configure(CLIENT_SECRET=SECRET, TOKEN_ENDPOINT=url)
    with pytest.raises(ProviderUnavailable) as caught:
        configured.post("token_endpoint", {"refresh_token": "hidden"})
    text = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "ConnectionError" in text
    assert SECRET not in text
    assert "token=hidden" not in text


# Keys


def test_keys_are_kept(provider, configure, clock):
    keys = configure().keys
    for _ in range(3):
        assert find(keys, "ES256", "ES256").key_id == "ES256"
    clock.advance(MAX_AGE - 1)
    assert find(keys, "ES256", "ES256")
    assert provider.requests == [CONFIGURATION, "/keys"]
    clock.advance(1)
    assert find(keys, "ES256", "ES256")
    assert provider.requests == [CONFIGURATION, "/keys"] * 2


def test_a_new_key_is_found_at_once_also_right_after_the_first_fetch(provider, configure, clock):
    keys = configure().keys
    assert find(keys, "RS256", "RS256")
    provider.keys.append(public_jwk(KEYS["RS256"], "RS256", kid="new", alg="RS256"))
    assert find(keys, "new", "RS256").key_id == "new"


def test_unknown_key_ids_do_not_make_us_ask_for_more_than_one_fetch_in_a_while(
    provider, configure, clock
):
    keys = configure().keys
    for count in (2, 3):
        for number in range(200):
            # It may be a new one, for which it is too early to look.
            with pytest.raises(TooEarly) as caught:
                find(keys, f"unknown-{number}", "RS256")
            assert caught.value.retry_after == 30
        assert provider.requests.count("/keys") == count
        clock.advance(31)


def test_a_new_key_is_found_when_it_is_time_to_look(provider, configure, clock):
    keys = configure().keys
    with pytest.raises(TooEarly):
        find(keys, "new", "RS256")
    provider.keys.append(public_jwk(KEYS["RS256"], "RS256", kid="new", alg="RS256"))
    clock.advance(29)
    with pytest.raises(TooEarly):
        find(keys, "new", "RS256")
    clock.advance(1)
    assert find(keys, "new", "RS256").key_id == "new"


def test_unknown_key_ids_do_not_make_us_hammer_a_provider_that_is_down(provider, configure, clock):
    keys = configure().keys
    assert find(keys, "RS256", "RS256")
    provider.answers["/keys"] = (500, {}, b"")
    for number in range(20):
        with pytest.raises(ProviderUnavailable):
            find(keys, f"unknown-{number}", "RS256")
    assert provider.requests.count("/keys") == 2
    assert find(keys, "RS256", "RS256")


def test_many_threads_ask_once(provider, configure):
    keys = configure().keys
    threads = [threading.Thread(target=find, args=[keys, "RS256", "RS256"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.requests.count("/keys") == 1


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"keys": []}', b'{"keys": null}', b'{"keys": [1]}', b'{"keys": [{"kty": "oct"}]}'],
)
def test_a_key_set_without_keys_makes_the_provider_unavailable(provider, configure, body):
    provider.answers["/keys"] = (200, {}, body)
    with pytest.raises(ProviderUnavailable):
        find(configure().keys, "RS256", "RS256")


def test_a_key_without_algorithm_is_for_all_of_its_kind(provider, configure):
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", kid="any")]
    keys = configure().keys
    assert find(keys, "any", "RS256") and find(keys, "any", "PS512")
    assert find(keys, "any", "ES256") is None


def test_keys_of_one_id_are_told_apart_by_algorithm(provider, configure):
    provider.keys = [
        public_jwk(KEYS[name], name, kid="same", alg=name) for name in ("RS256", "ES256")
    ]
    assert find(configure().keys, "same", "ES256").key_type == "EC"


@pytest.mark.parametrize(
    "members", [{}, {"kid": "only"}, {"alg": "RS256"}, {"use": "sig"}, {"key_ops": ["verify"]}]
)
def test_without_id_the_only_key_is_taken(provider, configure, members):
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", **members)]
    keys = configure().keys
    assert find(keys, None, "RS256")
    assert find(keys, None, "ES256") is None
    # A key without alg is for all algorithms of its kind, and is one key all the same.
    assert len(keys.get().find(None, "PS512")) == ("alg" not in members)


@pytest.mark.parametrize(
    "second",
    [
        public_jwk(KEYS["ES256"], "ES256", kid="second", alg="ES256"),
        public_jwk(KEYS["ES256"], "ES256"),
        public_jwk(KEYS["PS256"], "PS256", alg="PS256"),
        public_jwk(KEYS["PS256"], "RS256", kid="RS256", alg="RS256"),
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "unknown"},
    ],
    ids=["other kind", "no kid", "other algorithm", "same kid", "unknown"],
)
def test_without_id_none_of_several_keys_is_taken(provider, configure, second):
    """OpenID Connect Core 1.0, 10.1: with several keys, there must be an ID."""
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", kid="RS256", alg="RS256"), second]
    assert find(configure().keys, None, "RS256") is None


@pytest.mark.parametrize(
    "members",
    [{"use": "enc"}, {"use": "enc", "alg": "RSA-OAEP"}, {"key_ops": ["encrypt", "wrapKey"]}],
    ids=str,
)
def test_key_that_cannot_sign_does_not_count(provider, configure, members):
    only = public_jwk(KEYS["RS256"], "RS256", kid="RS256", alg="RS256")
    provider.keys = [public_jwk(KEYS["PS256"], "RS256", kid="secrets", **members), only, "garbage"]
    assert find(configure().keys, None, "RS256").key_id == "RS256"
    assert find(configure().keys, "secrets", "RS256") is None


@pytest.mark.parametrize(
    "members",
    [{}, {"kid": "RS256"}, {"alg": "RS256"}, {"kid": "RS256", "alg": "RS256"}, {"use": "sig"}],
    ids=str,
)
def test_key_that_is_listed_twice_is_one_key(provider, configure, members):
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", **members) for _ in range(2)]
    assert len(list(configure().keys.get().find(None, "RS256"))) == 1
    assert find(configure().keys, None, "RS256").key == KEYS["RS256"].public_key()


def test_key_with_two_ids_is_one_key(provider, configure):
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", kid=kid) for kid in ("old", "new")]
    keys = configure().keys
    assert find(keys, "old", "RS256").key_id == "old"
    assert find(keys, "new", "RS256").key_id == "new"
    assert find(keys, None, "RS256").key == KEYS["RS256"].public_key()


def test_different_keys_of_one_id_are_all_tried(provider, configure):
    given = [KEYS["RS256"], KEYS["PS256"]]
    provider.keys = [public_jwk(key, "RS256", kid="same", alg="RS256") for key in given]
    found = configure().keys.get().find("same", "RS256")
    assert [each.key for each in found] == [key.public_key() for key in given]


def test_few_keys_of_one_id_are_tried(provider, configure):
    one = public_jwk(KEYS["EdDSA"], "EdDSA", kid="same", alg="EdDSA")
    provider.keys = [one | {"x": encode(bytes([number]) * 32)} for number in range(100)]
    assert len(configure().keys.get().find("same", "EdDSA")) == 8


# Keys that cannot be used


def number(bits):
    return encode(b"\xc1" * (bits // 8))


RSA, EC = public_jwk(KEYS["PS256"], "RS256"), public_jwk(KEYS["ES256"], "ES256")
ODD = {
    **{f"alg is {alg!r}": RSA | {"alg": alg} for alg in ("none", "", "HS256", "XS256", 1, True)},
    **{f"alg is {alg!r}": RSA | {"alg": alg} for alg in (["RS256"], {"RS256": 1}, [], [["a"]])},
    **{f"alg of EC is {alg!r}": EC | {"alg": alg} for alg in ("none", "RS256", ["ES256"], {})},
    **{
        f"{name} is {value!r:.20}": key | {name: value}
        for key, names in ((RSA, ("n", "e")), (EC, ("crv", "x", "y")))
        for name in names
        for value in ("", "!", "AA", "AQ", "ü", 1, None, True, ["AQAB"], {"a": []})
    },
    **{f"kty is {kty!r}": RSA | {"kty": kty} for kty in ("", "EC", "oct", "rsa", 1, ["RSA"], {})},
    "no kty": {"n": RSA["n"], "e": RSA["e"]},
    "nothing": {},
    "n is too long": RSA | {"n": number(32768)},
    "n is as long as the document": RSA | {"n": "A" * 200_000},
    "e is too long": RSA | {"e": number(512)},
    "d": RSA | {"d": number(2048)},
    "d is a number": RSA | {"d": 1},
    "d of EC": EC | {"d": number(256)},
    "private": json.loads(RSAAlgorithm.to_jwk(KEYS["PS256"])) | {"key_ops": ["verify"]},
    "secret": {"kty": "oct", "k": encode(b"s" * 64), "alg": "HS256"},
    "unknown curve": EC | {"crv": "P-192"},
    "not on the curve": EC | {"y": EC["x"]},
    "Ed25519 is too short": {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    "of the future": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "unknown"},
    "use is a list": RSA | {"use": ["sig"]},
    "key_ops is an object": RSA | {"key_ops": {"verify": 1}},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_key_that_cannot_be_used_disables_no_other(provider, configure, odd):
    """RFC 7517, 5: ignore such a key."""
    provider.keys = [odd | {"kid": "odd"}, *provider.keys]
    keys = configure().keys
    assert find(keys, "RS256", "RS256").key == KEYS["RS256"].public_key()
    assert keys.get().find("odd", "RS256") == []
    # Its ID is not unknown, so a token that names it is refused.
    assert find(keys, "odd", "RS256") is None


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_only_public_members_are_computed_with(provider, configure, odd, monkeypatch):
    used = []

    def build(jwk):
        used.append(jwk)
        return PyJWK(jwk)

    monkeypatch.setattr("bff_sessions.oidc.providers.keys.PyJWK", build)
    provider.keys = [odd | {"x5c": ["a"], "p": "AQAB", "k": "AQAB"}, provider.keys[0]]
    configure().keys.get()
    assert used[-1] == {name: provider.keys[1][name] for name in ("kty", "n", "e", "kid", "alg")}
    for jwk in used:
        assert jwk.keys() <= {"kty", "crv", "n", "e", "x", "y", "kid", "alg"}
        assert len(jwk.get("n", "")) < 3_000 and len(jwk.get("e", "")) < 50


@pytest.mark.parametrize("bits", [2048, 4096, 8192, 16384])
def test_key_of_any_size_that_openssl_accepts_is_used(provider, configure, bits):
    provider.keys = [RSA | {"n": number(bits), "kid": "long"}]
    assert find(configure().keys, "long", "RS256").key.key_size == bits


@pytest.mark.parametrize("name", ["private", "secret", "of the future", "n is too long"])
def test_key_set_of_unusable_keys_makes_the_provider_unavailable(provider, configure, name):
    provider.keys = [ODD[name]]
    with pytest.raises(ProviderUnavailable, match="The key set has no usable key") as caught:
        configure().keys.get()
    assert str(caught.value).endswith(" It has a private one.") == (name == "private")


# Keys without ID


def test_key_without_id_is_not_that_of_an_id(provider, configure):
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", alg="RS256")]
    keys = configure().keys
    with pytest.raises(TooEarly):
        find(keys, "RS256", "RS256")
    assert find(keys, None, "RS256")


def test_new_key_is_found_where_no_key_had_an_id(provider, configure):
    provider.keys = [public_jwk(KEYS["RS256"], "RS256", alg="RS256")]
    keys = configure().keys
    assert find(keys, None, "RS256")
    provider.keys.append(public_jwk(KEYS["ES256"], "ES256", kid="new", alg="ES256"))
    assert find(keys, "new", "ES256")


@pytest.mark.parametrize("options", [{"JWKS_URI": None}, {"DISCOVERY_URL": None}], ids=str)
def test_missing_key_set_is_named(provider, configure, options):
    keys = configure(**options).keys
    for key_id in ("RS256", None, "RS256"):
        with pytest.raises(KeySetMissing, match=f"{provider.issuer} has no jwks_uri"):
            find(keys, key_id, "RS256")
    keys.prefetch()
    wait_for_prefetch(keys)
    assert provider.requests == []


def test_keys_are_read_ahead_after_a_thread_could_not_start(provider, configure, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    keys = configure().keys
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):  # Which a sign-in logs, see sign_in.
            keys.prefetch()
    keys.prefetch()
    wait_for_prefetch(keys)
    assert provider.requests == [CONFIGURATION, "/keys"]


def test_keys_can_be_had_in_advance(provider, configure):
    keys = configure().keys
    keys.prefetch()
    wait_for_prefetch(keys)
    assert provider.requests == [CONFIGURATION, "/keys"]
    keys.prefetch()
    wait_for_prefetch(keys)
    assert find(keys, "RS256", "RS256")
    assert len(provider.requests) == 2


def test_keys_that_cannot_be_had_in_advance_are_no_trouble(provider, configure, caplog):
    caplog.set_level(logging.INFO, "bff_sessions.logout")
    provider.answers["/keys"] = (500, {}, b"")
    keys = configure().keys
    keys.prefetch()
    wait_for_prefetch(keys)
    assert [record.levelname for record in caplog.records if "logout" in record.name] == ["INFO"]


def test_fault_in_the_thread_of_the_keys_is_logged(provider, configure, monkeypatch, caplog):
    keys = configure().keys
    monkeypatch.setattr(keys._source, "get", lambda: 1 / 0)
    keys.prefetch()
    wait_for_prefetch(keys)
    assert "ZeroDivisionError" in caplog.text


def wait_for_prefetch(keys):
    with keys._prefetch:
        pass
