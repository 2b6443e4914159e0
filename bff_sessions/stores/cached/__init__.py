"""A cache in front of any other store, which revocation still beats.

Each session has two names in the cache, both made from a digest of its store key. The *entry* is
the session as a reader found it in the store, sealed. The *mark* is what writers leave there:

- no mark: nothing was written lately;
- closed, the tombstone: neither serve from the cache nor write to it, ask the store. It does not
  say "deleted", because the delete may yet be rolled back;
- a number of its own for each write, set when that was committed.

Writers close the mark before they write, and on commit close it again (delete, rekey) or set a
new number (update, touch). Only readers fill, with ``add``: the entry carries the mark that was
there before the store was asked, and the moment at which it was. It is served only beside the
same mark, and only until it is `max_stale` seconds old. One round trip gets both. Why nothing
that has ended or changed is served once the write has returned:

- An entry with the number of a write was read after that commit, and any later write replaces the
  number; in which order late writers set theirs does not matter.
- An entry without a number was read before the mark was set. Marks live longer than `max_stale`,
  so when the mark is gone the entry is too old to be served. They also outlive the longest
  request, which matters where a transaction is shown the past: such a one fills on its commit,
  and only what had no mark.
- It does not depend on ``add``, which is no single step in some of Django's caches.
- Should a mark be lost (the cache was down, flushed, restarted or full), what is served was in
  the store at most `max_stale` seconds ago. That is the one promise that depends on clocks: those
  of the hosts must agree.

`reading` and `writing` do that; what is written is in `marks` and `entries`, how in `backend`.
"""

from bff_sessions.stores.cached.store import CachedUserSessionStore, load_inner_class

__all__ = ["CachedUserSessionStore", "load_inner_class"]
