"""What scripts return instead of a version."""

from __future__ import annotations

from typing import Final

MISSING: Final = -1
CHANGED: Final = -2
EXISTS: Final = -3
UNCOVERED: Final = -4
"""The hints of the session are not those of what is to be written: write them first. Partition and
head of the session follow."""
