"""Test modules share helpers through tests/support, never through each other."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def imported(path):
    """Yield the modules that `path` imports, also those that it imports a name from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_test_module(name):
    parts = name.split(".")
    is_ours = parts[0] in ("", "tests")
    return is_ours and any(part.startswith("test_") or part == "conftest" for part in parts)


def test_no_module_imports_a_test_module():
    found = {
        (str(path.relative_to(TESTS)), name)
        for path in TESTS.rglob("*.py")
        for name in imported(path)
        if is_test_module(name)
    }
    assert found == set()


def test_import_of_a_test_module_is_found(tmp_path):
    module = tmp_path / "test_a.py"
    module.write_text("from tests.unit.test_b import c\nfrom .conftest import d\nimport tests.urls")
    assert [is_test_module(name) for name in imported(module)] == [True, True, False]
