"""The history of sessions, an optional app: who signed in, and why each session has ended.

- `models`: its table
- `recording`: writes it, in the transaction of each start and end if it can
- `reading`: finds entries page by page, and deletes old ones
- `texts`: what has happened, in words

An entry has no store key, no ticket and no token. It names a session by its public ID.
"""
