"""The bars of the overview's charts: this module computes positions, the templates draw them.

Widths are percentages and heights are pixels, so that a chart fits a phone and its text keeps its
size. A table repeats each number as text, and no meaning depends on colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.formats import number_format
from django.utils.translation import gettext

from bff_sessions.stores.orm.sampling import Figure, Precision

HEIGHT: Final = 140
_GAP: Final = 0.15  # of a column


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A number of sessions, and the bar that shows it."""

    label: str
    number: int
    x: str = ""
    width: str = ""
    middle: str = ""
    y: int = 0
    height: int = 0
    is_marked: bool = False
    """The label is shown below the bar. There is not enough room for all labels."""
    precision: Precision = Precision.EXACT

    @property
    def text(self) -> str:
        return text_of(Figure(number=self.number, precision=self.precision))


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """The bars of one chart."""

    bars: list[Bar]

    @property
    def is_estimate(self) -> bool:
        return any(bar.precision is Precision.ABOUT for bar in self.bars)

    @property
    def most_text(self) -> str:
        return self._text(max((bar.number for bar in self.bars), default=0))

    @property
    def total_text(self) -> str:
        return self._text(sum(bar.number for bar in self.bars))

    def _text(self, number: int) -> str:
        # Estimates and numbers that were not counted to the end do not meet in one chart.
        inexact = (bar.precision for bar in self.bars if bar.precision is not Precision.EXACT)
        return text_of(Figure(number=number, precision=next(inexact, Precision.EXACT)))


def grouped(number: int) -> str:
    """Return `number` with the thousands separators of the active language."""
    return number_format(number, force_grouping=True)


def text_of(figure: Figure) -> str:
    """Return the number in words that say whether it is exact."""
    if figure.precision is Precision.ABOUT:
        return gettext("about %(number)s") % {"number": grouped(_rounded(figure.number))}
    if figure.precision is Precision.MORE:
        return gettext("more than %(number)s") % {"number": grouped(figure.number)}
    return grouped(figure.number)


def _rounded(number: int) -> int:
    """Return an estimate without digits that it cannot support: two or three are left."""
    # 9,876,543 becomes 9,900,000, and 1,234,567 becomes 1,230,000.
    step: int = 10 ** max(len(str(number // 2)) - 2, 0)
    return (number + step // 2) // step * step


def columns(numbers: Sequence[tuple[str, Figure]], *, mark_every: int) -> Chart:
    """Return columns from left to right.

    Args:
        mark_every: one label is shown for this many columns, counted from the last column.
    """
    most = max((figure.number for _label, figure in numbers), default=0)
    step = 100 / max(len(numbers), 1)
    bars = []
    for index, (label, figure) in enumerate(numbers):
        number = figure.number
        # At least one pixel, so that a small number differs from zero.
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
                precision=figure.precision,
            )
        )
    return Chart(bars=bars)


def shares(numbers: Sequence[tuple[str, int]]) -> Chart:
    """Return bars below each other, each as wide as its share of the total."""
    total = sum(number for _label, number in numbers) or 1
    bars = [
        Bar(label=label, number=number, width=_percent(100 * number / total))
        for label, number in numbers
    ]
    return Chart(bars=bars)


def _percent(value: float) -> str:
    # Formatted here, because templates would write a comma in some languages.
    return f"{value:.2f}%"
