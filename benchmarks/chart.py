"""The chart: one bar for each ratio, as SVG that is readable without colour and in dark mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.engines import BASE, OURS
from benchmarks.rounds import Result

__all__ = ["draw"]

# Each engine has a filling of its own, so that colour has no meaning.
_FILLS = {
    OURS: "ours",
    "contrib cached_db": "url(#lines)",
    "qsessions": "url(#dots)",
    "user-sessions": "none",
}
_FLOOR = "raw driver"
_LONGEST = 2.0  # A longer bar is cut, and an arrow beside its number shows that.
_BAR, _GAP, _TOP = 11, 12, 78
_LABELS, _PANEL, _UNIT = 140, 270, 100  # Widths of the names, of a database and of a ratio of 1.

_STYLE = """
svg { --ink: #1f2328; --paper: #ffffff; --weak: #8c959f; --strong: #2f81f7 }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e6edf3; --paper: #0d1117; --weak: #7d8590; --strong: #58a6ff }
}
text {
  font: 11px system-ui, sans-serif; fill: var(--ink);
  paint-order: stroke; stroke: var(--paper); stroke-width: 3
}
.head { font-weight: 600; font-size: 13px }
.bar { stroke: var(--weak); stroke-width: 1 }
.ours { fill: var(--strong); stroke: var(--strong) }
.ours + text { font-weight: 700 }
.base { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 2 }
.floor { stroke: var(--ink); stroke-width: 2.5 }
.line { stroke: var(--weak); stroke-width: 2 }
.dot { fill: var(--weak) }
"""


def draw(results: Sequence[Result]) -> str:
    """Return the chart of `results` as SVG."""
    ratios = {(r.database, r.operation, r.contestant): r.ratio for r in results}
    databases = list(dict.fromkeys(r.database for r in results))
    engines = [name for name in _FILLS if any(r.contestant == name for r in results)]
    names = dict.fromkeys(r.operation for r in results)
    # Without the asynchronous twins, which have nearly the same ratios.
    operations = [name for name in names if name[1:] not in names]
    group = _BAR * len(engines) + _GAP
    width, height = _LABELS + _PANEL * len(databases), _TOP + group * len(operations) + 8
    parts = [*_legend(engines)]
    for row, operation in enumerate(operations):
        middle = _TOP + row * group + _BAR * len(engines) / 2 + 4
        parts.append(_text(_LABELS - 12, middle, operation, 'text-anchor="end"'))
    for column, database in enumerate(databases):
        left = _LABELS + column * _PANEL
        parts.append(_text(left, _TOP - 18, database, 'class="head"'))
        parts.append(_line(left + _UNIT, _TOP - 12, height - 8, "base"))
        for row, operation in enumerate(operations):
            top = _TOP + row * group
            for index, engine in enumerate(engines):
                if (ratio := ratios.get((database, operation, engine))) is not None:
                    parts += _bar(left, top + index * _BAR, engine, ratio)
            if (floor := ratios.get((database, operation, _FLOOR))) is not None:
                parts.append(_line(left + floor * _UNIT, top - 2, top + _BAR + 1, "floor"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        f"<title>Time of each session engine, as a ratio to {BASE}</title>\n"
        f"<style>{_STYLE}</style>\n"
        '<defs><pattern id="lines" width="5" height="5" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path d="M0 0V5" class="line"/></pattern>'
        '<pattern id="dots" width="4" height="4" patternUnits="userSpaceOnUse">'
        '<circle cx="2" cy="2" r="1" class="dot"/></pattern></defs>\n'
        f'<rect width="{width}" height="{height}" style="fill: var(--paper)"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _legend(engines: Sequence[str]) -> Iterator[str]:
    title = f"Time relative to {BASE}, the dashed line; shorter is faster"
    yield _text(12, 20, title, 'class="head"')
    x = 12.0
    for engine in engines:
        yield _rect(x, 29, 22, engine)
        yield _text(x + 28, 38, engine)
        x += 48 + 6.5 * len(engine)
    yield _line(x + 4, 27, 40, "floor")
    yield _text(x + 12, 38, f"{_FLOOR}: the floor of {OURS}")


def _bar(left: float, top: float, engine: str, ratio: float) -> Iterator[str]:
    length = min(ratio, _LONGEST) * _UNIT
    yield _rect(left, top, length, engine)
    cut = " \N{RIGHTWARDS ARROW}" if ratio > _LONGEST else ""
    yield _text(left + length + 4, top + 9, f"{ratio:.2f}{cut}")


def _rect(x: float, y: float, width: float, engine: str) -> str:
    fill = _FILLS[engine]
    look = 'class="bar ours"' if fill == "ours" else f'class="bar" fill="{fill}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR - 2}" {look}/>'


def _line(x: float, top: float, bottom: float, kind: str) -> str:
    return f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" class="{kind}"/>'


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'
