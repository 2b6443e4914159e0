"""Find out whom a security event names: RFC 9493, and SSF 1.0, 3. Imports no optional dependency.

A subject is checked first, and the answer tells the transmitter if it is malformed. Then it is
resolved. If it matches no user and no session, the log tells the operator why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from bff_sessions.contract import check_text
from bff_sessions.exceptions import BffSessionsError
from bff_sessions.oidc.logout.named import Named

_T = TypeVar("_T")

# The members of the formats that can name a user or a session here: RFC 9493, 3.2.
_MEMBERS: Final = {"iss_sub": ("iss", "sub"), "opaque": ("id",), "email": ("email",)}
_COMPLEX: Final = "complex"
_ALIASES: Final = "aliases"
_OPAQUE: Final = "opaque"
_USER: Final = "user"
_SESSION: Final = "session"
# More would be no description of one subject.
_MAX_MEMBERS: Final = 20


class Unresolved(Enum):
    """Why a subject matches no user and no session, as the end of a sentence."""

    FORMAT = "its format cannot name a user here"
    ISSUER = "its iss is not in SUBJECT_ISSUERS"
    NO_EMAILS = "it is an e-mail address, and EMAILS is not set"
    EMAIL = "EMAILS does not know the e-mail address"
    MEMBERS = "it has neither a user nor a session"
    CRITICAL = "it has a member that is in CRITICAL_MEMBERS"


class SubjectUnresolved(BffSessionsError):
    """A subject matches no user and no session. The text is the end of a sentence for the log."""

    def __init__(self, why: Unresolved, detail: str = "") -> None:
        super().__init__(f"{why.value}{detail}")
        self.why = why
        self.may_be_configured = why in (Unresolved.ISSUER, Unresolved.NO_EMAILS)
        """True if an option can let the subject name its user."""

    def rank(self) -> tuple[bool, bool]:
        """Return the key by which the most important of several is the least.

        Another issuer protects a session, and the log names what an option changes.
        """
        return self.why is not Unresolved.ISSUER, not self.may_be_configured


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolver:
    """How the subjects of one transmitter are understood."""

    issuers: Collection[str]
    """The values of ``iss`` that mean the provider."""
    opaque_is_session: bool
    """True if an opaque subject is a ``sid``, False if it is a ``sub``."""
    find_by_email: Callable[[str], object] | None
    """Returns the ``sub`` of the owner of an e-mail address, or None."""
    critical: Collection[str]
    """The members of a complex subject that must be understood."""

    def resolve(self, subject: Mapping[str, Any]) -> list[Named]:
        """Return whom `subject` names, which read_subject() has returned. There is at least one.

        Raises:
            SubjectUnresolved: if it names no user and no session.
        """
        if subject["format"] == _COMPLEX:
            return self._resolve_complex(subject)
        return _resolve_aliases(subject, self._resolve_simple)

    def _resolve_simple(self, subject: Mapping[str, Any]) -> Named:
        if subject["format"] == _OPAQUE and self.opaque_is_session:
            return Named(session_id=subject["id"])
        return Named(subject_id=self._find_user(subject))

    def _resolve_complex(self, subject: Mapping[str, Any]) -> list[Named]:
        session = subject.get(_SESSION)
        session_id = session["id"] if session and session["format"] == _OPAQUE else None
        # SSF 1.0, 3.6: "MUST discard any event that contains a Subject with a Critical member that
        # it is unable to process". Without these, a device or a tenant does not narrow the subject.
        processed = {_USER} if session_id is None else {_USER, _SESSION}
        if set(subject) & (set(self.critical) - processed):
            raise SubjectUnresolved(Unresolved.CRITICAL)
        if _USER not in subject:
            if session_id is None:
                raise SubjectUnresolved(Unresolved.MEMBERS)
            return [Named(session_id=session_id)]
        try:
            users = _resolve_aliases(subject[_USER], self._find_user)
        except SubjectUnresolved as unresolved:
            # The session ID alone suffices, unless it belongs to a user of another provider.
            needs_user = _USER in self.critical or unresolved.why is Unresolved.ISSUER
            if session_id is None or needs_user:
                raise
            return [Named(session_id=session_id)]
        return [Named(subject_id=user, session_id=session_id) for user in users]

    def _find_user(self, subject: Mapping[str, Any]) -> str:
        match subject["format"]:
            case "iss_sub":
                if subject["iss"] not in self.issuers:
                    raise SubjectUnresolved(Unresolved.ISSUER, f": {subject['iss']!a:.120}")
                return str(subject["sub"])
            case "opaque":
                return str(subject["id"])
            case "email":
                return self._find_by_email(subject["email"])
        raise SubjectUnresolved(Unresolved.FORMAT)

    def _find_by_email(self, email: str) -> str:
        if self.find_by_email is None:
            raise SubjectUnresolved(Unresolved.NO_EMAILS)
        found = self.find_by_email(email)
        if found is None:
            raise SubjectUnresolved(Unresolved.EMAIL)
        check_text("The result of EMAILS", found)
        return str(found)


def _resolve_aliases(
    subject: Mapping[str, Any], resolve: Callable[[Mapping[str, Any]], _T]
) -> list[_T]:
    """Return the different results of `resolve` for the aliases of `subject`.

    RFC 9493, 3.2.8: the aliases are names of one subject, and the transmitter does not know which
    of them are known here. Any text may be a `sub`, so the first one that resolves need not be the
    one by which this site knows the user. A subject of another format is its own alias.

    Raises:
        SubjectUnresolved: if it raises this error for all of them.
    """
    found: dict[_T, None] = {}
    failed: list[SubjectUnresolved] = []
    for each in subject["identifiers"] if subject["format"] == _ALIASES else [subject]:
        try:
            found[resolve(each)] = None
        except SubjectUnresolved as unresolved:
            failed.append(unresolved)
    if not found:
        raise min(failed, key=SubjectUnresolved.rank)
    return list(found)


def read_subject(value: object) -> dict[str, Any]:
    """Return the subject `value` in the form of RFC 9493, after checking what resolve() reads.

    Raises:
        ValueError: if it is malformed.
    """
    subject = _with_format(value)
    if subject["format"] == _COMPLEX:
        members = {name: each for name, each in subject.items() if name != "format"}
        if not members or len(members) > _MAX_MEMBERS:
            raise ValueError
        # Of the others, only the names matter.
        read: dict[str, Any] = {
            name: _read_simple(members[name]) for name in (_USER, _SESSION) if name in members
        }
        return {**subject, **read}
    return _read_simple(subject)


def _read_simple(value: object, *, may_have_aliases: bool = True) -> dict[str, Any]:
    subject = _with_format(value)
    kind = subject["format"]
    for member in _MEMBERS.get(kind, ()):
        text = subject.get(member)
        try:
            check_text(member, text)
        except TypeError:
            raise ValueError from None
        if text is None:
            raise ValueError
    if kind == _COMPLEX:
        raise ValueError  # SSF 1.0, 3.3: its members are simple subjects.
    if kind == _ALIASES:
        # RFC 9493, 3.2.8: an alias must not have aliases itself.
        identifiers = subject.get("identifiers")
        if not may_have_aliases or not isinstance(identifiers, list):
            raise ValueError
        if not 0 < len(identifiers) <= _MAX_MEMBERS:
            raise ValueError
        read = [_read_simple(each, may_have_aliases=False) for each in identifiers]
        return {**subject, "identifiers": read}
    return subject


def _with_format(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    if "format" not in value and "subject_type" in value:
        # RISC 1.0, 3.1: Google writes "subject_type": "iss-sub".
        kind = value["subject_type"]
        value = {**value, "format": kind.replace("-", "_") if isinstance(kind, str) else None}
    elif "format" not in value and (_USER in value or _SESSION in value):
        value = {**value, "format": _COMPLEX}  # Drafts of SSF 1.0 had no format here.
    if not isinstance(value.get("format"), str):
        raise ValueError
    return value
