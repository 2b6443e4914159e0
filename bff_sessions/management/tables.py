"""Write long tables and arrays to a terminal or to a pipe, a part at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from textwrap import indent
from typing import Any, Final

from django.core.management.base import OutputWrapper

# Rows in one part of a table.
_PART: Final = 100


def write_rows(
    out: OutputWrapper, values: Iterable[dict[str, str | None]], columns: Sequence[str]
) -> None:
    """Write a table with a head; nothing if there are no values."""
    rows = ([to_text(each[name]) for name in columns] for each in values)
    widths = [0] * len(columns)
    head = [list(columns)]
    # In parts with their own widths, because the last value has not been read yet.
    while part := list(islice(rows, _PART)):
        for row in [*head, *part]:
            widths = [max(known, len(cell)) for known, cell in zip(widths, row, strict=True)]
        for row in [*head, *part]:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            out.write("  ".join(cells).rstrip())
        head = []


def write_array(out: OutputWrapper, values: Iterable[Any]) -> None:
    """Write the array that json.dumps() would return, one value at a time."""
    before = "["
    for value in values:
        text = indent(json.dumps(value, indent=2), "  ")
        out.write(f"{before}\n{text}", ending="")
        before = ","
    out.write("[]" if before == "[" else "\n]")


@contextmanager
def to_a_pipe(out: OutputWrapper) -> Iterator[None]:
    """Write nothing more to a pipe whose reader has closed it, for example `head`."""
    try:
        yield
        out.flush()
    except BrokenPipeError:
        # As in the documentation of Python's signal module: at exit the interpreter flushes the
        # rest, and would report the same error again.
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, out.fileno())
            os.close(null)


def to_text(value: str | None) -> str:
    """Return `value` for a terminal."""
    # A claim is the provider's text: its control characters must not reach the terminal.
    if value is None:
        return "-"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
