"""The sessions that an action ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from django.http import HttpRequest

from bff_sessions.admin.contract.reading import find_session, read_all
from bff_sessions.admin.preview import Preview, build_preview, own_session
from bff_sessions.admin.sources import Selection
from bff_sessions.contract import UserSessionsFilter
from bff_sessions.stores.live import is_live
from bff_sessions.stores.orm.models import Session

# A preview counts up to this many sessions.
_COUNTED: Final = 10_000


class ContractSelection(Selection):
    """The sessions of a search, or those that an operator has selected.

    Django's admin calls filter() as if this were a queryset.

    Args:
        filters: returns filters to try one after the other, until one finds sessions.
        references: the ``pk`` of each selected session; None for all of the search.
    """

    def __init__(
        self,
        filters: Callable[[], Iterator[UserSessionsFilter]],
        references: Sequence[str] | None = None,
        *,
        is_signed_in: bool = False,
    ) -> None:
        self.filters = filters
        self._references = references
        self._is_signed_in = is_signed_in

    def filter(self, *, pk__in: Sequence[str]) -> ContractSelection:
        """Return the selected sessions."""
        return ContractSelection(self.filters, pk__in)

    def signed_in(self) -> Selection:
        return ContractSelection(self.filters, self._references, is_signed_in=True)

    def preview_sessions(self, request: HttpRequest) -> Preview:
        return _preview(request, self._sessions())

    def preview_subjects(self, request: HttpRequest) -> Preview:
        chosen = islice(self._sessions(), _COUNTED)
        subjects = dict.fromkeys((session.subject_id, session.issuer) for session in chosen)
        theirs = (
            read_all(UserSessionsFilter(subject_id=subject_id, issuer=issuer))
            for subject_id, issuer in subjects
        )
        return _preview(request, chain.from_iterable(theirs))

    def batches(self, size: int) -> Iterator[list[Session]]:
        sessions = self._sessions()
        while batch := list(islice(sessions, size)):
            yield batch

    def exists(self) -> bool:
        return any(True for _session in self._sessions())

    def _sessions(self) -> Iterator[Session]:
        for session in self._found():
            if session.subject_id is not None or not self._is_signed_in:
                yield session

    def _found(self) -> Iterator[Session]:
        if self._references is not None:
            yield from filter(None, map(find_session, self._references))
            return
        for criteria in self.filters():
            found = read_all(criteria)
            for session in found:
                yield session
                yield from found
                return


def _preview(request: HttpRequest, sessions: Iterable[Session]) -> Preview:
    own = own_session(request)
    owners: Counter[tuple[str | None, str | None]] = Counter()
    live = number = 0
    has_own = False
    for session in islice(sessions, _COUNTED + 1):
        number += 1
        live += is_live(session)
        owners[session.subject_id, session.issuer] += is_live(session)
        has_own |= own is not None and own.key == session.key
    return build_preview(
        owners,
        live=live,
        expired=number - live,
        is_lower_bound=number > _COUNTED,
        more_subjects=number > _COUNTED,
        has_own=has_own,
    )
