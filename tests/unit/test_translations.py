"""The German catalogue translates each text that the package marks for translation."""

import ast
import re
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.utils.translation.template import templatize

import bff_sessions

PACKAGE = Path(bff_sessions.__file__).parent
CATALOGUE = PACKAGE / "locale/de/LC_MESSAGES"
FUNCTIONS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy"}
# templatize() writes each text of a template as a call of one of them.
CALL = re.compile(r"""\b(?:_|n?gettext)\((?:u?)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")


def marked_in(path):
    """Return the texts that a module or a template marks for translation."""
    source = path.read_text()
    if path.suffix == ".html":
        return {ast.literal_eval(text) for text in CALL.findall(templatize(source))}
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {
        call.args[0].value
        for call in calls
        if getattr(call.func, "id", None) in FUNCTIONS and isinstance(call.args[0], ast.Constant)
    }


def compiled():
    """Return what Django reads, by the text and its number."""
    with (CATALOGUE / "django.mo").open("rb") as file:
        return GNUTranslations(file)._catalog


def entries():
    """Return the entries of the source of the catalogue, as texts."""
    return (CATALOGUE / "django.po").read_text().strip().split("\n\n")[1:]


MARKED = [
    (str(path.relative_to(PACKAGE)), text)
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")])
    for text in sorted(marked_in(path))
]


def test_texts_of_modules_and_templates_are_found():
    assert {
        ("admin/filters.py", "in the last hour"),
        ("views/my_sessions.py", "%(num)d year ago"),
        ("templates/bff_sessions/_session.html", "Another browser"),
        (
            "templates/admin/bff_sessions/session/end_confirmation.html",
            "%(number)s live session will end.",
        ),
    } <= set(MARKED)


@pytest.mark.parametrize("text", sorted({text for _path, text in MARKED}))
def test_text_has_a_german_translation(text):
    catalogue = compiled()
    forms = [catalogue.get(text), catalogue.get((text, 0)), catalogue.get((text, 1))]
    assert any(forms)
    assert forms[0] or all(forms[1:])


def test_no_german_translation_is_fuzzy_or_unused():
    marked = {text for _path, text in MARKED}
    for entry in entries():
        assert "fuzzy" not in entry
        assert not entry.startswith("#~")
        assert ast.literal_eval(re.search(r'^msgid (".*")$', entry, re.MULTILINE)[1]) in marked


def test_compiled_catalogue_is_up_to_date():
    catalogue = compiled()
    forms = 0
    for entry in entries():
        texts = {
            name: ast.literal_eval(text)
            for name, text in re.findall(r'^(msg\S+) (".*")$', entry, re.MULTILINE)
        }
        for name, text in texts.items():
            if name.startswith("msgstr"):
                number = re.search(r"\d", name)
                key = (texts["msgid"], int(number[0])) if number else texts["msgid"]
                assert catalogue[key] == text
                forms += 1
    # The header is the one text more.
    assert len(catalogue) == forms + 1
