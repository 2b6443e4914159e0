"""A cache in front of any other store that does not serve revoked sessions.

Each session has three names in the cache, derived from a digest of its store key. The *entry* is
the session as a reader found it in the store, encrypted. Writers set the two others:

- The *mark* of a session that changes. It is closed before the write, and readers use the store
  then. Each write sets a new number when it is committed.
- The *tombstone* of a session that is deleted or moved, before the write. Readers use the store
  until it expires. It does not mean "deleted", because the transaction may be rolled back.

Only readers fill the cache, and only without a closed mark or tombstone. An entry carries the mark
and the moment that the reader found before it read the store. It is served only with the same mark,
without a tombstone, and only until it is `max_stale` seconds old. One round trip reads all three.

A writer sends the closed mark or tombstone before its statement, and reads the answer after it.
Django's Redis cache works while the database does; other caches answer at once. Inside a
transaction, the answer is read before the commit. A process that dies after its commit has thus
told the cache: its bytes were sent.

A session that has ended or changed is not served after the write has returned, because:

- An entry with the number of a write was read after that commit. Any later write replaces the
  number, in whatever order late writers set theirs.
- A tombstone is never overwritten by the number of a late writer. It is written again after the
  commit if that did not follow the write within a second.
- An entry without a number was read before the mark was set. Marks and tombstones live longer than
  `max_stale`, so after one has expired the entry is too old to be served.
- They also outlive the longest request. A transaction with an old snapshot fills the cache on its
  commit, and only if there was neither.
- A write returns only after the cache has answered that it has the number or the tombstone. An
  answer that is an error, or does not arrive, counts as a fault of the cache: see the last point.
- A writer that loses a conflict reads the store for `max_stale` seconds, or until its own write is
  told. Another request may have committed a change and not told the cache yet.
- A mark or tombstone may be lost: the cache was down, flushed, restarted or full, or the machine of
  the writer stopped before its bytes had left. Then a served session was in the store at most
  `max_stale` seconds ago. Only this bound depends on the clocks of the hosts, which must agree.

`reading` and `writing` implement this. `entries` defines the names and entries, `notices` what
writers tell, `invalidation` remembers what could not be told, and `backend` calls the cache.
"""

from bff_sessions.stores.cached.store import CachedUserSessionStore, load_inner_class

__all__ = ["CachedUserSessionStore", "load_inner_class"]
