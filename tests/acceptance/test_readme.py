"""README.md: short, complete on a package index, and true."""

import doctest
import re

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks

from tests.support.examples import README, ROOT, example, sign_in

REPOSITORY = "https://github.com/django-bff-sessions/django-bff-sessions/blob/main/"
RAW = "https://raw.githubusercontent.com/django-bff-sessions/django-bff-sessions/main/"
TEXT = README.read_text()
LINKS = re.findall(r"\]\(([^)\s]+)\)", TEXT)


def test_has_at_most_900_words():
    assert len(TEXT.split()) <= 900


def test_links_and_pictures_are_absolute_and_lead_to_files():
    assert len(LINKS) > 15
    for link in LINKS:
        path, _, anchor = link.removeprefix(REPOSITORY).removeprefix(RAW).partition("#")
        assert link.startswith((REPOSITORY, RAW)), link
        assert (ROOT / path).is_file(), link
        assert not anchor, link


def test_pictures_are_raw_files_and_have_a_text():
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", TEXT)
    assert pictures
    assert all(text and link.startswith(RAW) for text, link in pictures)


def test_has_the_lines_that_newcomers_run():
    lines = re.findall(r"^\$ python3 -m venv \.venv && .* && \.venv/bin/python (.*)$", TEXT, re.M)
    assert lines == ["manage.py demo", "-m tests"]


def test_settings_of_the_first_screen_pass_the_checks(settings):
    namespace = example("README", "python", "SESSION_ENGINE").run()
    assert namespace["INSTALLED_APPS"] == ["bff_sessions"]
    assert namespace["SESSION_ENGINE"] == settings.SESSION_ENGINE
    settings.MIDDLEWARE = namespace["MIDDLEWARE"]
    assert [message for message in run_checks() if message.id.startswith("bff_sessions.")] == []


def test_line_of_each_login_library_is_in_the_how_to():
    rows = dict(re.findall(r"^\| \[[^]]+\]\(\S+/docs/(how-to/\S+)\.md\) \| (.+) \|$", TEXT, re.M))
    assert len(rows) == 5
    for page, line in rows.items():
        pages = [ROOT / "docs" / f"{name}.md" for name in (page, "how-to/login-libraries")]
        text = "".join(page.read_text() for page in pages)
        for name in re.findall(r"(bff_sessions[\w.]+|[A-Z_]{5,}|token\[.userinfo.\])", line):
            assert name in text, name


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["README", "how-to/revoke", "index"])
def test_sessions_are_found_and_ended(page):
    User.objects.create(username="alice")
    sign_in("laptop")
    sign_in("phone")
    found = example(page, "pycon", "revoke_sessions")
    steps = doctest.DocTestParser().get_doctest(found.text, {}, page, page, 0)
    assert len(steps.examples) == 7
    report = []
    assert doctest.DocTestRunner().run(steps, out=report.append).failed == 0, "".join(report)
