"""Run Django's own session tests, unmodified, against the engine.

    tox run -e conformance-django52,conformance-django60,conformance-django61

Downloads the source distribution of the installed Django from the package index and subclasses
`SessionTestsMixin` (with USE_TZ on and off) and `SessionMiddlewareTests` of its
tests/sessions_tests/tests.py.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django


def download_tests(folder: Path) -> Path:
    """Unpack the source distribution of the running Django; its folder of tests."""
    requirement = f"django=={django.__version__}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # `:all:` would build pip's own build requirements from source too.
    command = [*pip, "--no-binary", "django", "--dest", str(folder), requirement]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (tests,) = folder.glob("*/tests")
    return tests


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, str(download_tests(Path(folder))))
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.conformance.settings"
        from django.core.management import execute_from_command_line

        arguments = ["manage.py", "test", "tests.conformance.suite", "--noinput", *sys.argv[1:]]
        execute_from_command_line(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
