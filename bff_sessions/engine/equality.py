"""Equality of session data as a serializer sees it: type and value, all the way down."""

from __future__ import annotations

from typing import Any

# Types for which == is exact. Not float: a NaN differs from itself, and 0.0 equals -0.0.
_PLAIN = (str, int, bool, type(None), bytes)


def is_same(one: Any, other: Any) -> bool:
    """Return whether `one` and `other` have the same types and values, all the way down.

    In Python 1, 1.0 and True are equal, and instances are equal only if their class says so.
    The order of keys does not count: RFC 8259, 4.
    """
    # A list instead of recursion: data may be deeper than Python's stack.
    pairs = [(one, other)]
    # Holds references to the values that it has seen, or Python might reuse an ID.
    seen: dict[tuple[int, int], tuple[Any, Any]] = {}
    while pairs:
        a, b = pair = pairs.pop()
        if a is b:
            continue
        kind = type(a)
        if kind is not type(b):
            return False
        if kind in _PLAIN:
            if a != b:
                return False
            continue
        if seen.setdefault((id(a), id(b)), pair) is not pair:
            continue  # A value that contains itself ends here.
        found = _compare(kind, a, b)
        if found is None:
            return False
        pairs += found
    return True


def _compare(kind: type, a: Any, b: Any) -> list[tuple[Any, Any]] | None:
    """Return the pairs on which the equality of `a` and `b` depends; None if they differ."""
    if kind is float or kind is complex:
        return [] if repr(a) == repr(b) else None
    if kind is dict:
        if a.keys() != b.keys():
            return None
        values = [(value, b[key]) for key, value in a.items()]
        if all(type(key) is str for key in a):
            return values
        return [*values, (frozenset(a), frozenset(b))]
    if kind is list or kind is tuple:
        return list(zip(a, b, strict=True)) if len(a) == len(b) else None
    if kind is set or kind is frozenset:
        return _compare_sets(a, b)
    parts = _parts(a), _parts(b)
    if parts == (None, None):
        return [] if _is_equal(a, b) else None
    return [parts]


def _compare_sets(a: Any, b: Any) -> list[tuple[Any, Any]] | None:
    twins = {element: element for element in b}
    pairs = [(element, twins.pop(element)) for element in a if element in twins]
    # Elements that equal only themselves, such as a NaN.
    alone = list(twins)
    for element in a - b:
        twin = next((n for n, other in enumerate(alone) if is_same(element, other)), None)
        if twin is None:
            return None
        del alone[twin]
    return None if alone else pairs


def _parts(value: Any) -> Any:
    """Return the parts from which pickle would rebuild `value`; None if it cannot."""
    # Call the type's method: a class that is a value has the method of its instances.
    kind: Any = type(value)
    try:
        parts = kind.__reduce_ex__(value, 4)
    except Exception:
        return None
    if isinstance(parts, str):
        return [parts]
    # The last two are iterators of the elements of a list and of a dictionary.
    return [*parts[:3], *(None if part is None else list(part) for part in parts[3:5])]


def _is_equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:
        return False
