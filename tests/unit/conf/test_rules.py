import pytest

from bff_sessions.conf.rules import (
    CALLABLE,
    DICTIONARY,
    ENCRYPTION_KEYS,
    SettingInvalid,
    or_none,
)


@pytest.mark.parametrize(
    ("rule", "value"),
    [(CALLABLE, "os.path.join"), (DICTIONARY, {}), (ENCRYPTION_KEYS, ["k" * 32])],
    ids=["callable", "dictionary", "keys"],
)
def test_rule_that_accepts_none_accepts_what_it_did_before(rule, value):
    for each in (None, value):
        or_none(rule).check("X", each)


@pytest.mark.parametrize(
    ("rule", "value"),
    [(CALLABLE, "os.nothing"), (DICTIONARY, 3), (ENCRYPTION_KEYS, ["short"])],
    ids=["callable", "dictionary", "keys"],
)
def test_rule_that_accepts_none_refuses_what_it_did_before(rule, value):
    with pytest.raises(SettingInvalid):
        or_none(rule).check("X", value)


def test_none_is_refused_unless_a_rule_accepts_it():
    with pytest.raises(SettingInvalid):
        DICTIONARY.check("X", None)


def test_value_of_a_secret_setting_is_not_shown():
    with pytest.raises(SettingInvalid) as caught:
        ENCRYPTION_KEYS.check("X", ["a secret that is too short"])
    assert "secret" not in str(caught.value)
