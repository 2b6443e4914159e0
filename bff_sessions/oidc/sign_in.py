"""What a sign-in through a provider has to do with logouts. Imports nothing that is optional.

A logout writes down that it ends a session, and then ends it. A sign-in writes its session, and
then looks whether its end is written down. So whichever comes first, one of both sees the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.contract import UserSession, UserSessionsFilter
from bff_sessions.events import subscribe_to_sign_ins
from bff_sessions.oidc.models import Logout
from bff_sessions.revocation import revoke_sessions

__all__ = ["REMEMBERED", "connect"]

logger = logging.getLogger("bff_sessions.logout")

# How long it may take from what the provider answers to a saved session: no server lets a request
# run for longer. Short, for providers that let a session of theirs live on after its logout.
REMEMBERED: Final = timedelta(minutes=2)


def connect() -> None:
    """Subscribe to sign-ins."""
    subscribe_to_sign_ins(_find_hook)


def _find_hook(row: UserSession, auth_time: float | None) -> Callable[[], None] | None:
    """Return what ends the session `row` if its provider has ended it while it was saved.

    Args:
        auth_time: when the provider says that the user signed in; None: when `row` says so. A
            logout of everything that the subject has does not concern those who sign in after it.
    """
    issuer = row.issuer
    if issuer not in conf.PROVIDERS:
        return None

    def look() -> None:
        since = row.created if auth_time is None else datetime.fromtimestamp(auth_time, UTC)
        if Logout.objects.current().ends(row, since, datetime.now(UTC) - REMEMBERED):
            revoke_sessions(UserSessionsFilter.of_session(row))
            logger.info("A sign-in at %s came after its logout, and was ended.", issuer)
        _prefetch_keys(str(issuer))

    return look


def _prefetch_keys(issuer: str) -> None:
    """Have the provider's keys at hand in this process before it sends its first logout.

    Here, because every process that will need them serves requests, sign-ins among them; in a
    thread, because nobody who signs in is to wait for that.
    """
    try:
        from bff_sessions.oidc.providers import get_provider

        provider = get_provider(issuer)
        if provider is not None:
            provider.keys.prefetch()
    except (ImportError, ImproperlyConfigured) as error:
        # What the system checks say, too; and no reason to let nobody sign in.
        logger.error("Logouts of %s cannot be verified. %s", issuer, error)
    except Exception as error:
        # No thread can be started, for example. The first logout fetches the keys.
        logger.warning(
            "The keys of %s could not be fetched in advance: %s", issuer, type(error).__name__
        )
