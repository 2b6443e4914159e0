"""How a fault that a system check reports is declared: the texts are beside the checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Warning

FAULTS: Final[dict[str, Fault]] = {}
"""The declared faults by their ids. Those of single options are in their tables."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a configuration; calling it returns the message of a system check.

    Raises:
        ValueError: if another fault has the same id.
    """

    id: str
    """An error begins with E, a warning with W."""
    text: str
    """What is wrong, with fields of str.format()."""
    hint: str
    """What to do, with the same fields."""

    def __post_init__(self) -> None:
        if FAULTS.setdefault(self.id, self) != self:
            raise ValueError(f"Another check has the id {self.id}.")

    def __call__(self, **values: Any) -> CheckMessage:
        return make_message(self.id, self.text.format(**values), self.hint.format(**values))


def make_message(id: str, text: str, hint: str) -> CheckMessage:
    """Return the message of a system check, whose level the id says."""
    kind = Error if id.startswith("E") else Warning
    return kind(text, hint=hint, id=f"bff_sessions.{id}")
