"""The examples of README.md and docs/: every fenced block of every page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.http import HttpRequest
from django.test import RequestFactory

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    def run(self, **names: object) -> dict[str, object]:
        """Run the example, in which `names` are known, and return what it defines."""
        namespace: dict[str, object] = {"__name__": "example", **names}
        code = compile(self.text.replace("...,", ""), str(self), "exec")
        exec(code, namespace)
        return namespace


def name_of(page: Path) -> str:
    """Return the path of `page` below docs/, without its ending."""
    return page.relative_to(ROOT).with_suffix("").as_posix().removeprefix("docs/")


def examples(page: Path) -> Iterator[Example]:
    """Yield the examples of `page`, without directives such as ``{toctree}``."""
    source = page.read_text()
    for block in BLOCK.finditer(source):
        language = re.sub(r"^\{code-block\} *", "", block["info"].strip())
        if not language.startswith("{"):
            line = source.count("\n", 0, block.start()) + 1
            yield Example(page, line, language, textwrap.dedent(block["text"]))


def example(name: str, language: str, part: str = "") -> Example:
    """Return the only example of the page `name` in that language that contains `part`."""
    page = README if name == "README" else ROOT / "docs" / f"{name}.md"
    (found,) = [
        block for block in examples(page) if block.language == language and part in block.text
    ]
    return found


def sign_in(session_id: str) -> HttpRequest:
    """Sign alice in as the README does, and return the request that did."""
    # Imported late, because settings use this module, too.
    from django.contrib.auth.models import User

    from bff_sessions.engine import SessionStore

    request = RequestFactory().get("/")
    request.session = SessionStore()
    user, _ = User.objects.get_or_create(username="alice")
    claims = {"iss": "https://idp.example", "sub": "alice", "sid": session_id}
    names = {"user": user, "claims": claims, "token": {"access_token": "secret"}}
    example("README", "python", "import sign_in").run(request=request, **names)
    request.session.save()
    return request
