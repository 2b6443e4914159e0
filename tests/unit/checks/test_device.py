"""What the checks say of BFF_SESSIONS["DEVICE"]."""

import pytest

from bff_sessions.middleware import SessionMiddleware
from tests.settings import MIDDLEWARE
from tests.support.checks import messages, only_message

not_callable = "not callable"


class Middleware(SessionMiddleware):
    """What a project may make of it."""


@pytest.fixture(autouse=True)
def ours(settings):
    settings.MIDDLEWARE = ["bff_sessions.middleware.SessionMiddleware", *MIDDLEWARE[1:]]


def address_of(request):
    return request.headers["X-Real-IP"]


@pytest.mark.parametrize(
    "device",
    [
        None,
        {},
        {"USER_AGENT": False, "ADDRESS": None, "SEEN_EVERY": 0},
        {"ADDRESS": "truncated", "SEEN_EVERY": 90.5},
        {"ADDRESS": "full", "ADDRESS_OF": "tests.unit.checks.test_device.address_of"},
    ],
)
def test_good_settings_are_silent(settings, device):
    settings.BFF_SESSIONS = {"DEVICE": device}
    assert messages() == []


def test_user_agents_without_ua_parser_are_warned_of(settings, monkeypatch):
    monkeypatch.setattr("bff_sessions.checks.device.find_spec", lambda name: None)
    settings.BFF_SESSIONS = {"DEVICE": {}}
    assert "django-bff-sessions[device]" in only_message("W072").hint
    settings.BFF_SESSIONS = {"DEVICE": {"USER_AGENT": False, "ADDRESS": "full"}}
    assert messages() == []


@pytest.mark.parametrize("device", [True, False, "full", ["ADDRESS"], 1])
def test_what_is_no_dictionary_is_e070(settings, device):
    settings.BFF_SESSIONS = {"DEVICE": device}
    assert repr(device) in only_message("E070").msg


@pytest.mark.parametrize("name", ["address", "IP", None])
def test_an_unknown_option_is_e071(settings, name):
    settings.BFF_SESSIONS = {"DEVICE": {name: True}}
    message = only_message("E071")
    assert repr(name) in message.msg
    assert "USER_AGENT, ADDRESS, ADDRESS_OF, SEEN_EVERY" in message.hint


@pytest.mark.parametrize("value", [None, "yes", 1])
def test_a_user_agent_neither_kept_nor_not_is_e072(settings, value):
    settings.BFF_SESSIONS = {"DEVICE": {"USER_AGENT": value}}
    assert repr(value) in only_message("E072").msg


@pytest.mark.parametrize("value", [True, False, "Full", "/24", 24, ["full"]])
def test_another_way_to_keep_an_address_is_e073(settings, value):
    settings.BFF_SESSIONS = {"DEVICE": {"ADDRESS": value}}
    assert repr(value) in only_message("E073").msg


@pytest.mark.parametrize(
    "path",
    ["shop.addresses.real", "", None, 1, print, "tests.unit.checks.test_device.not_callable"],
)
def test_what_tells_no_address_is_e074(settings, path):
    settings.BFF_SESSIONS = {"DEVICE": {"ADDRESS_OF": path}}
    assert "ADDRESS_OF" in only_message("E074").msg


@pytest.mark.parametrize("value", [-1, None, "60", True, float("nan"), 86_401])
def test_no_number_of_seconds_is_e075(settings, value):
    settings.BFF_SESSIONS = {"DEVICE": {"SEEN_EVERY": value}}
    assert repr(value) in only_message("E075").msg


def test_nobody_who_hands_it_over_is_w070(settings, djangos_middleware):
    settings.BFF_SESSIONS = {"DEVICE": {}}
    hints = {message.id: message.hint for message in messages()}
    assert "bff_sessions.middleware.SessionMiddleware" in hints["bff_sessions.W070"]
    settings.MIDDLEWARE = ["shop.middleware.nope", "tests.unit.checks.test_device.address_of"]
    assert "bff_sessions.W070" in [message.id for message in messages()]
    settings.MIDDLEWARE = ["tests.unit.checks.test_device.Middleware", *MIDDLEWARE[1:]]
    assert messages() == []
