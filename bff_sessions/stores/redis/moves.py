"""Move a session to another key, in steps that each work on one key.

1. The hints at the new session are written.
2. The old session becomes one that `is_moved` and names the new key. From then on no request reads
   or saves it. It expires soon.
3. The new session is created.
4. The old session is deleted. If it was ended meanwhile, the new one is ended, too.

A revocation before step 2 makes step 2 fail. A later one finds the hints of step 1, and so ends the
new session or keeps step 3 from creating it. A delete of the old key finds the new key there. So a
death between two steps never leaves a session that was ended.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from bff_sessions.contract import UserSession
from bff_sessions.exceptions import SessionChanged, SessionExists, SessionMissing
from bff_sessions.sansio import Steps
from bff_sessions.stores.redis import deletes, hints, names, scripts, writes
from bff_sessions.stores.redis.commands import script_of
from bff_sessions.stores.redis.link import Link

# Milliseconds. A move takes three round trips. If its process dies, the old session expires then.
_TIMEOUT: Final = 60_000


def move(link: Link, key: str, session: UserSession, if_version: int) -> Steps[int]:
    """Move the session from `key` to ``session.key``. Return the new version."""
    old, write = link.names.session(key), secrets.token_hex(8)
    version = if_version + 1
    made = f"{version} {write}"
    leave = script_of(scripts.LEAVE, old, write, if_version, names.to_bytes(session.key), _TIMEOUT)
    first = hints.to_write(link, session.key, session.partition, session)
    status, *noted = yield from link.send_in_order(first, leave)
    if status == scripts.CHANGED:
        raise SessionChanged
    if status == scripts.MISSING:
        raise SessionMissing
    device, lease = noted
    try:
        new = replace(session, version=version)
        yield from writes.create(link, new, device=device, lease=lease)
    except GeneratorExit:  # No step is possible.
        raise
    except BaseException as error:
        if not isinstance(error, SessionExists):
            # The new session may exist despite the error, or be created late: of the two, only
            # one may live.
            yield from deletes.delete_session(link, session.key, None, buries=True)
        yield from link.run_script(scripts.STAY, old, made, link.grace_millis)
        raise
    if not (yield from link.run_script(scripts.LEFT, old, made)):
        yield from deletes.delete_session(link, session.key, None)
        raise SessionMissing
    if (yield from link.confirm([script_of(scripts.GONE, old)])):
        # Not before: if a failover brings the old session back, a revocation must find it.
        yield from link.send(hints.to_remove(link, replace(session, key=key)))
    return version
