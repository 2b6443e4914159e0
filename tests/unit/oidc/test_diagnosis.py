"""What manage.py check_provider finds."""

import time
from email.utils import formatdate

import pytest

from bff_sessions.oidc.diagnosis import diagnose
from bff_sessions.oidc.transport.http import get, knock
from tests.support.provider import CLIENT_SECRET, KEYS, public_jwk

METADATA = "/.well-known/openid-configuration"
SUPPORT = {
    "end_session_endpoint": "{issuer}/end",
    "backchannel_logout_supported": True,
    "backchannel_logout_session_supported": True,
    "grant_types_supported": ["authorization_code", "refresh_token"],
}


@pytest.fixture
def whole(provider, configure):
    """The provider that supports everything, and accepts the client."""
    for name, value in SUPPORT.items():
        is_text = isinstance(value, str)
        provider.configuration[name] = value.format(issuer=provider.issuer) if is_text else value
    del provider.answers["/token"]
    configure(CLIENT_SECRET=CLIENT_SECRET)
    return provider


def found(configure, **options):
    provider = configure(**{"CLIENT_SECRET": CLIENT_SECRET} | options)
    return {f.subject: (f.verdict.value, f.text) for f in diagnose(provider)}


def verdicts(findings):
    return {subject: verdict for subject, (verdict, _) in findings.items() if verdict != "ok"}


def test_provider_that_supports_everything_has_no_finding(whole, configure):
    findings = found(configure)
    assert verdicts(findings) == {}
    assert list(findings) == [
        "metadata",
        "issuer",
        "clock",
        "keys",
        "authorization_endpoint",
        "token_endpoint",
        "revocation_endpoint",
        "end_session_endpoint",
        "client",
        "back-channel logout",
        "sid",
        "refresh grant",
    ]
    assert findings["keys"][1] == "5 signing keys, for RS256, PS256, ES256, ES384, EdDSA."
    assert whole.refreshed == []


def test_no_finding_shows_a_secret(whole, configure):
    whole.answers["/token"] = (401, {}, {"error": "invalid_client", "error_description": "s3cret"})
    texts = str(found(configure))
    assert "s3cret" not in texts
    assert CLIENT_SECRET not in texts
    assert whole.posts[-1][1].partition("refresh_token=")[2].split("&")[-1] not in texts


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((404, {}, ""), "The status of {url} is 404. Compare the issuer"),
        ((503, {}, ""), "The status of {url} is 503."),
        ((200, {}, "<html>Sign in</html>"), "The answer of {url} is not a JSON object."),
        ((200, {}, "[]"), "The answer of {url} is not a JSON object."),
        ((302, {"Location": "/"}, ""), "{url}: The provider answered with a redirect"),
    ],
)
def test_metadata_that_cannot_be_read_are_the_only_fault(whole, configure, answer, text):
    whole.answers[METADATA] = answer
    ((verdict, said),) = found(configure).values()
    assert verdict == "fault"
    assert text.format(url=whole.issuer + METADATA) in said


def test_host_that_does_not_answer_is_a_fault(whole, configure):
    whole.close()
    ((verdict, said),) = found(configure).values()
    assert verdict == "fault"
    assert "cannot be reached: ConnectionError (NewConnectionError)." in said


def test_port_without_tls_is_a_fault_that_names_tls(whole, configure):
    url = whole.issuer.replace("http:", "https:") + METADATA
    ((verdict, said),) = found(configure, DISCOVERY_URL=url).values()
    assert verdict == "fault"
    assert "SSLError" in said
    assert "does this host trust the certificate?" in said


def test_query_of_a_url_is_not_shown(whole, configure):
    url = f"{whole.issuer}{METADATA}?key=s3cret"
    whole.answers[f"{METADATA}?key=s3cret"] = (404, {}, "")
    assert "s3cret" not in str(found(configure, DISCOVERY_URL=url))


@pytest.mark.parametrize("end", ["/", "/realms/shop"])
def test_metadata_of_another_issuer_are_a_fault_that_names_both(whole, configure, end):
    whole.configuration["issuer"] += end
    verdict, said = found(configure)["issuer"]
    assert verdict == "fault"
    assert said == (
        f"BFF_SESSIONS['PROVIDERS'] has '{whole.issuer}', and the metadata names "
        f"'{whole.issuer}{end}'. Write the issuer that it names."
    )


@pytest.mark.parametrize(
    ("seconds", "verdict", "side"),
    [(0, "ok", ""), (30, "warning", "ahead of"), (-30, "warning", "behind"), (-300, "fault", "")],
)
def test_clock_is_compared_with_leeway(whole, configure, seconds, verdict, side):
    whole.answers[METADATA] = dated(whole, formatdate(time.time() + seconds, usegmt=True))
    found_verdict, said = found(configure)["clock"]
    assert found_verdict == verdict
    assert f"{side} this host's; LEEWAY is 60 s." in said if side else "LEEWAY" in said


def test_age_of_a_cached_answer_is_no_difference_of_clocks(whole, configure):
    date = formatdate(time.time() - 1000, usegmt=True)
    whole.answers[METADATA] = dated(whole, date, Age="1000")
    assert found(configure)["clock"][0] == "ok"


def test_answer_without_a_valid_date_leaves_the_clock_unknown(whole, configure):
    whole.answers[METADATA] = dated(whole, "yesterday")
    assert found(configure)["clock"][0] == "warning"


def dated(provider, date, **headers):
    provider.server.RequestHandlerClass.date_time_string = lambda *args: date
    return 200, headers, provider.configuration


def test_keys_that_fit_no_algorithm_are_a_fault(whole, configure):
    verdict, said = found(configure, ALGORITHMS=["ES512"])["keys"]
    assert (verdict, said) == ("fault", "5 signing keys, of which none fits ALGORITHMS: ES512.")


def test_published_private_key_is_a_fault(whole, configure):
    whole.keys.append(public_jwk(KEYS["ES256"], "ES256", kid="a", d="AQAB"))
    verdict, said = found(configure)["keys"]
    assert verdict == "fault"
    assert said == (
        "5 signing keys. The provider publishes the private part of one, with which anybody can "
        "sign. It must replace that key."
    )


def test_single_key_for_another_algorithm_than_the_provider_names_is_a_warning(whole, configure):
    whole.keys = [public_jwk(KEYS["ES256"], "ES256", kid="a", use="sig", alg="ES256")]
    whole.configuration["id_token_signing_alg_values_supported"] = ["RS256"]
    verdict, said = found(configure)["keys"]
    assert (verdict, said) == ("warning", "1 signing key, but the provider signs with 'RS256'.")


@pytest.mark.parametrize("answer", [(500, {}, ""), (200, {}, {"keys": []}), (200, {}, "<html>")])
def test_keys_that_cannot_be_read_are_a_fault(whole, configure, answer):
    whole.answers["/keys"] = answer
    verdict, said = found(configure)["keys"]
    assert verdict == "fault"
    assert said.endswith("Logout tokens cannot be verified.")


def test_missing_jwks_uri_is_a_fault(whole, configure):
    del whole.configuration["jwks_uri"]
    assert found(configure)["keys"][0] == "fault"


def test_endpoint_that_the_provider_lacks_is_a_warning(whole, configure):
    for name in ("revocation_endpoint", "end_session_endpoint"):
        del whole.configuration[name]
    findings = found(configure)
    assert findings["revocation_endpoint"] == (
        "warning",
        "None: refresh tokens of ended sessions stay valid until they expire.",
    )
    assert findings["end_session_endpoint"][0] == "warning"
    assert "client" in findings


def test_provider_without_a_token_endpoint_is_not_asked_as_a_client(whole, configure):
    findings = found(configure, TOKEN_ENDPOINT=None)
    assert findings["token_endpoint"][0] == "warning"
    assert "client" not in findings


def test_endpoint_that_is_down_or_not_secure_is_reported(whole, configure):
    whole.answers["/revocation"] = (502, {}, "")
    whole.configuration["end_session_endpoint"] = "http://idp.example/end"
    whole.configuration["token_endpoint"] = "http://127.0.0.1:1/token"
    findings = found(configure)
    assert findings["revocation_endpoint"] == (
        "warning",
        f"{whole.issuer}/revocation: The status is 502.",
    )
    assert findings["end_session_endpoint"][0] == "fault"
    assert "is not an https URL" in findings["end_session_endpoint"][1]
    assert findings["token_endpoint"][0] == "fault"
    assert findings["token_endpoint"][1].startswith("http://127.0.0.1:1/token: The provider cannot")


def test_endpoint_that_redirects_or_answers_at_length_is_good(whole, configure):
    whole.answers["/authorize"] = (302, {"Location": "/error"}, "")
    whole.answers["/end"] = (200, {}, "x" * 1_000_000)
    assert verdicts(found(configure)) == {}


@pytest.mark.parametrize(
    ("status", "error", "verdict", "text"),
    [
        (401, "invalid_client", "fault", "does not accept CLIENT_ID and CLIENT_SECRET"),
        (400, "invalid_client", "fault", "(invalid_client)"),
        (401, "access_denied", "fault", "(access_denied)"),
        (400, "unauthorized_client", "warning", "not allowed to refresh access tokens"),
        (400, "unsupported_grant_type", "warning", "not allowed to refresh access tokens"),
        (400, "invalid_grant", "ok", "accepts the client"),
        (400, "invalid_request", "ok", "accepts the client"),
        (400, "temporarily_unavailable", "warning", "answers with temporarily_unavailable"),
        (404, None, "warning", "Unknown, because the provider answers with status 404."),
    ],
)
def test_client_is_judged_by_the_refusal(whole, configure, status, error, verdict, text):
    whole.answers["/token"] = (status, {}, {"error": error})
    found_verdict, said = found(configure)["client"]
    assert found_verdict == verdict
    assert text in said


def test_token_endpoint_that_fails_leaves_the_client_unknown(whole, configure):
    def fail(form):
        if form:
            whole.answers["/token"] = (503, {}, "")

    whole.before["/token"] = fail
    verdict, said = found(configure)["client"]
    assert verdict == "warning"
    assert "status 503" in said


def test_metadata_that_promise_nothing_are_warnings(whole, configure):
    for name in SUPPORT:
        del whole.configuration[name]
    whole.configuration["frontchannel_logout_supported"] = True
    findings = found(configure)
    assert findings["back-channel logout"][0] == "warning"
    assert (
        "front-channel logout, which bff_sessions does not use"
        in (findings["back-channel logout"][1])
    )
    assert "sid" not in findings
    assert "refresh grant" not in findings


def test_logout_tokens_without_a_sid_and_no_refresh_grant_are_warnings(whole, configure):
    whole.configuration["backchannel_logout_session_supported"] = False
    whole.configuration["grant_types_supported"] = ["authorization_code"]
    assert verdicts(found(configure)) == {"sid": "warning", "refresh grant": "warning"}


def test_provider_without_metadata_is_checked_by_its_endpoints(whole, configure):
    issuer = whole.issuer
    options = {"JWKS_URI": f"{issuer}/keys", "TOKEN_ENDPOINT": f"{issuer}/token"}
    findings = found(configure, DISCOVERY_URL=None, **options)
    assert findings["metadata"] == ("ok", "Not fetched, because DISCOVERY_URL is None.")
    assert {findings[name][0] for name in ("keys", "token_endpoint", "client")} == {"ok"}
    assert "back-channel logout" not in findings


def test_metadata_that_are_missing_are_a_warning_if_endpoints_are_configured(whole, configure):
    whole.answers[METADATA] = (404, {}, "")
    findings = found(configure, JWKS_URI=f"{whole.issuer}/keys")
    assert findings["metadata"][0] == "warning"
    assert findings["keys"][0] == "ok"
    assert "back-channel logout" not in findings


def test_knock_reads_neither_answer_nor_redirect(whole):
    whole.answers["/end"] = (307, {"Location": f"{whole.issuer}/keys"}, "x")
    assert knock(f"{whole.issuer}/end") == 307
    assert whole.requests == ["/end"]


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("soon", None),
    ],
)
def test_time_of_an_answer_is_its_date(whole, date, moment):
    whole.answers["/keys"] = dated(whole, date)
    assert get(f"{whole.issuer}/keys").time == moment


def test_keys_of_the_transmitter_are_checked(whole, configure):
    findings = found(configure, SIGNALS={"AUDIENCE": ["a", "b"]})
    verdict, text = findings["signals"]
    assert verdict == "ok"
    assert text == (
        f"{whole.issuer}: 5 signing keys, for RS256, PS256, ES256, ES384, EdDSA. "
        "Expected are the aud 'a', 'b' and no Authorization header."
    )
    assert "signals" not in found(configure)


def test_header_of_the_transmitter_is_not_shown(whole, configure):
    findings = found(configure, SIGNALS={"AUTHORIZATION": "Bearer hidden"})
    assert findings["signals"][1].endswith(" the aud 'shop' and an Authorization header.")
    assert "hidden" not in str(findings)


def test_transmitter_without_keys_is_a_fault(whole, configure):
    whole.answers["/other"] = (500, {}, b"")
    findings = found(configure, SIGNALS={"JWKS_URI": f"{whole.issuer}/other"})
    verdict, text = findings["signals"]
    assert verdict == "fault"
    assert text.endswith("Security events cannot be verified.")


def test_transmitter_without_metadata_is_a_fault(whole, configure):
    findings = found(configure, SIGNALS={"ISSUER": f"{whole.issuer}/other"})
    verdict, text = findings["signals"]
    assert verdict == "fault"
    assert f"The metadata of {whole.issuer}/other cannot be used" in text
