"""The reference, read off the package: settings, checks, URLs and log lines."""

from __future__ import annotations

import ast
import logging
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import bff_sessions
from bff_sessions import checks, conf
from bff_sessions.conf.faults import FAULTS
from bff_sessions.conf.options import Option, Options
from bff_sessions.device.options import DeviceOptions
from bff_sessions.oidc.options.backchannel_logout import LogoutOptions
from bff_sessions.oidc.options.providers import ProviderOptions
from bff_sessions.oidc.options.signals import SignalsOptions
from bff_sessions.oidc.options.token_revocation import RevocationOptions
from bff_sessions.stores.redis.options import RedisOptions

PACKAGE = Path(bff_sessions.__file__).parent

# The settings whose dictionaries have options, and what stands between both names. After a dot: an
# option with options of its own.
OPTIONS: dict[str, tuple[type[Options], str]] = {
    "PROVIDERS": (ProviderOptions, "[…]"),
    "PROVIDERS.SIGNALS": (SignalsOptions, "[…]['SIGNALS']"),
    "BACKCHANNEL_LOGOUT": (LogoutOptions, ""),
    "TOKEN_REVOCATION": (RevocationOptions, ""),
    "DEVICE": (DeviceOptions, ""),
    "REDIS": (RedisOptions, ""),
}
# The pages that show how to use a setting.
PAGES = {
    "STORE": "../how-to/write-a-store.md",
    "ENCRYPTION_KEYS": "../how-to/rotate-keys.md",
    "IDENTITY_RESOLVER": "../explanation/identity.md",
    "CLAIMS_KEY": "../explanation/identity.md",
    "ATOMIC_KEYS": "../explanation/merging.md",
    "CACHED_STORE": "../how-to/cache.md",
    "CACHE": "../how-to/cache.md",
    "MAX_STALE": "../how-to/cache.md",
    "TAKE_OVER": "../how-to/move-here.md",
    "PROVIDERS": "../how-to/providers/index.md",
    "PROVIDERS.SIGNALS": "../how-to/shared-signals.md",
    "BACKCHANNEL_LOGOUT": "../how-to/back-channel-logout.md",
    "TOKENS": "../how-to/access-tokens.md",
    "ACCESS_TOKEN_MARGIN": "../how-to/access-tokens.md",
    "TOKEN_REVOCATION": "../how-to/access-tokens.md",
    "ENDPOINTS": "../how-to/single-page-application.md",
    "EVENTS_EVERY": "../how-to/open-pages.md",
    "EVENTS_NOTICES": "../how-to/open-pages.md",
    "EVENTS_THREADS": "../how-to/open-pages.md",
    "ANONYMOUS_STATUS": "../how-to/single-page-application.md",
    "USER_CLAIMS": "../how-to/single-page-application.md",
    "LOGIN_URL": "../how-to/single-page-application.md",
    "LOGIN_NEXT_PARAMETER": "../how-to/single-page-application.md",
    "DEVICE": "../how-to/my-sessions.md",
    "REDIS": "../how-to/redis.md",
}


# Settings


def describe(setting: str | None = None) -> str:
    """Return an entry for each setting, or for each option of one, in Markdown."""
    table = conf.SETTINGS if setting is None else OPTIONS[setting][0].table()
    prefix = "" if setting is None else f"{setting}."
    links = " · ".join(f"{{setting}}`{name} <{prefix}{name}>`" for name in table)
    return "\n\n".join([links, *[_describe(prefix, option) for option in table.values()]])


def _describe(prefix: str, option: Option) -> str:
    lines = [
        f"````{{setting}} {prefix}{option.name}",
        f"**Type:** {type_of(option)}  ",
        f"**Default:** `{default_of(option)}`",
        "",
        f"{_link_settings(option)}.",
    ]
    name = f"{prefix}{option.name}"
    if name in OPTIONS:
        lines += ["", f"Its options are [below](#options-{option.name.lower()})."]
    if name in PAGES:
        lines += ["", f"How to use it: [](<{PAGES[name]}>)."]
    return "\n".join([*lines, "````"])


def _link_settings(option: Option) -> str:
    """Return the meaning of `option`, with links to the settings that it names."""
    others = [name for name in conf.SETTINGS if name != option.name]
    return re.sub(rf"`({'|'.join(others)})`", r"{setting}`\1`", option.doc)


def default_of(option: Option) -> str:
    """Return the default as a settings module writes it."""
    return repr(option.default).replace("'", '"').removeprefix("datetime.")


def type_of(option: Option) -> str:
    """Return what a value must be, without the article."""
    article, _, rest = option.rule.must_be.partition(" ")
    return rest if article in ("a", "an", "the") else option.rule.must_be


# Checks


def check_rows() -> list[tuple[str, ...]]:
    """Return a row for each check: its id, what it may say, and its hints."""
    for module in pkgutil.iter_modules(checks.__path__):
        import_module(f"{checks.__name__}.{module.name}")
    rows: dict[str, dict[str, None]] = {}
    for check, text, hint in sorted([*_declared(), *_of_options()]):
        texts = rows.setdefault(check, {})
        texts |= {text: None}
        # The hint comes last, once.
        texts.pop(hint, None)
        texts[hint] = None
    return [(check, *texts) for check, texts in rows.items()]


def describe_checks() -> str:
    """Return an entry for each check, in Markdown: what it may say, and what to do."""
    entries = []
    for check, *texts, hint in check_rows():
        shown = "\n>\n".join(f"> {_escape(text)}" for text in texts)
        lines = [f"````{{check}} bff_sessions.{check}", shown, "", _escape(hint), "````"]
        entries.append("\n".join(lines))
    return "\n\n".join(entries)


def _escape(text: str) -> str:
    """Return `text` so that Markdown shows each character."""
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", text)


def _declared() -> Iterator[tuple[str, str, str]]:
    for fault in FAULTS.values():
        yield fault.id, _fill(fault.text), _fill(fault.hint)


def _of_options() -> Iterator[tuple[str, str, str]]:
    places = {conf.place_of(name): setting for name, setting in conf.SETTINGS.items()}
    for setting, (options, between) in OPTIONS.items():
        for name, option in options.table().items():
            place = conf.place_of(setting.partition(".")[0])
            places[f"{place}{between}[{name!r}]"] = option
    for place, option in places.items():
        value = "" if option.rule.is_secret else "; it is …"
        yield option.check, f"{place} must be {option.rule.must_be}{value}.", option.hint
        if option.import_check:
            yield option.import_check, f"{place} cannot be imported: … (…).", option.hint


def _fill(template: str) -> str:
    """Return the template with … for what is known only when it is written."""
    parts = Formatter().parse(template)
    text = "".join(text + ("" if name is None else "…") for text, name, _, _ in parts)
    return text.replace("….", "…")


# URLs


def url_rows() -> list[tuple[str, str, str, str]]:
    """Return a row for each URL: path, methods, name, and the first line of its view."""
    from bff_sessions import urls

    return [
        (
            re.sub(r"<\w+:(\w+)>", r"<\1>", str(pattern.pattern)),
            _methods_of(pattern),
            str(pattern.name),
            (pattern.callback.__doc__ or "").strip().partition("\n")[0],
        )
        for pattern in urls.urlpatterns
    ]


def _methods_of(pattern: Any) -> str:
    """Return the methods that the view allows, which it says in the answer to another one."""
    from django.test import RequestFactory

    kwargs = dict.fromkeys(pattern.pattern.converters, "x")
    # Django logs each 405.
    logger = logging.getLogger("django.request")
    logger.disabled = True
    response = pattern.callback(RequestFactory().generic("NONE", "/"), **kwargs)
    logger.disabled = False
    return ", ".join(each for each in response["Allow"].split(", ") if each != "HEAD")


# Loggers


class LogLine(NamedTuple):
    """A call that logs."""

    logger: str
    levels: tuple[str, ...]
    message: str


def log_lines() -> list[LogLine]:
    """Return what the package logs, each line once, by logger and level."""
    found: set[LogLine] = set()
    for path in PACKAGE.rglob("*.py"):
        tree = _parse(path)
        name = _logger_of(tree) or _logger_beside(path)
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= {LogLine(name or "?", *line) for line in _lines_of(function, tree)}
    severity = ["ERROR", "WARNING", "INFO", "DEBUG"]
    return sorted(found, key=lambda each: (each.logger, severity.index(each.levels[0]), each))


def logger_names() -> set[str]:
    """Return the names that the package passes to getLogger()."""
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    return set(re.findall(r"getLogger\(\s*\"([\w.]+)\"", text))


def describe_loggers() -> str:
    """Return an entry for each logger, in Markdown, with its levels and what it logs."""
    entries, found = [], log_lines()
    for name in sorted(logger_names()):
        lines = [line for line in found if line.logger == name]
        rows = [f"| {' or '.join(line.levels)} | {_escape(line.message)} |" for line in lines]
        table = "\n".join(["| Level | Message |", "| --- | --- |", *rows])
        entries.append(f"````{{logger}} {name}\n{table}\n````")
    return "\n\n".join(entries)


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _logger_of(tree: ast.Module) -> str | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and "getLogger" in ast.unparse(node.value):
            return str(ast.literal_eval(node.value.args[0]))  # type: ignore[attr-defined]
    return None


def _logger_beside(path: Path) -> str | None:
    """Return the logger of the package in `path`, whose helper the module calls."""
    names = {_logger_of(_parse(each)) for each in path.parent.glob("*.py")} - {None}
    return names.pop() if len(names) == 1 else None


def _lines_of(function: Any, tree: ast.Module) -> Iterator[tuple[tuple[str, ...], str]]:
    for call in ast.walk(function):
        if not isinstance(call, ast.Call):
            continue
        levels = _levels_of(call, function, tree)
        if levels:
            for text in _messages_of(call, tree):
                yield levels, re.sub(r"%(?:\(\w+\))?[a-z]", "…", text).replace("….", "…")


def _levels_of(call: ast.Call, function: Any, tree: ast.Module) -> tuple[str, ...]:
    """Return the levels at which `call` logs; none if it does not log."""
    if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "logger":
        if call.func.attr != "log":
            return (call.func.attr.replace("exception", "error").upper(),)
    elif not any("logging." in ast.unparse(each) for each in call.args) and not any(
        isinstance(each, ast.Name) and each.id == "level" for each in call.args
    ):
        return ()
    levels = [text for each in call.args for text in _levels_in(each)]
    if not levels:
        # A variable, which the function assigns, or a parameter, which its callers give.
        sources = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "level"
        ]
        sources += [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == function.name
        ]
        levels = [text for each in sources for text in _levels_in(each)]
    return tuple(dict.fromkeys(levels))


def _levels_in(node: ast.expr) -> list[str]:
    return re.findall(r"\blogging\.([A-Z]+)\b", ast.unparse(node))


def _messages_of(call: ast.Call, tree: ast.Module) -> Iterator[str]:
    for each in call.args:
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and " " in each.value:
            yield each.value
        elif isinstance(each, ast.Subscript) and isinstance(each.value, ast.Name):
            # A dictionary of messages.
            for node in tree.body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == each.value.id:
                    yield from ast.literal_eval(node.value).values()
