"""What an import loads: a store needs the contract, and nothing else."""

import os
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
    assert len(ours) == 12
    assert not third_parties(loaded)


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
