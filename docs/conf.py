"""Sphinx settings of the documentation: ``tox run -e docs``."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

import bff_sessions  # noqa: E402

project = "django-bff-sessions"
author = copyright = "the authors of django-bff-sessions"
release = version = bff_sessions.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "package", "layers"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext"]
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
smartquotes = False
html_theme = "furo"
html_title = project
