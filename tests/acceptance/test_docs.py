"""The Python examples of docs/ run, or at least compile."""

import re
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def examples(page):
    return re.findall(r"^ *```python\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_are_python(page):
    for example in examples(page):
        compile(re.sub(r"(?m)^   ", "", example) if example[0] == " " else example, page, "exec")


# The tests of docs/how-to/test-your-project.md, which pytest finds as if they were written here.
_PROJECT = {"__name__": __name__}
for _example in examples(ROOT / "docs" / "how-to" / "test-your-project.md")[:2]:
    exec(_example, _PROJECT)
SignOutTests, ProviderTests = _PROJECT["SignOutTests"], _PROJECT["ProviderTests"]


@pytest.mark.parametrize(("app_label", "database"), [("bff_sessions", "sessions"), ("auth", None)])
def test_the_router_sends_sessions_to_their_database(app_label, database):
    namespace = {}
    exec(examples(ROOT / "docs" / "how-to" / "databases.md")[0], namespace)
    router = namespace["SessionsRouter"]()
    model = next(apps.get_app_config(app_label).get_models())
    assert router.db_for_read(model) == router.db_for_write(model) == database
    assert router.allow_migrate("sessions", app_label) is (database == "sessions")
    assert router.allow_migrate("default", app_label) is (False if database else None)
