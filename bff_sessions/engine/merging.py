"""Merge what one request changed in a session with what another request has saved meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from bff_sessions import conf
from bff_sessions.engine.equality import is_same
from bff_sessions.identity import ANONYMOUS, Identity, identify, is_claims_source, sign_in_part

_MISSING = object()
# Begins the key of what is one value though it has several keys. No serializer gives such a key.
_WHOLE = object()


class Serializer(Protocol):
    """An instance of the class that settings.SESSION_SERIALIZER names."""

    def dumps(self, obj: Any) -> bytes: ...
    def loads(self, data: bytes) -> Any: ...


def is_same_data(plain: bytes, other: bytes, serializer: Serializer) -> bool:
    """Return whether two serialized dictionaries hold the same.

    Equal bytes do. Different bytes may: a serializer may compress, encrypt or salt.
    """
    return plain == other or is_same(serializer.loads(plain), serializer.loads(other))


def merge(
    base: bytes, mine: dict[str, Any], current: dict[str, Any], serializer: Serializer
) -> dict[str, Any]:
    """Return `current` with what changed between `base` and `mine`, key by key.

    Dictionaries that both sides hold merge in turn. Any other value that both changed is mine.
    Where my value stays, it stays the same object: the request may hold a part of it and go on.

    Args:
        base: serialized data of the session as it was before my changes.
        current: data as the serializer read it.
    """
    before = serializer.loads(base)
    # As it will be read: JSON makes text of other keys, and lists of tuples.
    after = serializer.loads(serializer.dumps(mine))
    if _signs_in_again(before, after, current):
        # A refresh of the older tokens must not undo it.
        after, mine = _take_claims(after, before), _take_claims(mine, before)
    merged = _merge_parts(before, after, mine, current, _part_of)
    if _mixes_sign_ins(before, after, current, merged):
        merged = _merge_parts(before, after, mine, current, _one_sign_in)
    return merged


# What is one value


def _part_of(key: Any) -> Any:
    """Return the name of the value that `key` is a part of, if that is never merged inside."""
    part = sign_in_part(key)
    return key if part is None and key in conf.ATOMIC_KEYS else part


def _one_sign_in(key: Any) -> Any:
    """See _part_of(). All that says who is signed in is one value."""
    return _part_of(key) if sign_in_part(key) is None else _WHOLE


def _mixes_sign_ins(
    before: dict[str, Any], after: dict[str, Any], current: dict[str, Any], merged: dict[str, Any]
) -> bool:
    """Return whether `merged` may hold parts of two sign-ins, or of two sign-outs.

    It may if both sides changed such parts, and either of these holds:

    - It is not the same sign-in throughout. Otherwise a refreshed token and a new password hash,
      for example, belong together.
    - Its tokens are those of neither side.
    """
    was, mine, theirs = (
        {key: value for key, value in data.items() if sign_in_part(key) is not None}
        for data in (before, after, current)
    )
    if is_same(was, mine) or is_same(was, theirs):
        return False
    people = [_person_of(data) for data in (before, after, current, merged)]
    if len({(each.issuer, each.subject_id, each.session_id) for each in people}) > 1:
        return True
    return _tokens_of(merged) not in (_tokens_of(after), _tokens_of(current))


def _person_of(data: dict[str, Any]) -> Identity:
    try:
        return identify(data)
    except Exception:
        return ANONYMOUS  # The save that follows raises it.


def _signs_in_again(before: dict[str, Any], after: dict[str, Any], current: dict[str, Any]) -> bool:
    """Return whether the person of `before` has signed in again in `current`, not in `after`."""
    was, mine, theirs = _person_of(before), _person_of(after), _person_of(current)
    if was.subject_id is None or was != mine or was.auth_time != mine.auth_time:
        return False
    is_same_person = (was.issuer, was.subject_id) == (theirs.issuer, theirs.subject_id)
    return is_same_person and (theirs.auth_time or 0) > (was.auth_time or 0)


def _take_claims(data: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return `data` with claims and tokens of `other`."""
    rest = {key: value for key, value in data.items() if not is_claims_source(key)}
    return rest | {key: value for key, value in other.items() if is_claims_source(key)}


def _tokens_of(data: dict[str, Any]) -> object:
    try:
        return conf.load_callable("TOKENS")(data, None)
    except Exception:
        return None  # The view that needs the tokens gets the error.


def _merge_parts(
    before: dict[Any, Any],
    after: dict[Any, Any],
    mine: dict[Any, Any],
    current: dict[Any, Any],
    part_of: Callable[[Any], Any],
) -> dict[Any, Any]:
    """See merge(). `part_of` says which keys are parts of one value."""
    return _unfold(_merge(*(_fold(data, part_of) for data in (before, after, mine, current))))


def _fold(data: dict[Any, Any], part_of: Callable[[Any], Any]) -> dict[Any, Any]:
    """Return `data` with each value that has parts as one: a list, since lists do not merge."""
    folded: dict[Any, Any] = {}
    for key, value in data.items():
        part = part_of(key)
        if part is None:
            folded[key] = value
        else:
            folded.setdefault((_WHOLE, part), [{}])[0][key] = value
    return folded


def _unfold(folded: dict[Any, Any]) -> dict[Any, Any]:
    data: dict[Any, Any] = {}
    for key, value in folded.items():
        if isinstance(key, tuple) and key[:1] == (_WHOLE,):
            data |= value[0]
        else:
            data[key] = value
    return data


# Key by key


class _Node(NamedTuple):
    """A dictionary that both sides hold."""

    before: dict[Any, Any]
    after: dict[Any, Any]
    mine: Any
    current: dict[Any, Any]
    merged: dict[Any, Any]
    parent: int
    key: Any


def _merge(
    before: dict[Any, Any], after: dict[Any, Any], mine: Any, current: dict[Any, Any]
) -> dict[Any, Any]:
    # A list instead of recursion: data may be deeper than Python's stack.
    nodes = [_Node(before, after, mine, current, {}, -1, None)]
    theirs: set[int] = set()
    for number, node in enumerate(nodes):  # It grows.
        for key in {**node.current, **node.after}:
            was = node.before.get(key, _MISSING)
            now, there = node.after.get(key, _MISSING), node.current.get(key, _MISSING)
            own = node.mine.get(key, now) if isinstance(node.mine, dict) else now
            if _merges(now) and _merges(there) and (was is _MISSING or _merges(was)):
                # Two requests that begin a dictionary at the same time both add to it.
                node.merged[key] = own
                was = {} if was is _MISSING else was
                nodes.append(_Node(was, now, own, there, {}, number, key))
            elif not is_same(was, now):
                if now is not _MISSING:
                    node.merged[key] = own
            elif is_same(was, there):
                node.merged[key] = own
            else:
                theirs.add(number)
                if there is not _MISSING:
                    node.merged[key] = there
    # Where nothing is theirs, my own object stays.
    for number in range(len(nodes) - 1, 0, -1):
        if number in theirs:
            node = nodes[number]
            nodes[node.parent].merged[node.key] = node.merged
            theirs.add(node.parent)
    return nodes[0].merged


def _merges(value: Any) -> bool:
    return type(value) is dict and all(isinstance(key, str) for key in value)
