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

    A key that both changed has my value. A value changed in place counts as changed.

    Args:
        base: serialized data of the session as it was before my changes.
    """
    before = serializer.loads(base)
    after = serializer.loads(serializer.dumps(mine))
    merged = dict(current)
    for name in before:
        if name not in after:
            merged.pop(name, None)
    for name, value in after.items():
        # By their bytes: to Python 1, 1.0 and True are equal.
        if name not in before or serializer.dumps(before[name]) != serializer.dumps(value):
            merged[name] = value
    return merged
