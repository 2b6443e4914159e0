"""Findings as commands write them: a line of a table, or JSON."""

from __future__ import annotations

from django.core.management.color import Style

from bff_sessions.findings import Finding, Verdict


def to_line(finding: Finding, style: Style) -> str:
    """Return verdict, subject and text of `finding`, in columns."""
    color = {
        Verdict.OK: style.SUCCESS,
        Verdict.WARNING: style.WARNING,
        Verdict.FAULT: style.ERROR,
    }[finding.verdict]
    return f"{color(f'{finding.verdict.value:<7}')}  {finding.subject:<22}  {finding.text}"


def to_dict(finding: Finding) -> dict[str, str]:
    """Return `finding` as a dictionary for JSON."""
    return {
        "check": finding.subject,
        "verdict": finding.verdict.value,
        "text": finding.text,
    }
