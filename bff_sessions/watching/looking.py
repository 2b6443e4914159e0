"""One look at the sessions of all open pages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from bff_sessions.contract import EndReason, UserSessionsFilter
from bff_sessions.revocation.notes import read_notes
from bff_sessions.stores import get_store
from bff_sessions.stores.databases.errors import is_lost
from bff_sessions.stores.databases.scopes import in_schema
from bff_sessions.stores.live import is_live
from bff_sessions.watching.pages import News, NewsKind, Page, identity_of

# Seconds. A note is written after the commit of its revocation, which a look may see before.
_NOTE_PAUSE: Final = 0.05
# Sessions that are searched for before their pages learn of it. Each one takes a call of the store,
# which makes seconds if all sessions end at once and have no note.
_MOST_MISSING: Final = 100

_Told: TypeAlias = Iterator[tuple[Page, News]]
# Several pages may have the same session, for example tabs of one browser.
_Groups: TypeAlias = Mapping[tuple[str, str], list[Page]]


def look(pages: Iterable[Page]) -> _Told:
    """Yield the pages whose session has ended or changed hands, each with its news.

    This is one call of the store for each scope while nothing happens. Only a session that is not
    found under its key takes another call.

    Raises:
        Exception: what the store raises, after the looks in other scopes; at once, if it has lost
            its connection.
    """
    scopes: dict[str, list[Page]] = defaultdict(list)
    for page in pages:
        scopes[page.scope].append(page)
    failure = None
    for scope, some in scopes.items():
        try:
            yield from _look_in(scope, some)
        except Exception as error:
            if is_lost(error):
                raise
            failure = error  # Of one tenant, whose schema is gone for example.
    if failure is not None:
        raise failure


def _look_in(scope: str, pages: list[Page]) -> _Told:
    with in_schema(scope):
        # In another place, each session would seem to have ended.
        if get_store().scope != scope:
            raise LookupError("The store of these pages cannot be reached from this thread.")
        yield from _look(pages)


def _look(pages: list[Page]) -> _Told:
    groups: dict[tuple[str, str], list[Page]] = defaultdict(list)
    for page in pages:
        groups[page.session.key, page.session.sign_in_id].append(page)
    found = get_store().peek_user_sessions({key for key, _ in groups})
    now, missing = datetime.now(UTC), {}
    for (key, sign_in_id), group in groups.items():
        session = found.get(key)
        if session is None or not is_live(session, now):
            missing[key, sign_in_id] = group
            continue
        for page in group:
            if identity_of(session) == identity_of(page.session):
                page.session = session  # The user may have signed in to it again.
            else:
                yield page, News(NewsKind.IDENTITY_CHANGED)
    names = list(missing)
    for start in range(0, len(names), _MOST_MISSING):
        some = names[start : start + _MOST_MISSING]
        yield from _look_elsewhere({name: missing[name] for name in some})


def _look_elsewhere(missing: _Groups) -> _Told:
    """Follow the sessions that have moved to another key. Yield the pages of the others."""
    # A session with a note has ended: a revocation of many is not followed by a search for each.
    noted = read_notes({key for key, _ in missing})
    yield from _ended(missing, noted)
    ended = {
        name: group
        for name, group in missing.items()
        if name[0] not in noted and not _is_elsewhere(group)
    }
    if ended:
        time.sleep(_NOTE_PAUSE)
        late = read_notes({key for key, _ in ended})
        yield from _ended(ended, {key: late.get(key) for key, _ in ended})


def _ended(groups: _Groups, reasons: Mapping[str, EndReason | None]) -> _Told:
    for (key, _), group in groups.items():
        if key in reasons:
            for page in group:
                yield page, News(NewsKind.SESSION_ENDED, reasons[key])


def _is_elsewhere(group: list[Page]) -> bool:
    """Return whether the session of `group` lives under another key, or is moving there."""
    session = group[0].session
    same = [
        other
        for other in get_store().get_user_sessions(UserSessionsFilter.of_session(session))
        if other.sign_in_id == session.sign_in_id
    ]
    for other in filter(is_live, same):
        for page in group:
            page.session = replace(other, ticket=b"")
        return True
    # The next look finds the session that is moving, or finds that it has ended.
    return any(other.is_moved for other in same)
