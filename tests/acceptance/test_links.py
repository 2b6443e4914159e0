"""Links of the repository's own texts; Sphinx checks links and anchors between pages of docs/."""

import re
from urllib.parse import urlsplit

import pytest

from tests.support.examples import PAGES, ROOT, name_of

REPOSITORY = "https://github.com/django-bff-sessions/django-bff-sessions/blob/main/"
RAW = "https://raw.githubusercontent.com/django-bff-sessions/django-bff-sessions/main/"
README = ROOT / "README.md"
TEXTS = [*PAGES, *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY"))]
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def links_of(page):
    text = re.sub(r"^( *```).*?^\1`*$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [first or second for first, second in LINK.findall(text)]


def anchors_of(path):
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_has_absolute_links_only():
    links = links_of(README)
    assert len(links) > 15
    assert [link for link in links if not link.startswith((REPOSITORY, RAW))] == []


def test_readme_shows_raw_pictures_with_a_text():
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README.read_text())
    assert pictures
    assert all(text and link.startswith(RAW) for text, link in pictures)


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_links_into_the_repository_lead_to_files(page):
    for link in links_of(page):
        path, _, anchor = link.removeprefix(REPOSITORY).removeprefix(RAW).partition("#")
        if link.startswith((REPOSITORY, RAW)):
            target = ROOT / path
        elif "//" not in link and page.parent == ROOT:
            target = page.parent / path if path else page
        else:
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_external_links_are_urls(page):
    for link in links_of(page):
        if "//" in link:
            url = urlsplit(link)
            assert url.scheme == "https", link
            assert re.fullmatch(r"[\w.-]+\.[a-z]{2,}", url.netloc), link
