"""Private and undocumented API of what this package depends on: a module for each dependency.

Each use names the versions that it was read in and what it gains. tests/unit/compat/ fails when
one of them changes, and runs what is here for speed beside its plain counterpart.
"""
