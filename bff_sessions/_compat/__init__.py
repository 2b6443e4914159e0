"""Private and undocumented API of dependencies: one module for each dependency.

`SessionBase` of Django is the exception: `bff_sessions.engine.session` overrides private methods of
it, because Django's session middleware and tests call them.

Each use names the versions in which it was read, and what it gains. tests/unit/compat/ fails if
such an API changes. It also compares each use for speed with its plain counterpart.
"""
