"""Bind a session to a person at sign-in."""

from __future__ import annotations

from django.http import HttpRequest

from bff_sessions.contract import is_moment
from bff_sessions.identity.claims import BINDING
from bff_sessions.identity.person import Identity


def bind_identity(
    request: HttpRequest,
    *,
    subject_id: str,
    session_id: str | None = None,
    issuer: str | None = None,
    auth_time: float | None = None,
) -> None:
    """Bind the session of `request` to a person. Call this at sign-in, before the session is saved.

    Args:
        request: the request in which the user signs in.
        subject_id: the ``sub`` claim.
        session_id: the ``sid`` claim, if the provider sends one.
        issuer: the ``iss`` claim; None without a provider.
        auth_time: the ``auth_time`` claim, or else the ``iat`` claim of the ID token. It decides
            whether a logout that arrives during the sign-in ends this session.

    Raises:
        TypeError: if a text is not a string.
        ValueError: if a text is blank or longer than 255 characters, or if `auth_time` is not a
            number of seconds since 1970.
    """
    request.session[BINDING] = _to_binding(subject_id, session_id, issuer, auth_time)


async def abind_identity(
    request: HttpRequest,
    *,
    subject_id: str,
    session_id: str | None = None,
    issuer: str | None = None,
    auth_time: float | None = None,
) -> None:
    """See bind_identity()."""
    await request.session.aset(BINDING, _to_binding(subject_id, session_id, issuer, auth_time))


def _to_binding(
    subject_id: str, session_id: str | None, issuer: str | None, auth_time: float | None
) -> dict[str, str | float | None]:
    if subject_id is None:
        raise TypeError("subject_id must be a string.")
    if auth_time is not None and not is_moment(auth_time):
        raise ValueError("auth_time must be a number of seconds since 1970, or None.")
    Identity(issuer=issuer, subject_id=subject_id, session_id=session_id)
    return {"iss": issuer, "sub": subject_id, "sid": session_id, "auth_time": auth_time}
