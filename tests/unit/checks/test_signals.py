"""System checks of shared signals."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from bff_sessions.oidc.providers import get_provider
from tests.support.checks import messages, only_message

IDP = "https://idp.example"
PLACE = f"BFF_SESSIONS['PROVIDERS'][{IDP!r}]['SIGNALS']"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"


def find_by_email(address):
    return None


not_callable = "not callable"


def provide(settings, signals, **options):
    options = {"CLIENT_ID": "shop", "SIGNALS": signals, **options}
    settings.BFF_SESSIONS = {"PROVIDERS": {IDP: options}}


@pytest.mark.parametrize(
    "signals",
    [
        None,
        {},
        {"ISSUER": "https://transmitter.example/realms/shop/"},
        {"AUDIENCE": "https://shop.example"},
        {"AUDIENCE": ["shop", "shop-2"]},
        {"JWKS_URI": "https://transmitter.example/keys?v=1"},
        {"ALGORITHMS": ["RS256"]},
        {"AUTHORIZATION": "Bearer secret"},
        {"AUTHORIZATION": ["Bearer new", "Bearer old"]},
        {"STRICT_TYP": False},
        {"MAX_AGE": 0, "LEEWAY": 1.5},
        {"MAX_AGE": 30 * 24 * 60 * 60},
        {"SUBJECT_ISSUERS": [IDP, f"{IDP}/"]},
        {"OPAQUE": "session"},
        {"EMAILS": f"{__name__}.find_by_email"},
        {"CRITICAL_MEMBERS": ["tenant"]},
        {"STATE": "a state"},
        {"ACTIONS": {}},
        {"ACTIONS": {"token-claims-change": "ignore", "risk-level-change": "end"}},
        {"ACTIONS": {f"{CAEP}session-revoked": "ignore", "https://vendor.example/e": "end"}},
        {"ACTIONS": {"urn:ietf:params:scim:event:prov:delete": "end"}},
        {"ACTIONS": {"https://vendor.example/events#left": "end"}},
        {"ACTIONS": {"tag:vendor.example,2026:left?a=%20": "ignore"}},
        {"AUTHORIZATION": "Basic c2hvcDpzZWNyZXQ="},
        {"STATE": [" ein Zustand ", "\u00fc"]},
        {"JWKS_URI": "http://127.0.0.1:8080/keys", "ISSUER": "http://localhost:8080"},
    ],
    ids=str,
)
def test_signals_are_good(settings, signals):
    provide(settings, signals)
    assert messages() == []
    assert get_provider(IDP).options.signals == signals


@pytest.mark.parametrize("signals", [True, [], "yes", 1])
def test_signals_that_are_not_a_dictionary_are_e120(settings, signals):
    provide(settings, signals)
    assert only_message("E120").msg == f"{PLACE} must be a dictionary, or None."


def test_unknown_option_is_e121(settings):
    provide(settings, {"AUDIENCES": "shop"})
    message = only_message("E121")
    assert message.msg == f"{PLACE} has no option 'AUDIENCES'."
    assert message.hint.startswith("Did you mean 'AUDIENCE'? ")


TEXTS = ["", " ", 1, True, [], ["a", ""], ["a", 1], {"a": 1}]
SECONDS = [-1, True, None, "60", float("nan"), float("inf"), 30 * 24 * 60 * 60 + 1]


@pytest.mark.parametrize(
    ("id", "name", "values"),
    [
        (
            "E122",
            "ISSUER",
            ["", "idp.example", 1, True, [IDP], f"{IDP}?a=1", f"{IDP}#a", "x" * 300],
        ),
        ("E123", "AUDIENCE", TEXTS),
        ("E123", "SUBJECT_ISSUERS", TEXTS),
        ("E123", "CRITICAL_MEMBERS", TEXTS),
        ("E124", "JWKS_URI", ["", "keys", 1, True, "https://a@idp.example/keys"]),
        ("E125", "ALGORITHMS", [[], ["HS256"], ["none"], "RS256", 1]),
        ("E127", "MAX_AGE", SECONDS),
        ("E127", "LEEWAY", SECONDS),
        ("E129", "ACTIONS", [{"nope": "end"}, {"opt-in": "log"}, {1: "end"}, [], "end"]),
        ("E129", "ACTIONS", [{f"urn:{tail}": "end"} for tail in ("", " a", "a b", "ü", "a\n")]),
        ("E129", "ACTIONS", [{name: "end"} for name in ("//vendor.example/e", "1:a", ":a", "")]),
        ("E130", "OPAQUE", [None, "", "user", 1, True]),
        ("E131", "STRICT_TYP", [None, 1, "yes"]),
    ],
)
def test_wrong_option_is_named(settings, id, name, values):
    for value in values:
        provide(settings, {name: value})
        message = only_message(id)
        assert message.msg.startswith(f"{PLACE}[{name!r}] must be ")
        assert message.msg.endswith(f"; it is {value!r:.120}.")
        with pytest.raises(ImproperlyConfigured, match=name):
            get_provider(IDP)


TEXT = "a text or a list of texts"
HEADER = f"{TEXT} of printable ASCII characters, without blanks at the ends"


@pytest.mark.parametrize(
    ("id", "name", "must_be"), [("E126", "AUTHORIZATION", HEADER), ("E133", "STATE", TEXT)]
)
@pytest.mark.parametrize("value", ["", [], ["hidden", ""], {"hidden": 1}, 12345])
def test_wrong_secret_is_not_shown(settings, id, name, must_be, value):
    provide(settings, {name: value})
    message = only_message(id)
    assert message.msg == f"{PLACE}[{name!r}] must be {must_be}, or None."
    assert "hidden" not in message.hint


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        "Bearer hidd\u00ebn",
        "Bearer hidden\n",
        " Bearer hidden",
        "Bearer hidden ",
        "Bearer\thidden",
        "Bearer hid\r\nden",
        "Bearer hidden\0",
        "Bearer hid\x7fden",
    ],
    ids=ascii,
)
def test_authorization_that_no_request_can_have_is_e126(settings, value, as_list):
    provide(settings, {"AUTHORIZATION": ["Bearer good", value] if as_list else value})
    message = only_message("E126")
    assert message.msg == f"{PLACE}['AUTHORIZATION'] must be {HEADER}, or None."
    assert "hid" not in message.msg + message.hint
    with pytest.raises(ImproperlyConfigured, match="AUTHORIZATION") as caught:
        get_provider(IDP)
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["shop.nope", "", 1, ["a.b"], f"{__name__}.not_callable", f"{__name__}.nope"]
)
def test_mapping_that_cannot_be_called_is_e128(settings, path):
    provide(settings, {"EMAILS": path})
    assert only_message("E128").msg.startswith(f"{PLACE}['EMAILS'] ")


@pytest.mark.parametrize("name", ["ISSUER", "JWKS_URI"])
def test_plain_http_is_e028(settings, name):
    provide(settings, {name: "http://transmitter.example/keys"})
    assert only_message("E028").msg.startswith(f"{PLACE}[{name!r}] must be an https URL; ")
    provide(settings, {name: "http://transmitter.example/keys"}, ALLOW_HTTP=True)
    assert messages() == []


def test_two_transmitters_of_one_issuer_are_e132(settings):
    first, second = "https://a.example", "https://b.example"
    shared = {"ISSUER": "https://transmitter.example"}
    providers = {
        first: {"CLIENT_ID": "shop", "SIGNALS": shared},
        second: {"CLIENT_ID": "shop", "SIGNALS": shared},
    }
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    assert "'https://transmitter.example'" in only_message("E132").msg
    providers[second]["SIGNALS"] = shared | {"AUDIENCE": ["shop", "till"]}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    assert only_message("E132").msg.endswith("and the audience 'shop'.")
    providers[second]["SIGNALS"] = {"ISSUER": first}
    providers[first]["SIGNALS"] = {}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    assert f"{first!r}" in only_message("E132").msg
    providers[second]["SIGNALS"] = {"ISSUER": first, "AUDIENCE": "till"}
    settings.BFF_SESSIONS = {"PROVIDERS": providers}
    assert messages() == []


@pytest.mark.parametrize("audience", [["shop", "till"], ("shop", "till"), {"shop", "till"}])
def test_each_of_several_audiences_is_compared(settings, audience):
    clients = [
        {"CLIENT_ID": "shop", "SIGNALS": {"AUDIENCE": audience}},
        {"CLIENT_ID": "till", "SIGNALS": {}},
    ]
    settings.BFF_SESSIONS = {"PROVIDERS": {IDP: clients}}
    assert only_message("E132").msg.endswith("and the audience 'till'.")


def test_transmitter_may_name_an_audience_twice(settings):
    provide(settings, {"AUDIENCE": ["shop", "shop"]})
    assert messages() == []


def test_each_client_may_have_a_transmitter(settings):
    clients = [{"CLIENT_ID": "shop", "SIGNALS": {}}, {"CLIENT_ID": "till", "SIGNALS": {}}]
    settings.BFF_SESSIONS = {"PROVIDERS": {IDP: clients}}
    assert messages() == []
    clients[1]["SIGNALS"] = {"AUDIENCE": "shop", "OPAQUE": "user"}
    ids = sorted(message.id for message in messages())
    assert ids == ["bff_sessions.E130", "bff_sessions.E132"]
