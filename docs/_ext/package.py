"""Directives that generate the reference from the package, so that it is never out of date."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import reference
from django.core.management import load_command_class
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.util import logging

# Every public name of these is in the reference, or among those that only the package uses.
PUBLIC = [
    "bff_sessions",
    "bff_sessions.claims",
    "bff_sessions.contract",
    "bff_sessions.exceptions",
    "bff_sessions.identity",
    "bff_sessions.middleware",
    "bff_sessions.oidc.tokens",
    "bff_sessions.revocation",
    "bff_sessions.signals",
    "bff_sessions.stores",
    "bff_sessions.testing",
]
INTERNAL = {
    "bff_sessions.__version__",
    "bff_sessions.claims.session_user",
    "bff_sessions.claims.stored_claims",
    "bff_sessions.contract.MOVED",
    "bff_sessions.contract.bound_values",
    "bff_sessions.contract.is_moment",
    "bff_sessions.contract.is_within_lifetime",
    "bff_sessions.identity.ANONYMOUS",
    "bff_sessions.identity.AUTH_USER_ID",
    "bff_sessions.identity.begins_sign_in",
    "bff_sessions.identity.has_several_sources",
    "bff_sessions.identity.identify",
    "bff_sessions.identity.is_claims_key",
    "bff_sessions.identity.is_claims_source",
    "bff_sessions.identity.older_claims",
    "bff_sessions.identity.sign_in_part",
    "bff_sessions.oidc.tokens.read_tokens",
    "bff_sessions.oidc.tokens.tokens_of",
    "bff_sessions.revocation.areplace_session",
    "bff_sessions.revocation.replace_session",
    "bff_sessions.stores.database_of_store",
    "bff_sessions.stores.load_store_class",
}
# Options that every command of Django's has are not listed again.
OF_DJANGO = {"--version", "--settings", "--pythonpath", "--traceback", "--no-color"}
OF_DJANGO |= {"--force-color", "--skip-checks", "--verbosity", "-h"}

logger = logging.getLogger(__name__)


class _Generated(Directive):
    """Markdown that the package generates."""

    optional_arguments = 1

    def source(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        entries = nodes.container()
        lines = StringList(self.source().splitlines(), "reference")
        self.state.nested_parse(lines, 0, entries)
        return entries.children


class SystemChecks(_Generated):
    """An entry for each check: what it may say, and what to do."""

    def source(self) -> str:
        return reference.describe_checks()


class Settings(_Generated):
    """An entry for each setting, or for each option of one, with type, default and meaning."""

    def source(self) -> str:
        return reference.describe(*self.arguments)


class Loggers(_Generated):
    """An entry for each logger, with what it logs."""

    def source(self) -> str:
        return reference.describe_loggers()


class Urls(Directive):
    """A table of the URLs."""

    def run(self) -> list[nodes.Node]:
        heads = ("Path", "Methods", "Name", "Does")
        return [_table(heads, (3, 1, 4, 5), reference.url_rows(), codes={0, 2})]


class CommandHelp(Directive):
    """The summary of a command, and a table of its own options: `manage.py COMMAND --help`."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, *verb = self.arguments
        command = load_command_class("bff_sessions", name)
        parser: Any = command.create_parser("manage.py", name)
        summary = command.help
        if verb:
            group = parser._subparsers._group_actions[0]
            summary = next(each.help for each in group._choices_actions if each.dest == verb[0])
            parser = group.choices[verb[0]]
        rows = [
            (", ".join(action.option_strings) + _value_of(action), action.help or "")
            for action in parser._actions
            if action.option_strings and not OF_DJANGO & set(action.option_strings)
        ]
        table = [_table(("Option", "Meaning"), (1, 3), rows, codes={0})] if rows else []
        return [nodes.paragraph("", "", nodes.Text(summary or "")), *table]


def _value_of(action: Any) -> str:
    return f" {action.metavar}" if action.metavar else ""


def _table(
    heads: tuple[str, ...],
    widths: tuple[int, ...],
    rows: list[Any],
    *,
    codes: set[int],
) -> nodes.table:
    """Return a table whose columns `codes` are code."""
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", nodes.row("", *[_entry(nodes.Text(head)) for head in heads]))
    body = nodes.tbody()
    for row in rows:
        cells = [
            _entry(nodes.literal("", text) if column in codes else nodes.Text(text))
            for column, text in enumerate(row)
        ]
        body += nodes.row("", *cells)
    group += body
    return nodes.table("", group)


def _entry(text: nodes.Node) -> nodes.entry:
    return nodes.entry("", *[nodes.paragraph("", "", text)] if text.astext() else [])


def _parse_setting(env: Any, signature: str, node: Any) -> str:
    """Show the option ``PROVIDERS.CLIENT_ID`` as ``CLIENT_ID``."""
    node += addnodes.desc_name("", signature.rpartition(".")[2])
    return signature


def _find_undocumented(app: Any, env: Any) -> None:
    """Warn of public names that the reference does not have."""
    found = env.get_domain("py").objects
    for module in PUBLIC:
        for name in _public_names(import_module(module)):
            full = f"{module}.{name}"
            if full not in INTERNAL and not any(each.rpartition(".")[2] == name for each in found):
                logger.warning("The reference does not have %s.", full)


def _public_names(module: Any) -> list[str]:
    """Return the names in `__all__`, or else the classes and functions of `module`."""
    defined = [
        name
        for name, value in vars(module).items()
        if name[0] != "_" and callable(value) and value.__module__ == module.__name__
    ]
    return getattr(module, "__all__", defined)


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("system-checks", SystemChecks)
    app.add_directive("settings", Settings)
    app.add_directive("loggers", Loggers)
    app.add_directive("urls", Urls)
    app.add_directive("command-help", CommandHelp)
    app.add_object_type(
        "setting", "setting", "single: %s; setting", _parse_setting, objname="setting"
    )
    app.add_object_type("check", "check", "single: %s; system check", objname="system check")
    app.add_object_type("logger", "logger", "single: %s; logger", objname="logger")
    app.connect("env-check-consistency", _find_undocumented)
    return {"parallel_read_safe": True}
