"""Operations of our engine alone; see `operations`."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from benchmarks.contents import text, tokens, user_data
from benchmarks.operations import Operation, Steps
from benchmarks.sessions import Sessions, fill
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.stores import get_store

__all__ = ["OURS_ALONE"]

_OF_A_USER = 10


def first_save(sessions: Sessions) -> Steps:
    session = sessions.known()
    stored = session.get_user_session()
    before = {name: getattr(stored, name) - timedelta(days=1) for name in ("renewed", "expires")}
    assert get_store().touch_user_session(stored.key, **before)
    mark = session["mark"] = next(sessions.marks)
    yield session.save
    assert sessions.open(session.session_key)["mark"] == mark
    sessions.give_back(session.session_key)


def revoke(sessions: Sessions) -> Steps:
    session = sessions.known().get_user_session()
    filter = UserSessionsFilter(session_id=session.session_id)
    ended = yield partial(get_store().delete_user_sessions, filter)
    assert [each.key for each in ended] == [session.key]


def list_sessions(sessions: Sessions) -> Steps:
    user = next(sessions.users)
    user.pk = text(16)
    added = [sessions.open() for _ in range(_OF_A_USER)]
    for session in added:
        fill(session, user_data(user) | tokens())
        session.save()
    listed = yield partial(get_store().query_user_sessions, UserSessionsFilter(user_id=user.pk))
    assert len(listed.sessions) == _OF_A_USER
    for session in added:
        session.delete()


OURS_ALONE: dict[str, Operation] = {
    "first save of a day": first_save,
    "revoke by session ID": revoke,
    "list of a user": list_sessions,
}
