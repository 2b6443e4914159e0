"""The values of sessions in Redis."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from bff_sessions.contract import (
    MOVED,
    DeletedSession,
    Device,
    UserSession,
    UserSessionUpdate,
)

logger = logging.getLogger("bff_sessions.store")

_P = ParamSpec("_P")
_T = TypeVar("_T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = 86_400

# The fields in `head`. A save of the same sign-in leaves them as they are.
_HEAD: Final = tuple(
    f.name for f in fields(UserSessionUpdate) if f.name not in ("ticket", "renewed", "expires")
)
_DEVICE: Final = tuple(f.name for f in fields(Device))

READ: Final = (b"version", b"partition", b"head", b"times", b"device", b"moved", b"ticket")
"""The fields of the hash that read_session() needs; without the last one, the ticket is empty."""


def micros(moment: datetime) -> int:
    """Return an aware `moment` in microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def cover_of(expires: datetime | None, grace: float = 0) -> bytes:
    """Return the time at which hints of a session pass, in seconds since the epoch.

    It is one to two days after the session expires, so that a renewal seldom writes hints. Covers
    have the same number of digits, and compare like text.
    """
    if expires is None:
        return b"9" * 12
    seconds = micros(expires) // 1_000_000 + int(grace)
    return b"%012d" % max(0, min((seconds // _DAY + 2) * _DAY, 10**12 - 1))


def head_of(session: UserSession | UserSessionUpdate) -> bytes:
    """Return the value of `head`."""
    return _dump([getattr(session, name) for name in _HEAD])


def times_of(session: UserSession | UserSessionUpdate, grace: float = 0) -> bytes:
    """Return the value of `times`."""
    return write_times(session.renewed, session.expires, grace)


def write_times(renewed: datetime, expires: datetime | None, grace: float = 0) -> bytes:
    """Return the value of `times`."""
    ends = b"-" if expires is None else b"%d" % micros(expires)
    return b"%d %s %s" % (micros(renewed), ends, cover_of(expires, grace))


def write_seen(seen: datetime | None) -> bytes:
    """Return the beginning of the value of `device`."""
    return b"-" if seen is None else b"%d" % micros(seen)


def write_device(device: Device | None) -> bytes:
    """Return the end of the value of `device`; empty to leave it as it is."""
    return b"" if device is None else _dump([getattr(device, name) for name in _DEVICE])


def device_of(session: UserSession) -> bytes | None:
    """Return the value of `device`; None if nothing was recorded."""
    about = [getattr(session, name) for name in _DEVICE]
    if session.last_seen is None and not any(about):
        return None
    return b"%s %s" % (write_seen(session.last_seen), _dump(about))


def _none_if_unreadable(read: Callable[_P, _T | None]) -> Callable[_P, _T | None]:
    @wraps(read)
    def read_or_log(*args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        try:
            return read(*args, **kwargs)
        except (LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
            # Only the class: the text may quote the session.
            logger.error("A session in Redis is not readable: %s.", type(error).__name__)
            return None

    return read_or_log


@_none_if_unreadable
def read_session(key: str, found: Sequence[bytes | None]) -> UserSession | None:
    """Return the session under the store key `key`, which has the values `found` for `READ`.

    Return None if there is none, or if something else has written these values, or has the name.
    """
    version, partition, head, times, device, moved, *ticket = found or [None] * len(READ)
    if version is None or partition is None or head is None or times is None:
        return None
    renewed, expires, _ = times.split()
    noted: Mapping[str, Any] = {} if device is None else _read_device(device) or {}
    content = (ticket[0] or b"") if ticket else b""
    return UserSession(
        key=key,
        partition=partition.decode(),
        **_read_head(head),
        renewed=_to_moment(renewed),
        expires=_to_moment(expires),
        ticket=content if moved is None else MOVED + content,
        version=int(version.partition(b" ")[0]),
        **noted,
    )


@_none_if_unreadable
def read_deleted(
    key: str,
    partition: bytes | None,
    head: bytes | None,
    times: bytes | None,
    ticket: bytes,
    device: bytes | None = None,
) -> DeletedSession | None:
    """Return the session that a script ends, as read_session() does."""
    if partition is None or head is None or times is None:
        return None
    noted = {} if device is None else _read_device(device) or {}
    noted.pop("last_seen", None)
    return DeletedSession(
        key=key,
        partition=partition.decode(),
        **_read_head(head),
        expires=_to_moment(times.split()[1]),
        ticket=ticket,
        **noted,
    )


def _read_head(head: bytes) -> dict[str, Any]:
    values = dict(zip(_HEAD, json.loads(head.decode()), strict=True))
    values["created"] = _moment(values["created"])
    return values


@_none_if_unreadable  # The session and its ticket are readable all the same.
def _read_device(device: bytes) -> dict[str, Any]:
    seen, _, about = device.partition(b" ")
    noted = json.loads(about) or [None] * len(_DEVICE)
    return {**dict(zip(_DEVICE, noted, strict=True)), "last_seen": _to_moment(seen)}


def _to_moment(text: bytes) -> Any:
    return None if text == b"-" else _moment(int(text))


def _moment(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def _dump(values: list[Any]) -> bytes:
    # Text of other languages in two to four bytes a character, not in six.
    text = json.dumps(values, default=micros, ensure_ascii=False, separators=(",", ":"))
    return text.encode()
