"""Private and undocumented API of dependencies: one module for each dependency.

Each use names the versions in which it was read, and what it gains. tests/test_compat.py fails if
such an API changes. It also compares each use for speed with its plain counterpart.
"""
