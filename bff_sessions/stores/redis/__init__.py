"""Sessions in Redis or Valkey: one server, Sentinel, or a Cluster.

Each session is one hash under its store key. The server deletes it when it expires. Each write is
one script on this one key, so that a Cluster may spread the sessions over all nodes. A script
compares the version, and never creates what is gone.

*Hints* find sessions: a sorted set for each subject, session ID and user names the store keys. They
may name too much, and never too little, because of three rules:

- A hint is written before its session, or before the change that makes the hint true.
- A reader looks at the session itself.
- A hint is removed by the caller that has deleted its session, or after the latest time at which
  the session can end. It is never removed because there is no session: one may be on its way.

A revocation reads the hints. For each it takes the session, and leaves a *tombstone* under the
store key for longer than any request lasts. It leaves one also if there is no session. No script
creates, changes or moves a session under a tombstone. Then the revocation reads the hints again,
until they name nothing new. So no session is left: one that a hint of the last pass named is under
a tombstone, and the creation or move of any other one began after that pass. An update can
also make a session match. It is one script, and so a sign-in before or after the revocation.

What a hint names may be no session, because something else has written it. Then nobody reads it,
and a revocation ends it, too.

A session moves to another key in four steps, see `moves`. Its old hash names the new key, so that
a delete of the old session also puts the new key under a tombstone.

A delete with an `on_ending` takes two steps. The first *closes* the session: from then on nobody
reads or writes it, but its ticket is still there. After `on_ending` the second step puts it under
the tombstone, or opens it again if `on_ending` has raised. If the process dies in between, the next
clean-up finishes the delete.

Each write has a random ID, which the script stores. If the answer to a write was lost, its
repetition finds this ID and has the same result.

`scripts` has the scripts, `layout` the names and values in Redis, `link` sends commands, and
`clients` connects. The verbs are in `store`, `writes`, `moves`, `deletes` and `cleanup`.
"""

from bff_sessions.stores.redis.store import RedisUserSessionStore

__all__ = ["RedisUserSessionStore"]
