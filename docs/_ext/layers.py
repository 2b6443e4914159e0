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


def read_layers(contract: str) -> tuple[str, list[list[str]]]:
    """Return the package of a contract, and its modules in each layer from top to bottom."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    section = contracts[f"importlinter:{contract}"]
    lines = section["layers"].split("\n")
    layers = [[name.strip() for name in line.split("|")] for line in lines if line.strip()]
    return section["containers"], layers


def read_imports(package: str) -> dict[str, set[str]]:
    """Return what each module or package right in `package` imports of the others."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    tops = {name.removeprefix(f"{package}."): name for name in graph.find_children(package)}
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


def draw(package: str, layers: list[list[str]], imports: dict[str, set[str]]) -> str:
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
                f'x2="{to_x + to_width / 2:.0f}" y2="{to_y:.0f}" marker-end="url(#{package})"/>'
            )
    for name, (x, y, width) in boxes.items():
        shapes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="4"/>'
            f'<text x="{x + width / 2:.0f}" y="{y + 20:.0f}">{name}</text>'
        )
    height = len(layers) * ROW - (ROW - BOX) + 16
    label = f"Layers of {package}, and a line from each module to what it imports"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {height}" width="100%">'
        "<style>.layers line{stroke:currentColor;opacity:.45}"
        ".layers rect{fill:var(--color-background-secondary,#eee);stroke:currentColor}"
        ".layers text{fill:currentColor;font:14px monospace;text-anchor:middle}</style>"
        f'<defs><marker id="{package}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="currentColor"/></marker>'
        f'</defs><g class="layers">{"".join(shapes)}</g></svg>'
    )


class Layers(Directive):
    """The picture of the layers in a contract of .importlinter."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package, layers = read_layers(*self.arguments)
        return [nodes.raw("", draw(package, layers, read_imports(package)), format="html")]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("layers", Layers)
    return {"parallel_read_safe": True}
