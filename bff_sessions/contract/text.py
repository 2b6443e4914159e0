"""Checks that every database can store a text or a moment from outside."""

from __future__ import annotations

from typing import Final, TypeGuard

# OpenID Connect Core 1.0, 2: sub "MUST NOT exceed 255 ASCII characters in length".
MAX_TEXT: Final = 255


def check_text(name: str, value: object, *, max_length: int | None = MAX_TEXT) -> None:
    """Raise an error for text that some database would refuse, truncate or change.

    Args:
        name: the name of the value in the error.
        value: the text; None passes.
        max_length: the most characters; None for any number.

    Raises:
        TypeError: if `value` is neither a string nor None.
        ValueError: if it is blank, too long, or has a character that no database can store.
    """
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, not {type(value).__name__}.")
    if max_length is not None and len(value) > max_length:
        raise ValueError(f"{name} must have at most {max_length} characters; it has {len(value)}.")
    if not value or value.isspace():
        raise ValueError(f"{name} must not be blank; give None for an absent value.")
    if "\0" in value:
        raise ValueError(f"{name} must not contain a NUL character.")
    if not can_be_kept(value):
        raise ValueError(f"{name} must not contain a lone surrogate.")


def can_be_kept(text: str) -> bool:
    """Return whether every database can store `text`: it has no NUL and no lone surrogate."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def is_moment(value: object) -> TypeGuard[float]:
    """Return whether `value` is a NumericDate (RFC 7519, 2) that databases can store.

    The upper bound is in the year 5138.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value < 100_000_000_000  # type: ignore[operator]
