"""What an import loads: a store needs the contract, and nothing else."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def loaded_by(statement):
    """Return the names of all modules that `statement` loads, beyond those of asgiref."""
    program = (
        "import sys\n"
        "import asgiref.sync\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_package_loads_itself_only():
    loaded = loaded_by("import bff_sessions")
    assert [name for name in loaded if name.startswith("bff_sessions")] == ["bff_sessions"]
    assert not third_parties(loaded)


def test_contract_loads_itself_only():
    loaded = loaded_by("import bff_sessions.contract")
    ours = [name for name in loaded if name.startswith("bff_sessions")]
    assert [name for name in ours if not name.startswith("bff_sessions.contract")] == [
        "bff_sessions"
    ]
    assert len(ours) == 16
    assert not third_parties(loaded)


WAYS_IN = {
    "requests": [
        "from bff_sessions import get_access_token",
        "from bff_sessions import aget_access_token",
        "from bff_sessions.oidc.refresh.access_tokens import get_access_token",
        "import bff_sessions.oidc.transport.exchange",
        "import bff_sessions.oidc.logout.handling",
    ],
    "jwt": [
        "from bff_sessions import get_access_token",
        "import bff_sessions.oidc.providers.keys",
        "import bff_sessions.oidc.logout.tokens",
    ],
}


def run_without(packages, *statements):
    """Run `statements` in a project where `packages` are missing; return what they raise."""
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({packages!r}))\n"
        "import django; django.setup()\n"
        f"for statement in {statements!r}:\n"
        "    try:\n"
        "        exec(statement)\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("package", WAYS_IN)
def test_import_without_the_extra_says_which(package):
    text = f"The package '{package}' is not installed. Run pip install 'django-bff-sessions[oidc]'."
    assert run_without([package], *WAYS_IN[package]) == [text] * len(WAYS_IN[package])


def test_modules_that_promise_so_need_no_extra():
    promise = re.compile("imports? (no|an) optional dependency", re.IGNORECASE)
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in sorted((ROOT / "bff_sessions" / "oidc").rglob("*.py"))
        if promise.search(ast.get_docstring(ast.parse(path.read_text())))
    ]
    assert "bff_sessions.oidc.tokens.keeping" in modules
    assert run_without(["requests", "jwt"], *(f"import {module}" for module in modules)) == []


def test_import_of_the_factory_says_what_it_needs():
    (text,) = run_without(["factory"], "import bff_sessions.testing.factories")
    assert text == "The package factory-boy is not installed. Run pip install factory-boy."


def test_sign_in_needs_no_extra():
    assert run_without(["requests", "jwt"], "from bff_sessions import asign_in, sign_in") == []


def test_test_helpers_load_neither_pytest_nor_factory_boy():
    loaded = loaded_by("import bff_sessions.testing")
    assert third_parties(loaded).isdisjoint({"pytest", "_pytest", "factory"})


def third_parties(names):
    tops = {name.partition(".")[0] for name in names}
    return tops - sys.stdlib_module_names - {"bff_sessions", "asgiref"}


@pytest.mark.parametrize(
    "name",
    [
        "Identity",
        "abind_identity",
        "aget_access_token",
        "asign_in",
        "bind_identity",
        "get_access_token",
        "sign_in",
    ],
)
def test_public_names_are_importable_from_the_package(name):
    import bff_sessions

    assert name in dir(bff_sessions)
    assert getattr(bff_sessions, name).__name__ == name


def test_unknown_name_of_the_package_is_an_attribute_error():
    import bff_sessions

    with pytest.raises(AttributeError, match="nothing"):
        _ = bff_sessions.nothing
