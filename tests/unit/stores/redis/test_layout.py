"""Sessions as Redis stores them, without a server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bff_sessions.contract import DeletedSession, Device
from bff_sessions.stores.redis import layout
from bff_sessions.testing import make_session

SESSIONS = {
    "plain": make_session(),
    "for ever": make_session(expires=None),
    "year 1": make_session(expires=datetime.min.replace(tzinfo=UTC)),
    "year 9999": make_session(expires=datetime.max.replace(tzinfo=UTC)),
    "anonymous": make_session(subject_id=None, session_id=None, user_id=None, issuer=None),
    "other script": make_session(subject_id="Алиса", ticket=bytes(range(256))),
    "device": make_session(user_agent="Firefox", last_seen=datetime.now(UTC)),
}


def fields_of(session):
    head, times = layout.head_of(session), layout.times_of(session)
    device = layout.device_of(session)
    return [b"7 id", session.partition.encode(), head, times, device, None, session.ticket]


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_session_is_read_as_it_was_written(session):
    version, partition, head, times, device, *_ = found = fields_of(session)
    assert version.startswith(b"7 ")
    assert layout.read_session(session.key, found) == replace(session, version=7)
    deleted = layout.read_deleted(session.key, partition, head, times, session.ticket, device)
    assert deleted == DeletedSession.of(session)
    assert deleted.ticket == session.ticket
    without_ticket = layout.read_session(session.key, found[:-1])
    assert without_ticket == replace(session, version=7, ticket=b"")


def test_session_that_moves_is_marked():
    found = fields_of(make_session())
    found[5] = b"new key"
    assert layout.read_session("key", found).is_moved


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("garbage", [None, b"", b"\xff", b"[" * 100_000, b"[1]", b"9" * 30])
def test_what_is_not_a_session_is_read_as_none(number, garbage, caplog):
    found = fields_of(make_session())
    found[number] = garbage
    session = layout.read_session("key", found)
    # Any text can be a partition, and any number a version.
    assert session is None or (number, garbage) in {(0, b"9" * 30), (1, b"[1]"), (1, b"9" * 30)} | {
        (1, b"[" * 100_000),
        (1, b""),
    }
    assert "idp.example" not in caplog.text


@pytest.mark.parametrize("device", [b"", b"x", b"- {", b"- [1]", b"x null"])
def test_device_that_is_not_readable_takes_no_session_with_it(device):
    session = make_session(ticket=b"ticket")
    found = fields_of(session)
    found[4] = device
    assert layout.read_session(session.key, found) == replace(session, version=7)
    deleted = layout.read_deleted(session.key, *found[1:4], session.ticket, device)
    assert deleted == DeletedSession.of(session)


def test_value_of_another_type_is_read_as_none():
    assert layout.read_session("key", ()) is None
    assert layout.read_deleted("key", None, None, None, b"") is None


def test_hints_are_kept_for_one_day_longer_than_their_session():
    now = datetime.now(UTC)
    for days in range(3):
        expires = now + timedelta(days=days)
        cover = int(layout.cover_of(expires, 3600))
        assert 86_400 < cover - expires.timestamp() - 3600 + 1 <= 2 * 86_400 + 1
    covers = [layout.cover_of(one.expires) for one in SESSIONS.values()]
    assert {len(cover) for cover in covers} == {12}
    assert max(covers) == layout.cover_of(None)


def test_device_that_is_not_recorded_is_left():
    assert layout.write_device(None) == b""
    assert layout.write_device(Device(user_agent="Firefox")) != b""
    assert layout.write_seen(None) == b"-"
