"""Which module may import what, beside the contracts that lint-imports checks (.importlinter)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bff_sessions"
PAGE = ROOT / "docs" / "contributing" / "layers.md"
# Public although they begin with an underscore: documented by Django and by collections.
DOCUMENTED = {"_meta", "_base_manager", "_default_manager", "_replace"}
# The type that hashlib's functions return has no other name.
DOCUMENTED.add("_Hash")


@cache
def modules():
    """Return the syntax tree of each module by its path."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
        if "migrations" not in path.parts
    }


def imported_by(node):
    """Return the modules that an import statement names."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module} if isinstance(node, ast.ImportFrom) else set()


def rows_under(heading):
    """Return the first two columns of the table on the page of layers, without the heads."""
    _, found, section = PAGE.read_text().partition(f"\n## {heading}\n")
    assert found, heading
    section = section.partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \|", section, re.MULTILINE)
    assert rows
    return rows


def test_late_imports_are_those_that_the_page_explains():
    late = {
        (path, name)
        for path, tree in modules().items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        for name in imported_by(node)
    }
    explained = {
        (path, name)
        for path, names in rows_under("Imports inside functions")
        for name in re.findall("`([^`]+)`", names)
    }
    assert late == explained


def test_modules_that_use_the_orm_are_those_that_the_page_explains():
    using = {
        path
        for path, tree in modules().items()
        if any(
            name == "django.db" or name.startswith("django.db.")
            for node in ast.walk(tree)
            for name in imported_by(node)
        )
    }
    explained = [path for path, _ in rows_under("Modules that use django.db")]
    files = {path for path in using for place in explained if path.startswith(place)}
    assert using == files
    for place in explained:
        assert any(path.startswith(place) for path in using), place


def test_private_names_of_others_are_used_in_compat_only():
    trees = modules()
    own = {
        name
        for tree in trees.values()
        for node in ast.walk(tree)
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else [node.attr]
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            else [node.id]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else [node.target.id]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            else []
        )
    }
    foreign = {
        (path, node.attr)
        for path, tree in trees.items()
        if not path.startswith("_compat/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        if re.match("_[^_]", node.attr) and node.attr not in own | DOCUMENTED
    }
    assert foreign == set()


@pytest.mark.parametrize(
    "module",
    [
        "django.db.models.sql",
        "django.db.backends.utils",
        "django.db.backends.postgresql",
        "django.core.cache.backends.redis",
    ],
)
def test_undocumented_modules_are_imported_in_compat_only(module):
    using = {
        path
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if module in imported_by(node)
    }
    assert using
    assert all(path.startswith("_compat/") for path in using)
