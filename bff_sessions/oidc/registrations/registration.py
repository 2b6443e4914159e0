"""The clients that this site is at one provider: a value in BFF_SESSIONS["PROVIDERS"].

Imports no optional dependency.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.checks import CheckMessage

from bff_sessions.conf.faults import Fault
from bff_sessions.oidc.options.providers import ProviderOptions

_NO_CLIENT = Fault(
    "E063",
    "BFF_SESSIONS['PROVIDERS'][{issuer!r:.120}] must be a dictionary, or a list of one "
    "dictionary or more.",
    "Write {{'CLIENT_ID': 'shop'}}, for example, or a list of such dictionaries.",
)
_SAME_CLIENT = Fault(
    "E064",
    "BFF_SESSIONS['PROVIDERS'][{issuer!r:.120}] has the CLIENT_ID {client_id!r:.120} twice.",
    "Write each client once.",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """The clients that this site is at one provider."""

    issuer: str
    clients: tuple[Mapping[str, Any], ...] = field(repr=False)
    """The options of each client, which are valid. There is at least one."""

    def find_client(self, audience: Collection[str] | None) -> int | None:
        """Return the index of the first client in `audience`; None if it names no client.

        A single client needs no name. None as `audience` means any client: return the first.
        """
        if audience is None or len(self.clients) == 1:
            return 0
        names = [each["CLIENT_ID"] for each in self.clients]
        return next((names.index(name) for name in audience if name in names), None)


def find_faults(issuer: Any, given: Any) -> Iterator[CheckMessage]:
    """Yield what is wrong with `given`, the value of BFF_SESSIONS["PROVIDERS"][`issuer`]."""
    clients = clients_of(given)
    if not clients:
        yield _NO_CLIENT(issuer=issuer)
    names = [str(each.get("CLIENT_ID")) for each in clients]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield _SAME_CLIENT(issuer=issuer, client_id=name)
    for index, each in enumerate(clients):
        yield from ProviderOptions.find_faults_of(issuer, each, None if each is given else index)


def clients_of(given: Any) -> Sequence[Mapping[str, Any]]:
    """Return the dictionaries in `given`, which is one or has several; none if it is malformed."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return several if all(isinstance(each, Mapping) for each in several) else []
