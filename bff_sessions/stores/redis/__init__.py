"""Sessions in Redis or Valkey: one server, Sentinel, or a Cluster.

Each session is one hash under its store key. The server deletes it when it expires. Each write is
one script on this one key, so that a Cluster may spread the sessions over all nodes. A script
compares the version, and never creates what is gone.

Each subject, session ID and user has a sorted set of *hints*: the store keys of its sessions. A set
may hold too many keys, but no key is missing from it:

- A hint is written before its session is created, or changes so that the set applies to it.
- A reader compares the session itself.
- The caller that has deleted a session removes its hints. Other hints are removed after the latest
  time at which their session can end. A hint of a missing session stays, because another
  request may be about to create the session.

A revocation reads the hints. Under each store key, it deletes the session and leaves a *tombstone*
for longer than any request lasts. It leaves a tombstone even if the session does not exist. No
script creates, changes or moves a session under a tombstone. Then the revocation reads the hints
again, until there are no new ones. So no session is left. Each key in the last set of hints is
under a tombstone. Any other creation or move began after the hints were read. An update may also
give a session the revoked subject. It is one script, so it is a sign-in before or after the
revocation.

If something else than a session is stored under a store key, no reader gets it, and a revocation
deletes it. If something else has the name of a set of hints, the set counts as empty, and the next
hint takes its place. Both are logged: `reindex` then writes the lost hints.

A session moves to another key in four steps, see `moves`. In between, the old hash holds the new
key, so that a delete of the old session also puts the new key under a tombstone.

A delete with an `on_ending` takes two steps. The first *closes* the session: from then on nobody
reads or writes it, but its ticket is still there. After `on_ending` the second step puts it under
the tombstone, or opens it again if `on_ending` has raised. If the process dies in between, the next
clean-up finishes the delete.

Each script that creates, saves, moves or ends a session stores a random ID. If an answer is lost
and the command repeated, the script finds this ID and returns the same result. Other scripts do no
harm if they run again. But a repeated `note_device` or `release_lease` may return False although
it had an effect.

- `store`: the verbs; their steps are in `writes`, `moves`, `deletes`, `deletion` and `maintenance`
- `hints`: writes, reads and removes the hints
- `scripts`, `names` and `layout`: the scripts, and the names and values in Redis
- `link`, `clients` and `connecting`: send commands, keep the clients, and connect
- `commands`, `errors` and `verbs`: what a command is, what an error says, and the twins of verbs
- `notices`: lets other processes know that sessions have ended
- `replicas`: waits until replicas have confirmed
- `options` and `inspection`: the settings, and the answers of servers to system checks
"""

from bff_sessions.stores.redis.store import RedisUserSessionStore

__all__ = ["RedisUserSessionStore"]
