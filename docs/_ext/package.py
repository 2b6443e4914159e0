"""Directives that generate the reference from the package, so that it is never out of date."""

from __future__ import annotations

from typing import Any

import reference
from django.core.management import load_command_class
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from bff_sessions import conf


class SystemChecks(Directive):
    """A table of the check ids with message and hint."""

    def run(self) -> list[nodes.Node]:
        return [_table(("Id", "Says"), reference.check_rows())]


class Settings(Directive):
    """A table of the settings, or of the options of one, with type, default and meaning."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        table = conf.SETTINGS
        if self.arguments:
            table = reference.OPTIONS[self.arguments[0]][0].table()
        entries = nodes.container()
        lines = reference.describe(table).splitlines()
        self.state.nested_parse(StringList(lines, "reference"), 0, entries)
        return entries.children


class CommandHelp(Directive):
    """A table of the options that ``manage.py COMMAND --help`` lists."""

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


def _table(heads: tuple[str, str], rows: list[tuple[str, ...]]) -> nodes.table:
    """Return a table whose first column is code, and whose second column has paragraphs."""
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
    app.add_directive("settings", Settings)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
