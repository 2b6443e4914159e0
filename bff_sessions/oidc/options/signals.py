"""BFF_SESSIONS["PROVIDERS"][…]["SIGNALS"]: shared signals. Imports no optional dependency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from django.core.checks import CheckMessage

from bff_sessions.conf.faults import Fault
from bff_sessions.conf.options import Options, option, switch
from bff_sessions.conf.rules import (
    CALLABLE,
    Rule,
    is_list,
    is_number,
    is_text,
    one_of,
    or_none,
    some_of,
)
from bff_sessions.oidc.options.addresses import is_issuer, is_uri, is_url
from bff_sessions.oidc.options.algorithms import ALGORITHMS
from bff_sessions.oidc.options.event_types import ACTIONS, NAMES

SUBJECT: Final = "subject"
SESSION: Final = "session"
"""Values of OPAQUE."""
_MAX_AGE: Final = 30 * 24 * 60 * 60


def _one_or_more(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a rule for one value that `accepts` accepts, or a list of them that is not empty."""
    return lambda value: (
        accepts(value) or (is_list(value) and bool(value) and all(map(accepts, value)))
    )


def _is_header(value: Any) -> bool:
    """Return whether a request can have `value` as a header.

    RFC 9110, 5.5: blanks at the ends are no part of it. Servers read bytes that are not ASCII as
    ISO-8859-1, whatever the sender has meant.
    """
    return is_text(value) and value.isascii() and value.isprintable() and value == value.strip()


def _is_event_type(value: Any) -> bool:
    # RFC 8417, 2.2: any URI, for example urn:ietf:params:scim:event:prov:delete.
    return value in NAMES or is_uri(value)


def _are_actions(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_event_type(name) and action in ACTIONS for name, action in value.items()
    )


_TEXTS: Final = Rule("a text or a list of texts", _one_or_more(is_text))
_SECRETS: Final = replace(_TEXTS, is_secret=True)
_HEADERS: Final = Rule(
    "a text or a list of texts of printable ASCII characters, without blanks at the ends",
    _one_or_more(_is_header),
    is_secret=True,
)


def _seconds(default: int, doc: str) -> Any:
    rule = Rule(
        f"a number of seconds from 0 to {_MAX_AGE}",
        lambda value: is_number(value) and 0 <= value <= _MAX_AGE,
    )
    hint = f"Give a number from 0 to {_MAX_AGE}, or leave it out."
    return option(default, rule, check="E127", hint=hint, doc=doc)


def _texts(doc: str) -> Any:
    hint = "Give one text or a list of texts, or leave it out."
    return option(None, or_none(_TEXTS), check="E123", hint=hint, doc=doc)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalsOptions(Options):
    """How security events of a provider's transmitter are verified, and what they do."""

    unknown: ClassVar[Fault] = Fault(
        "E121", "{place} has no option {name!r:.120}.", "Use one of {names}."
    )

    issuer: str | None = option(
        None,
        or_none(Rule("an absolute URL without query and fragment", is_issuer)),
        check="E122",
        hint="Give the iss of the transmitter's tokens exactly, or leave it out.",
        doc="The `iss` of the transmitter's tokens. Default: the provider's issuer",
    )
    audience: str | Sequence[str] | None = _texts(
        "The values of `aud` that name this site, a text or a list. Default: `CLIENT_ID`",
    )
    jwks_uri: str | None = option(
        None,
        or_none(Rule("an absolute URL", is_url)),
        check="E124",
        hint="Give the URL of the transmitter's keys, or leave it out.",
        doc=(
            "URL of the transmitter's keys. Default: the provider's keys. If `ISSUER` is another: "
            "that of the metadata at `/.well-known/ssf-configuration`"
        ),
    )
    algorithms: Sequence[str] | None = option(
        None,
        or_none(some_of(ALGORITHMS, "a list of signature algorithms", may_be_empty=False)),
        check="E125",
        hint=f"Give some of {', '.join(ALGORITHMS)}, or leave it out.",
        doc="Signature algorithms of the transmitter. Default: those of the provider",
    )
    authorization: str | Sequence[str] | None = option(
        None,
        or_none(_HEADERS),
        check="E126",
        hint="Give the whole value of the header, or a list while you change it, or leave it out.",
        doc=(
            "The value of the `Authorization` header that the transmitter must send, for example "
            '`"Bearer …"`, in ASCII. A list while you change it'
        ),
    )
    strict_typ: bool = switch(
        True,
        check="E131",
        doc='Accept only tokens with `"typ": "secevent+jwt"`; otherwise also `JWT` or no `typ`',
    )
    max_age: float = _seconds(
        7 * 24 * 60 * 60, "Seconds since `iat` after which a token is refused. It has no `exp`"
    )
    leeway: float = _seconds(60, "Seconds by which the clocks may differ")
    subject_issuers: str | Sequence[str] | None = _texts(
        "The values of `iss` in a subject that mean this provider. Default: the provider's issuer",
    )
    opaque: str = option(
        SUBJECT,
        one_of(SUBJECT, SESSION),
        check="E130",
        hint="Give 'subject' or 'session', or leave it out.",
        doc='What an opaque subject is: `"subject"`, a `sub`, or `"session"`, a `sid`',
    )
    emails: str | None = option(
        None,
        or_none(CALLABLE),
        check="E128",
        hint="Give the dotted path of a callable from an e-mail address to a sub or None.",
        doc=(
            "A callable from an e-mail address to the `sub` of its owner, or None. Default: "
            "subjects that are e-mail addresses have no effect"
        ),
    )
    critical_members: str | Sequence[str] | None = _texts(
        "The `critical_subject_members` of the transmitter's metadata. An event whose subject has "
        "one of them has no effect, except a `user` and a `session` that can be found here",
    )
    state: str | Sequence[str] | None = option(
        None,
        or_none(_SECRETS),
        check="E133",
        hint="Give the text that you send, or a list while you change it, or leave it out.",
        doc=(
            "The `state` that you give when you ask the transmitter for a verification event. "
            "An event with another one is refused"
        ),
    )
    actions: Mapping[str, str] | None = option(
        None,
        or_none(
            Rule(
                "a dictionary from names or URIs of event types to 'end' or 'ignore'", _are_actions
            )
        ),
        check="E129",
        hint=f"Write {{'token-claims-change': 'ignore'}}, for example. Names: {', '.join(NAMES)}.",
        doc=(
            'What events do, where it is not the default: `"end"` sessions or `"ignore"`, by the '
            "name or the URI of the event type"
        ),
    )

    @classmethod
    def find_faults_of(cls, place: str, given: object) -> Iterator[CheckMessage]:
        """Yield the faults of SIGNALS in the dictionary of a provider, which is at `place`."""
        if isinstance(given, dict):  # Otherwise the option itself is reported.
            yield from cls.find_faults(f"{place}['SIGNALS']", given)

    @staticmethod
    def urls_in(place: str, given: object) -> dict[str, object]:
        """Return the URLs in SIGNALS by their places, see find_faults_of()."""
        own = given if isinstance(given, dict) else {}
        return {f"{place}['SIGNALS'][{name!r}]": own.get(name) for name in ("ISSUER", "JWKS_URI")}


def to_tuple(value: str | Sequence[str] | None, default: str | None = None) -> tuple[str, ...]:
    """Return the texts of an option that is a text or several; those of `default` if it is None."""
    value = default if value is None else value
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
