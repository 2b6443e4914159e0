"""How many sessions are live, and how many have expired: estimates in a large table."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models import Q

from bff_sessions import conf
from bff_sessions.stores.orm.models import expired_sessions, unexpired_sessions
from bff_sessions.stores.orm.sampling import (
    SAMPLE,
    Figure,
    Precision,
    Size,
    count_first,
    share_of,
    stored,
)

# With fewer of them in a sample, the number of all is a guess.
_ENOUGH: Final = 50


def count_states(size: Size, now: datetime) -> tuple[Figure, Figure]:
    """Return the numbers of live and of expired sessions."""
    live = Precision.EXACT if size.is_exact else Precision.ABOUT
    expired = _count_expired(now)
    if expired is not None:
        return (
            Figure(number=max(size.number - expired, 0), precision=live),
            Figure(number=expired, precision=Precision.EXACT),
        )
    matching, sampled = share_of(expired_sessions(now))
    # Another process may have deleted all of them meanwhile.
    number = round(size.number * matching / max(sampled, 1))
    return (
        Figure(number=size.number - number, precision=live),
        Figure(number=number, precision=Precision.ABOUT)
        if matching >= _ENOUGH
        else Figure(number=SAMPLE, precision=Precision.MORE),
    )


def _count_expired(now: datetime) -> int | None:
    """Return how many sessions have expired; None if there are too many to count."""
    expired = count_first(stored().filter(expires__lte=now).order_by("expires"))
    if expired is None or conf.ABSOLUTE_LIFETIME is None:
        return expired
    # Those that expire later were saved under a longer absolute lifetime.
    begun = now - conf.ABSOLUTE_LIFETIME
    outlived = count_first(
        stored().filter(created__lte=begun).order_by("created"),
        Q(subject_id__isnull=False) & unexpired_sessions(now),
    )
    return None if outlived is None else expired + outlived
