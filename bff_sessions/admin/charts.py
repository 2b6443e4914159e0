"""Bars for the overview's pictures: where they stand is told here, how they look in the template.

Widths are percentages and heights pixels, so that a picture fits a phone and its text does not
shrink with it. Each bar has its number in words beside it, and nothing depends on colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.formats import number_format

__all__ = ["HEIGHT", "Bar", "Chart", "columns", "grouped", "shares"]

HEIGHT: Final = 140
_GAP: Final = 0.15  # of a column


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A number of sessions, and the bar that stands for it."""

    label: str
    number: int
    x: str = ""
    width: str = ""
    middle: str = ""
    y: int = 0
    height: int = 0
    is_marked: bool = False
    """Its label is written below it; there is no room for all."""

    @property
    def text(self) -> str:
        return grouped(self.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    bars: list[Bar]

    @property
    def most_text(self) -> str:
        return grouped(max((bar.number for bar in self.bars), default=0))

    @property
    def total_text(self) -> str:
        return grouped(sum(bar.number for bar in self.bars))


def grouped(number: int) -> str:
    """With the language's mark between the thousands."""
    return number_format(number, force_grouping=True)


def columns(numbers: Sequence[tuple[str, int]], *, mark_every: int) -> Chart:
    """Columns from left to right; the label of every so many is shown, counted from the last."""
    most = max((number for _label, number in numbers), default=0)
    step = 100 / max(len(numbers), 1)
    bars = []
    for index, (label, number) in enumerate(numbers):
        # One pixel for what is little, so that it differs from nothing.
        height = max(round(HEIGHT * number / most), 1) if number > 0 else 0
        bars.append(
            Bar(
                label=label,
                number=number,
                x=_percent(step * (index + _GAP / 2)),
                width=_percent(step * (1 - _GAP)),
                middle=_percent(step * (index + 0.5)),
                y=HEIGHT - height,
                height=height,
                is_marked=(len(numbers) - 1 - index) % mark_every == mark_every // 2,
            )
        )
    return Chart(bars=bars)


def shares(numbers: Sequence[tuple[str, int]]) -> Chart:
    """Bars below each other, as wide as their share of the whole."""
    total = sum(number for _label, number in numbers) or 1
    bars = [
        Bar(label=label, number=number, width=_percent(100 * number / total))
        for label, number in numbers
    ]
    return Chart(bars=bars)


def _percent(value: float) -> str:
    # Text, so that no locale writes a comma into the picture.
    return f"{value:.2f}%"
