"""Whether two values of session data are the same, as a serializer tells them apart."""

from __future__ import annotations

from typing import Any

__all__ = ["is_same"]

# Their equality says all, once their types are the same. Not float: a NaN differs from itself,
# and 0.0 equals -0.0.
_PLAIN = (str, int, bool, type(None), bytes)


def is_same(one: Any, other: Any) -> bool:
    """Return whether `one` and `other` have the same types and values, all the way down.

    To Python 1, 1.0 and True are equal, and two instances of a class are equal only if it says so.
    The order of keys does not count: RFC 8259, 4.
    """
    # A list instead of recursion: data may be deeper than Python's stack.
    pairs = [(one, other)]
    # Keeps what it has seen alive, or Python might use an id again.
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
            continue  # What holds itself ends here.
        found = _compare(kind, a, b)
        if found is None:
            return False
        pairs += found
    return True


def _compare(kind: type, a: Any, b: Any) -> list[tuple[Any, Any]] | None:
    """Return the pairs that must be the same for `a` and `b` to be; None if they differ anyway."""
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
    # What equals itself only, such as a NaN.
    alone = list(twins)
    for element in a - b:
        twin = next((n for n, other in enumerate(alone) if is_same(element, other)), None)
        if twin is None:
            return None
        del alone[twin]
    return None if alone else pairs


def _parts(value: Any) -> Any:
    """Return what a copy of `value` would be made of, as pickle has it; None for no copy."""
    # Of the type, because a class as a value has the method of its instances.
    kind: Any = type(value)
    try:
        parts = kind.__reduce_ex__(value, 4)
    except Exception:
        return None
    if isinstance(parts, str):
        return [parts]
    # Iterators of the elements of a list or of a dictionary come last.
    return [*parts[:3], *(None if part is None else list(part) for part in parts[3:5])]


def _is_equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:
        return False
