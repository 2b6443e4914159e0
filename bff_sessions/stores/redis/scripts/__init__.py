"""The Lua scripts. Each works on one key, and runs as a whole.

A session is a hash with these fields. It exists while it has `version`.

| Field | Content |
| --- | --- |
| `version` | The version, and the random ID of the write that made it, with a space between |
| `partition` | The partition |
| `head` | The other fields that identify the session, see `layout` |
| `times` | `renewed`, `expires`, and the `cover` of its hints, see `layout` |
| `ticket` | The ticket |
| `device` | What was recorded of the device |
| `lease` | The owner of the lease, and its end in milliseconds, with a space between |
| `moved` | The new store key, while the session moves there |
| `closed` | Instead of `version`: the ID of the delete that has closed it |
| `tombstone` | Alone: the ID of the delete that has ended it |

Scripts are sent whole, because a server forgets them when it restarts or fails over.

If something else than a hash has the name of a session, a script treats it like no session, and
one that buries deletes it.
"""

from bff_sessions.stores.redis.scripts.ends import END, FINISH, KEEP, OPEN
from bff_sessions.stores.redis.scripts.hints import CLOSING, EXPIRING, FORGET, HINT, REPLACED
from bff_sessions.stores.redis.scripts.moves import GONE, LEAVE, LEFT, STAY
from bff_sessions.stores.redis.scripts.results import CHANGED, EXISTS, MISSING, UNCOVERED
from bff_sessions.stores.redis.scripts.writes import ACQUIRE, CREATE, NOTE, RELEASE, TOUCH, UPDATE

__all__ = [
    "ACQUIRE",
    "CHANGED",
    "CLOSING",
    "CREATE",
    "END",
    "EXISTS",
    "EXPIRING",
    "FINISH",
    "FORGET",
    "GONE",
    "HINT",
    "KEEP",
    "LEAVE",
    "LEFT",
    "MISSING",
    "NOTE",
    "OPEN",
    "RELEASE",
    "REPLACED",
    "STAY",
    "TOUCH",
    "UNCOVERED",
    "UPDATE",
]
