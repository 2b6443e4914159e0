"""The reference of settings and checks, as the documentation reads it off the package."""

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[2] / "docs" / "_ext" / "reference.py"
_SPEC = importlib.util.spec_from_file_location("reference", _PATH)
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)
