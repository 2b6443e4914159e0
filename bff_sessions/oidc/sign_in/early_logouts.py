"""End a session that its provider ended during the sign-in. Imports no optional dependency.

A logout first saves that it ends a session, and then ends it. A sign-in first saves its session,
and then looks for a saved logout. In either order, one of them sees the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.contract import Actor, EndReason, UserSession, UserSessionsFilter
from bff_sessions.events import subscribe_to_sign_ins
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.models import Logout
from bff_sessions.oidc.options.addresses import explain_issuer
from bff_sessions.oidc.registrations import are_looked_up, known_issuers
from bff_sessions.repeats import error_level
from bff_sessions.revocation import revoke_sessions

logger = logging.getLogger("bff_sessions.logout")

# The longest time from the provider's answer to a saved session: servers do not let a request run
# longer. It is short, because some providers let their session live on after its logout.
REMEMBERED: Final = timedelta(minutes=2)


def connect() -> None:
    """Subscribe to sign-ins."""
    subscribe_to_sign_ins(_find_hook)


def _find_hook(
    row: UserSession, auth_time: float | None, issued_at: float | None
) -> Callable[[], None] | None:
    """Return a function that ends the session `row` if its provider ended it meanwhile.

    Args:
        auth_time: when the user signed in at the provider; None means when `row` was created.
        issued_at: when the provider issued the ID token; None means at the sign-in.
    """
    issuer = row.issuer
    if issuer is None or not conf.PROVIDERS:
        return None
    if not are_looked_up() and issuer not in known_issuers():
        _warn_of(issuer)
        return None

    def look() -> None:
        signed_in = _to_datetime(auth_time, row.created)
        issued = _to_datetime(issued_at, signed_in)
        # A logout is saved only for a provider of this site, so it need not be looked up first.
        since = datetime.now(UTC) - REMEMBERED
        if Logout.objects.current().ends(row, signed_in, issued, since):
            revoke_sessions(
                UserSessionsFilter.of_session(row),
                reason=EndReason.PROVIDER,
                actor=Actor.of_provider(issuer),
            )
            logger.info("A session of %s ended at sign-in: its logout arrived first.", issuer)
        _prefetch_keys(issuer)

    return look


def _to_datetime(moment: float | None, default: datetime) -> datetime:
    return default if moment is None else datetime.fromtimestamp(moment, UTC)


def _warn_of(issuer: str) -> None:
    """Log that the provider of a sign-in is not configured. Nothing else would report it."""
    log_once(
        logger,
        logging.WARNING,
        "not configured",
        f"{issuer!a:.120}",
        "A user signed in at %s, which is not in BFF_SESSIONS['PROVIDERS']: sign-out does not "
        "reach the provider, the provider cannot end sessions, and tokens are not refreshed. %s",
        explain_issuer(issuer),
    )


def _prefetch_keys(issuer: str) -> None:
    """Fetch the provider's keys in a thread, before the provider sends its first logout.

    A sign-in triggers this, because each process that needs the keys also serves sign-ins. In a
    thread, because users who sign in must not wait for it.
    """
    try:
        from bff_sessions.oidc.providers import get_provider

        provider = get_provider(issuer)
        if provider is None:
            _warn_of(issuer)
        else:
            provider.keys.prefetch()
    except (ImportError, ImproperlyConfigured) as error:
        # The system checks report it, too. It must not keep users from signing in.
        logger.log(
            error_level(logger, issuer), "Logouts of %s cannot be verified. %s", issuer, error
        )
    except Exception as error:
        # For example, a thread cannot be started. The first logout then fetches the keys.
        logger.warning(
            "The keys of %s could not be fetched in advance: %s", issuer, type(error).__name__
        )
