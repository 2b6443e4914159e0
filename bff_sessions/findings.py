"""The results of checks of a running system: a verdict and a sentence for an operator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a check ends."""

    OK = "ok"
    WARNING = "warning"
    """It works, with less than the package can do."""
    FAULT = "fault"
    """Something of the package does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. It shows no secret and no answer of a server as a whole."""

    subject: str
    verdict: Verdict
    text: str


def ok(subject: str, text: str) -> Finding:
    """Return the result of a check that found no fault."""
    return Finding(subject, Verdict.OK, text)


def warning(subject: str, text: str) -> Finding:
    """Return the result of a check that found something to improve."""
    return Finding(subject, Verdict.WARNING, text)


def fault(subject: str, text: str) -> Finding:
    """Return the result of a check that found a fault."""
    return Finding(subject, Verdict.FAULT, text)
