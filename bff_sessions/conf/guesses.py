"""Guess the name that a misspelt one was meant to be, for messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from django.core.checks import CheckMessage

# The time of a comparison grows with the length of both texts.
_MAX_LENGTH: Final = 255


def closest(word: object, choices: Iterable[object], *, likeness: float = 0.6) -> str | None:
    """Return the text among `choices` that is most like `word`; None if none is like it.

    Capitals do not count.

    Args:
        likeness: from 0, which accepts any text, to 1.
    """
    if not isinstance(word, str):
        return None
    # The first of several that differ in their capitals only.
    known = {each.casefold(): each for each in choices if isinstance(each, str)}
    found = get_close_matches(word[:_MAX_LENGTH].casefold(), known, n=1, cutoff=likeness)
    return known[found[0]] if found else None


def with_guess(message: CheckMessage, given: object, choices: Iterable[object]) -> CheckMessage:
    """Return `message`, whose hint then asks whether one of `choices` was meant.

    Args:
        given: a text, or a list of them, that is not among `choices`.
    """
    known = list(choices)
    words = given if isinstance(given, (list, tuple, set, frozenset)) else [given]
    guesses = [closest(word, known) for word in words if word not in known]
    names = " and ".join(repr(guess) for guess in guesses if guess is not None)
    if names:
        message.hint = f"Did you mean {names}? {message.hint}"
    return message
