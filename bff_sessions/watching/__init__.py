"""Watch the sessions of open pages, and of WebSockets, until they end.

- `pages`: what is watched, and what its page learns
- `looking`: one look at all watched sessions
- `watcher`: the thread that looks, one for each process
- `waiting`: what views and WebSockets call

A thread and not a task of an event loop: it serves all loops and all threads of a process with one
look, and no request can hold it up.
"""

from bff_sessions.watching.pages import News, NewsKind
from bff_sessions.watching.waiting import await_end, awatching, can_watch, watching

__all__ = ["News", "NewsKind", "await_end", "awatching", "can_watch", "watching"]
