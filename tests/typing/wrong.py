"""What type checkers must find wrong: each line with a comment, and no other."""

from __future__ import annotations

from django.http import HttpRequest

from bff_sessions import get_access_token
from bff_sessions.http import BffHttpRequest


def view(request: BffHttpRequest) -> None:
    request.session.exclusive(timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    request.session.nothing()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    number: int = get_access_token(request)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(number)


def untyped(request: HttpRequest) -> None:
    request.session.exclusive()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
