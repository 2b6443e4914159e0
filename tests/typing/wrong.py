"""What type checkers must find wrong: each line with a comment, and no other."""

from __future__ import annotations

from django.http import HttpRequest

from bff_sessions import get_access_token
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.http import BffHttpRequest
from bff_sessions.revocation import revoke_sessions


def view(request: BffHttpRequest) -> None:
    request.session.exclusive(timeout="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    request.session.nothing()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    number: int = get_access_token(request)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(number)


def end() -> None:
    revoke_sessions(UserSessionsFilter(subject_id="alice"), reason="operator")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def untyped(request: HttpRequest) -> None:
    request.session.exclusive()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
