"""Draws the layers of the package from its imports, and from the contract in .importlinter."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import grimp
from docutils import nodes
from docutils.parsers.rst import Directive

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "bff_sessions"
WIDTH, ROW, BOX, GAP = 860, 74, 30, 18
# Pixels of one letter.
LETTER = 8.4


def read_layers() -> list[list[str]]:
    """Return the modules of each layer of the contract, from top to bottom."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    lines = contract["importlinter:layers"]["layers"].split("\n")
    return [[name.strip() for name in line.split("|")] for line in lines if line.strip()]


def read_imports() -> dict[str, set[str]]:
    """Return what each module or package of the first level imports of the others."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    tops = {name.removeprefix(f"{PACKAGE}."): name for name in graph.find_children(PACKAGE)}
    for name in tops.values():
        graph.squash_module(name)
    known = {name: top for top, name in tops.items()}
    return {
        top: {known[n] for n in graph.find_modules_directly_imported_by(name) if n in known} - {top}
        for top, name in tops.items()
    }


def without_detours(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports without those that follow from others."""
    below: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in below:
            below[name] = imports[name].union(*map(reach, imports[name]))
        return below[name]

    return {
        name: {one for one in found if not any(one in reach(other) for other in found)}
        for name, found in imports.items()
    }


def draw(layers: list[list[str]], imports: dict[str, set[str]]) -> str:
    """Return the picture as SVG: a row of boxes for each layer, and a line for each import."""
    boxes: dict[str, tuple[float, float, float]] = {}
    for row, names in enumerate(layers):
        widths = [len(name) * LETTER + 20 for name in names]
        left = (WIDTH - sum(widths) - GAP * (len(names) - 1)) / 2
        for name, width in zip(names, widths, strict=True):
            boxes[name] = left, row * ROW + 8, width
            left += width + GAP
    shapes = []
    for name, found in sorted(without_detours(imports).items()):
        x, y, width = boxes[name]
        for other in sorted(found):
            to_x, to_y, to_width = boxes[other]
            shapes.append(
                f'<line x1="{x + width / 2:.0f}" y1="{y + BOX:.0f}" '
                f'x2="{to_x + to_width / 2:.0f}" y2="{to_y:.0f}" marker-end="url(#down)"/>'
            )
    for name, (x, y, width) in boxes.items():
        shapes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="4"/>'
            f'<text x="{x + width / 2:.0f}" y="{y + 20:.0f}">{name}</text>'
        )
    height = len(layers) * ROW - (ROW - BOX) + 16
    label = "Layers of bff_sessions, and a line from each module to what it imports"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {height}" width="100%">'
        "<style>.layers line{stroke:currentColor;opacity:.45}"
        ".layers rect{fill:var(--color-background-secondary,#eee);stroke:currentColor}"
        ".layers text{fill:currentColor;font:14px monospace;text-anchor:middle}</style>"
        '<defs><marker id="down" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="currentColor"/></marker>'
        f'</defs><g class="layers">{"".join(shapes)}</g></svg>'
    )


class Layers(Directive):
    """The picture of the layers."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", draw(read_layers(), read_imports()), format="html")]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("layers", Layers)
    return {"parallel_read_safe": True}
