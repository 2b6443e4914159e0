"""Every example of README.md and docs/, checked by its kind: a new page is checked, too."""

import argparse
import ast
import configparser
import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import django
import pytest
from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.core.management import get_commands, load_command_class
from django.template import Engine

from bff_sessions import conf
from bff_sessions.conf.rules import SettingNotImportable
from bff_sessions.contract import UserSessionStore
from bff_sessions.models import Session
from bff_sessions.oidc.registrations.registration import clients_of, find_faults
from tests.support.examples import PAGES, ROOT, examples, name_of
from tests.support.reference import reference
from tests.support.telemetry import instrument_names

EXAMPLES = [example for page in PAGES for example in examples(page)]
LANGUAGES = {"", "console", "python", "pycon", "html+django", "js", "json", "toml", "ini", "text"}
LANGUAGES |= {"yaml", "nginx", "dockerfile", "apache", "caddy", "http", "diff", "sql", "html"}
# Modules that the oldest supported Django does not have.
SINCE = {"django.tasks": (6, 0)}
SAMPLE = ROOT / "sample_project" / "management" / "commands"
EXTRAS = set(re.findall(r"(?m)^(\w+) = *$", (ROOT / "setup.cfg").read_text()))


def written_in(language):
    found = [example for example in EXAMPLES if example.language == language]
    return pytest.mark.parametrize("example", found, ids=str)


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@each_page
def test_examples_name_their_language(page):
    assert {example.language for example in examples(page)} <= LANGUAGES


@written_in("python")
def test_python_compiles_and_imports_names_that_exist(example):
    tree = ast.parse(example.text, str(example))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_installed(node.module):
            for alias in node.names:
                assert _resolves(f"{node.module}.{alias.name}"), f"{example}: {alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert not _is_installed(alias.name) or _resolves(alias.name)


def _is_installed(module):
    """Return whether the examples' library is here; those of your own project are not."""
    is_newer = SINCE.get(module, ()) > django.VERSION
    found = find_spec(module.partition(".")[0])
    if found is not None and found.origin is None:
        # A namespace, which has parts of several packages.
        found = _find(module)
    return found is not None and not is_newer


def _find(module):
    try:
        return find_spec(module)
    except ModuleNotFoundError:
        return None


def _resolves(name):
    """Return whether `name` is a module, or an attribute of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        try:
            value = import_module(module)
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or "?"):
                return True  # It exists, and needs a library that is not here.
            continue
        except Exception:  # It exists, and needs an app that is not installed.
            return True
        for attribute in parts[end:]:
            if not hasattr(value, attribute):
                return attribute in getattr(value, "__annotations__", {})
            value = getattr(value, attribute)
        return True
    return False


@written_in("python")
def test_settings_are_valid(example):
    if not _is_settings(example):
        return
    names = {
        "env": lambda name, **options: f"the value of the variable {name} is long",
        "BASE_DIR": Path(),
    }
    namespace = example.run(
        SECRET_KEY="a secret that is long enough for a key", DATABASES={"default": {}}, **names
    )
    faults = list(_find_faults(namespace.get("BFF_SESSIONS", {})))
    assert faults == [], example


def _is_settings(example):
    """Return whether the example assigns settings of Django's, and does nothing else."""
    statements = ast.parse(example.text).body
    assigned = [node for node in statements if isinstance(node, ast.Assign)]
    imported = [node for node in statements if isinstance(node, ast.ImportFrom)]
    targets = [getattr(target, "id", "") for node in assigned for target in node.targets]
    return (
        len(assigned) + len(imported) == len(statements)
        and any(target.isupper() for target in targets)
        and all(_is_installed(node.module) for node in imported)
    )


def _find_faults(given):
    for name, value in given.items():
        assert name in conf.SETTINGS
        yield from _faults_of(conf.SETTINGS[name], name, value)
        for each in _clients(value) if name == "PROVIDERS" else [value]:
            yield from _faults_in(name, each)


def _faults_in(name, given):
    """Yield the faults of a dictionary with options, and of those in it."""
    options, _ = reference.OPTIONS.get(name, (None, None))
    if options is not None and given is not None:
        assert given.keys() <= options.table().keys()
        for key, value in given.items():
            yield from _faults_of(options.table()[key], key, value)
            yield from _faults_in(f"{name}.{key}", value)


def _clients(providers):
    listed = providers.items() if isinstance(providers, dict) else ()  # Or a callable returns them.
    for issuer, given in listed:
        # A path in the reader's project is an example.
        faults = [each.msg for each in find_faults(issuer, given)]
        assert [fault for fault in faults if "cannot be imported" not in fault] == []
        yield from clients_of(given)


def _faults_of(option, name, value):
    try:
        option.rule.check(name, value)
    except SettingNotImportable as error:
        # A path in the reader's project is an example.
        if value.startswith("bff_sessions."):
            yield error
    except ValueError as error:
        yield error


@each_page
def test_settings_and_options_in_text_exist(page):
    options = {"PROVIDERS", *chain(*[kind.table() for kind, _ in reference.OPTIONS.values()])}
    for name in re.findall(r"""BFF_SESSIONS\[["'](\w+)["']\]""", page.read_text()):
        assert name in conf.SETTINGS
    for name in re.findall(r"""PROVIDERS\[[^\]]+\]\[["'](\w+)["']\]""", page.read_text()):
        assert name in options


@each_page
def test_dotted_names_exist(page):
    text = re.sub(r"(?:https?://|\./|\w+/)\S+|\S+/\S*", "", page.read_text())
    if page.parent.name == "contributing":
        # A walk-through names what it adds.
        return
    for name in set(re.findall(r"(?<![\w.-])bff_sessions(?:\.\w+)+", text)):
        assert name in _other_names() or _resolves(name), f"{name_of(page)}: {name}"


@cache
def _other_names():
    """Return the dotted names that are no Python: checks, loggers, permissions, labels."""
    permissions = {codename for codename, _ in Session._meta.permissions}
    permissions |= {get_permission_codename(each, Session._meta) for each in ("view", "delete")}
    source = "".join(path.read_text() for path in (ROOT / "bff_sessions").rglob("*.py"))
    return (
        {f"bff_sessions.{one}" for one in permissions}
        | {f"bff_sessions.{row[0]}" for row in reference.check_rows()}
        | set(re.findall(r'getLogger\("([\w.]+)"\)', source))
        | instrument_names()
        | {f"bff_sessions.store.{verb}" for verb in dir(UserSessionStore)}
        | {"bff_sessions.provider.request"}
        | {model._meta.label for model in apps.get_app_config("bff_sessions").get_models()}
    )


@each_page
def test_commands_and_their_options_exist(page):
    # A list of arguments, as containers are given one, reads like a line.
    text = re.sub(r"""["'], *["']""", " ", page.read_text())
    text = text.replace("\\\n", " ")
    for line in re.findall(r"manage\.py +([a-z_]+\b[^`\n\]]*)", text):
        _check(*_words(line))


def _words(line):
    """Return the words of a command line, up to what the shell does with it."""
    line = re.split(r"&&|\|\||[|;>#\"]|\.\.\.|…| \(", line)[0]
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()[:1]


def _check(name, *arguments):
    """Check the command `name` with the options that it is given, and its verb if it has verbs."""
    commands = get_commands()
    options = {one.partition("=")[0] for one in arguments if one.startswith("-")}
    if (SAMPLE / f"{name}.py").exists():
        # Importing it needs the settings of the sample.
        source = (SAMPLE / f"{name}.py").read_text()
        assert all(f'"{option}"' in source for option in options), (name, arguments)
        return
    if name not in commands:
        # Of another library; the commands of this package have these words in their names.
        assert not re.search("session|token|provider", name), name
        return
    parser = load_command_class(commands[name], name).create_parser("manage.py", name)
    assert options <= _options_of(parser), (name, arguments)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and arguments:
            assert arguments[0] in action.choices, (name, arguments)


def _options_of(parser):
    """Return the options of `parser` and of the parsers below it."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                found |= _options_of(one)
    return found


@each_page
def test_extras_exist(page):
    text = page.read_text()
    named = re.findall(r"(?:django-bff-sessions|-e '\.|['\"]\.)\[([\w,]+)\]", text)
    assert {extra for names in named for extra in names.split(",")} <= EXTRAS


@each_page
def test_environments_of_tox_exist(page):
    written = (ROOT / "tox.ini").read_text()
    for names in re.findall(r"tox (?:run )?-e ([\w,-]+)", page.read_text()):
        for name in names.split(","):
            assert f"[testenv:{name}]" in written or name.startswith("py3"), name


@pytest.mark.parametrize(
    ("language", "read"),
    [
        ("json", json.loads),
        ("toml", tomllib.loads),
        ("ini", lambda text: configparser.RawConfigParser(strict=False).read_string(text)),
        ("html+django", lambda text: Engine(libraries=_template_libraries()).from_string(text)),
    ],
)
def test_other_examples_are_well_formed(language, read):
    for example in EXAMPLES:
        if example.language == language:
            read(example.text)


def _template_libraries() -> Mapping[str, str]:
    return {
        "bff_sessions": "bff_sessions.templatetags.bff_sessions",
        "static": "django.templatetags.static",
        "i18n": "django.templatetags.i18n",
        "tz": "django.templatetags.tz",
    }
