"""Find phrases that our texts do not use: python .ci/phrases.py [PATH ...]."""

import re
import sys
from pathlib import Path

PHRASES = {
    # "There is no" and "is no longer" are plain English.
    r"(?<!\bthere )\bis no (?!longer\b)": 'say "is not a", "must be" or "has no"',
    r"\bwhoever\b": "name who acts",
    r"\ban URL\b": 'say "a URL"',
    r'"""\s*whether\b': 'say "Return whether" or "True if"',
}
EVERYTHING = ["bff_sessions", "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
EVERYTHING += ["SECURITY.md", "sample_project", "benchmarks"]
SUFFIXES = {".py", ".md", ".html", ".js"}
PATTERNS = {re.compile(phrase, re.IGNORECASE): advice for phrase, advice in PHRASES.items()}


def findings(path: Path) -> list[str]:
    """Return a line for each phrase in the file at `path`."""
    text = path.read_text()
    return [
        f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]!r}: {advice}"
        for pattern, advice in PATTERNS.items()
        for found in pattern.finditer(text)
    ]


def main(arguments: list[str]) -> int:
    """Print the phrases in the files and folders that are named, or in everything."""
    paths = [
        path
        for root in map(Path, arguments or EVERYTHING)
        for path in (sorted(root.rglob("*")) if root.is_dir() else [root])
        if path.suffix in SUFFIXES and "node_modules" not in path.parts
    ]
    found = [line for path in paths for line in findings(path)]
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
