"""Private and undocumented API of what this package depends on: a module for each dependency.

`SessionBase` of Django is the exception: `bff_sessions.engine.session` overrides private methods of
it, because Django's session middleware and tests call them.

Each use names the versions that it was read in and what it gains. tests/test_compat.py fails when
one of them changes, and runs what is here for speed beside its plain counterpart.
"""
