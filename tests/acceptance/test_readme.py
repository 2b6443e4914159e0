"""README.md: short and true; test_links.py has its links."""

import doctest
import re

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks

from tests.support.examples import README, ROOT, example, sign_in

TEXT = README.read_text()


def test_has_at_most_900_words():
    assert len(TEXT.split()) <= 900


def test_has_the_lines_that_newcomers_run():
    lines = re.findall(r"^\$ python3 -m venv \.venv && .* && \.venv/bin/python (.*)$", TEXT, re.M)
    assert lines == ["manage.py demo", "-m tests"]


def test_settings_of_the_first_screen_pass_the_checks(settings):
    namespace = example("README", "python", "SESSION_ENGINE").run()
    assert namespace["INSTALLED_APPS"] == ["bff_sessions"]
    assert namespace["SESSION_ENGINE"] == settings.SESSION_ENGINE
    settings.MIDDLEWARE = namespace["MIDDLEWARE"]
    assert [message for message in run_checks() if message.id.startswith("bff_sessions.")] == []


def test_line_of_each_login_library_is_in_its_guide():
    rows = re.findall(r"^\| \[[^]]+\]\(\S+/docs/(\S+)\.md\) \| (.+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 5
    for page, line in rows:
        guide = (ROOT / "docs" / f"{page}.md").read_text()
        for name in re.findall(r"bff_sessions[\w.]+|[A-Z_]{5,}|\w+\(", line):
            assert name in guide, name


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["README", "how-to/revoke", "index"])
def test_sessions_are_found_and_ended(page):
    User.objects.create(username="alice")
    sign_in("laptop")
    sign_in("phone")
    found = example(page, "pycon", "revoke_sessions")
    steps = doctest.DocTestParser().get_doctest(found.text, {}, page, page, 0)
    assert len(steps.examples) == 8
    report = []
    assert doctest.DocTestRunner().run(steps, out=report.append).failed == 0, "".join(report)
