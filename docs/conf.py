"""Sphinx settings of the documentation: ``tox run -e docs``."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

from sphinx.ext.napoleon.docstring import GoogleDocstring  # noqa: E402

import bff_sessions  # noqa: E402

project = "django-bff-sessions"
author = copyright = "the authors of django-bff-sessions"
release = version = bff_sessions.__version__
REPOSITORY = "https://github.com/django-bff-sessions/django-bff-sessions"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "package",
    "layers",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext"]
smartquotes = False

autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
# The text of an attribute is a sentence: what stands before a colon is not its type.
GoogleDocstring._parse_attribute_docstring = GoogleDocstring._consume_to_end

# Python's and Django's own documentation is elsewhere, and not read for this.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|contextlib|datetime|django|typing)\..*"),
    (
        r"py:.*",
        r"(CreateError|SettingInvalid|ImproperlyConfigured|PermissionDenied|SessionInterrupted"
        r"|UpdateError|datetime)",
    ),
    # Private types in signatures.
    (r"py:.*", r"bff_sessions\..*\._\w+"),
    (r"py:.*", r"bff_sessions\.sansio\..*"),
]

copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}
