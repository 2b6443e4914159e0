"""Commands for Redis: tuples of a name and its arguments."""

from __future__ import annotations

from typing import Any, TypeAlias

Command: TypeAlias = tuple[Any, ...]
"""Its key is the first argument, or follows the number of keys of a script."""


def script_of(script: str, name: bytes, *arguments: Any) -> Command:
    """Return the command that runs `script` with the key `name`."""
    return ("EVAL", script, 1, name, *arguments)


def key_of(command: Command) -> bytes:
    """Return the name that `command` reads or writes."""
    name: bytes = command[3] if command[0] == "EVAL" else command[1]
    return name
