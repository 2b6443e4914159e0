"""Read single values that come with tokens, in any usual form."""

from __future__ import annotations

from contextlib import suppress

from bff_sessions.contract import is_moment


def to_seconds(value: object) -> float | None:
    """Return a number of seconds, which may be a text, if databases can store it."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    return value if is_moment(value) else None


def is_absent(value: object) -> bool:
    """Return whether `value` is None or a blank text."""
    return value is None or (isinstance(value, str) and not value.strip())


def to_text(value: object) -> str | None:
    """Return `value` if it is a text that is not blank, else None."""
    return value if isinstance(value, str) and value.strip() else None


def to_scope(value: object) -> str | None:
    """Return a scope, which some libraries store as a list, as one text; None if it is absent."""
    return to_text(" ".join(map(str, value)) if isinstance(value, (list, tuple)) else value)
