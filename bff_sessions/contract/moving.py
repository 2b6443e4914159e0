"""Move a session to another key with the six verbs.

1. A conditional update makes the old session one that `is_moved` and soon expires. From then on no
   request reads or saves it.
2. The new session is created, which also `is_moved`. A lease moves to it. If either fails, the old
   session is restored.
3. The old session is deleted. If that finds nothing, it was revoked meanwhile, and the new one is
   deleted, too.
4. An update makes the new session live. If that finds nothing, the session was revoked meanwhile.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from bff_sessions.contract.abilities import UserSessionStoreLeases
from bff_sessions.contract.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.contract.sessions import DEVICE, UserSession, UserSessionUpdate
from bff_sessions.contract.verbs import RequiredVerbs


def move_session(store: RequiredVerbs, key: str, session: UserSession, if_version: int) -> int:
    """See UserSessionStore.rekey_user_session()."""
    old = store.get_user_session(key)
    if old is None or old.is_moved:
        raise SessionMissing
    if old.version != if_version:
        raise SessionChanged
    now = datetime.now(UTC)
    version = store.update_user_session(
        key, UserSessionUpdate.of(old.moving(now)), if_version=if_version
    )
    recorded = {name: getattr(old, name) for name in DEVICE}
    leases = store.get_ability(UserSessionStoreLeases)
    try:
        store.create_user_session(replace(session.moving(now), version=if_version, **recorded))
        if leases is not None:
            leases.move_lease(key, session.key)
    except BaseException as error:
        if not isinstance(error, SessionExists):
            # The new session may exist despite the error: of the two, only one may live.
            store.delete_user_session(session.key)
        with suppress(SessionChanged, SessionMissing):  # The session was revoked meanwhile.
            store.update_user_session(key, UserSessionUpdate.of(old), if_version=version)
        raise
    if not store.delete_user_session(key):
        store.delete_user_session(session.key)
        raise SessionMissing
    return store.update_user_session(session.key, UserSessionUpdate.of(session))
