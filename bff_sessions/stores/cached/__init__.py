"""A cache in front of any other store that does not serve revoked sessions.

Each session has two names in the cache, both derived from a digest of its store key. The *entry*
is the session as a reader found it in the store, encrypted. The *mark* is set by writers:

- No mark: no request has written the session lately.
- Closed, a tombstone: readers use the store, and do not fill the cache. It does not mean
  "deleted", because the transaction of the delete may be rolled back.
- A number: each write sets a new one when it is committed.

Writers close the mark before they write. On commit they close it again (delete, rekey) or set a
new number (update, touch). Only readers fill the cache, with ``add``. An entry carries the mark
and the moment that the reader found before it read the store. It is served only with the same
mark, and only until it is `max_stale` seconds old. One round trip reads entry and mark.

A session that has ended or changed is not served after the write has returned, because:

- An entry with the number of a write was read after that commit. Any later write replaces the
  number, in whatever order late writers set theirs.
- An entry without a number was read before the mark was set. Marks live longer than `max_stale`,
  so after a mark has expired the entry is too old to be served.
- Marks also outlive the longest request. A transaction with an old snapshot fills the cache on
  its commit, and only if there was no mark.
- The proof does not depend on ``add``, which is not atomic in some of Django's caches.
- A mark may be lost: the cache was down, flushed, restarted or full. Then a served session was in
  the store at most `max_stale` seconds ago. Only this bound depends on the clocks of the hosts,
  which must agree.

`reading` and `writing` implement this. `entries` and `invalidation` define entries and marks, and
`backend` writes them.
"""

from bff_sessions.stores.cached.store import CachedUserSessionStore, load_inner_class

__all__ = ["CachedUserSessionStore", "load_inner_class"]
