"""Directives that read the reference off the package, so that it cannot be out of date."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from django.core.management import load_command_class
from docutils import nodes
from docutils.parsers.rst import Directive

import bff_sessions

PACKAGE = Path(bff_sessions.__file__).parent


class SystemChecks(Directive):
    """A table of the ids, with what they say."""

    def run(self) -> list[nodes.Node]:
        found: dict[str, tuple[str, str]] = {}
        for path in sorted(PACKAGE.rglob("*.py")):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call) and (check := _check_of(call)):
                    for check_id in check[0]:
                        found.setdefault(check_id, check[1:])
        return [_table(("Id", "Says"), [(i, *found[i]) for i in sorted(found)])]


class CommandHelp(Directive):
    """What ``manage.py COMMAND --help`` says of its own options."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, *verb = self.arguments
        command = load_command_class("bff_sessions", name)
        parser: Any = command.create_parser("manage.py", name)
        if verb:
            parser = parser._subparsers._group_actions[0].choices[verb[0]]
        # Options that every command of Django's has are not listed again.
        parser.prog = " ".join(["manage.py", name, *verb])
        known = {"--version", "--settings", "--pythonpath", "--traceback", "--no-color"}
        known |= {"--force-color", "--skip-checks", "--verbosity", "-h"}
        rows = [
            (", ".join(action.option_strings) + _value_of(action), action.help or "")
            for action in parser._actions
            if action.option_strings and not known & set(action.option_strings)
        ]
        return [_table(("Option", "Meaning"), rows)] if rows else []


def _value_of(action: Any) -> str:
    return f" {action.metavar}" if action.metavar else ""


def _check_of(call: ast.Call) -> tuple[list[str], str, str] | None:
    if getattr(call.func, "id", "") not in ("Error", "Warning"):
        return None
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if "id" not in keywords:
        return None
    ids = [n.value for n in ast.walk(keywords["id"]) if isinstance(n, ast.Constant)]
    message = call.args[0] if call.args else keywords["msg"]
    hint = keywords.get("hint")
    return [str(i) for i in ids], _text(message), _text(hint) if hint else ""


def _text(node: ast.expr) -> str:
    """A message, with ... for what is known only when it is written."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = [str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values]
        return "".join(parts)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} {_text(node.orelse)}".strip()
    return ""  # An error's own text, which the hint explains.


def _table(heads: tuple[str, str], rows: list[tuple[str, ...]]) -> nodes.table:
    """A row's first text is code; the others are paragraphs of the second column."""
    group = nodes.tgroup(cols=2)
    group += [nodes.colspec(colwidth=1), nodes.colspec(colwidth=3)]
    group += nodes.thead("", nodes.row("", *[_entry(nodes.Text(head)) for head in heads]))
    group += nodes.tbody(
        "",
        *[
            nodes.row("", _entry(nodes.literal("", code)), _entry(*map(nodes.Text, texts)))
            for code, *texts in rows
        ],
    )
    return nodes.table("", group)


def _entry(*texts: nodes.Node) -> nodes.entry:
    return nodes.entry("", *[nodes.paragraph("", "", text) for text in texts if text.astext()])


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("system-checks", SystemChecks)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
