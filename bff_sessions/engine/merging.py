"""What one request changed in a session, applied onto what another saved meanwhile."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Serializer", "merge"]


class Serializer(Protocol):
    """What settings.SESSION_SERIALIZER names."""

    def dumps(self, obj: Any) -> bytes: ...
    def loads(self, data: bytes) -> Any: ...


def merge(
    base: bytes, mine: dict[str, Any], current: dict[str, Any], serializer: Serializer
) -> dict[str, Any]:
    """`current` with what happened between `base` and `mine`, top-level key by top-level key.

    A key that both changed has my value. A value changed in place counts as changed. Where my
    value stays, it stays the same object: somebody may hold a part of it and go on.

    Args:
        base: serialized data of the session as it was before my changes.
    """
    dumps = serializer.dumps
    before = serializer.loads(base)
    # As it will be read: JSON makes text of other keys, and lists of tuples.
    after = serializer.loads(dumps(mine))
    merged = {name: value for name, value in current.items() if name in after or name not in before}
    for name, value in after.items():
        own = mine.get(name, value)
        # By their bytes: to Python 1, 1.0 and True are equal. Read once and twice, as a set
        # may change its order when it is read.
        was = dumps(before[name]) if name in before else None
        is_mine = was not in (dumps(value), dumps(own))
        if is_mine or (name in current and dumps(current[name]) == was):
            merged[name] = own
    return merged
