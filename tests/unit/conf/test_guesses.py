"""What a misspelt name was meant to be."""

import pytest

from bff_sessions.conf.guesses import closest

CHOICES = ["CLIENT_ID", "CLIENT_SECRET", "JWKS_URI"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("CLIENTID", "CLIENT_ID"),
        ("client_secret", "CLIENT_SECRET"),
        ("JWKS_URL", "JWKS_URI"),
        ("LEEWAY", None),
        ("", None),
        (None, None),
        (["CLIENT_ID"], None),
    ],
)
def test_closest_is_the_choice_most_like_the_word(word, meant):
    assert closest(word, CHOICES) == meant


def test_closest_without_a_likeness_is_always_one():
    assert closest("xyz", CHOICES, likeness=0) in CHOICES
    assert closest("xyz", [], likeness=0) is None


def test_choices_that_are_not_texts_are_left_out():
    assert closest("401", [401, 200], likeness=0) is None
