"""End the sessions that a logout token names: OpenID Connect Back-Channel Logout 1.0, 2.7."""

from __future__ import annotations

from datetime import UTC, datetime

from bff_sessions.contract import Actor, EndReason, UserSessionsFilter
from bff_sessions.oidc.logout.tokens import LogoutToken, LogoutTokenInvalid, Reason
from bff_sessions.oidc.models import Logout
from bff_sessions.oidc.options.backchannel_logout import get_logout_options
from bff_sessions.oidc.sign_in.early_logouts import REMEMBERED
from bff_sessions.revocation import revoke_sessions
from bff_sessions.stores import get_store


def end_sessions(token: LogoutToken) -> int:
    """End the sessions that the verified `token` names, and return their number.

    Sessions end in all partitions of the store, as with revoke_sessions(). The user has signed out
    at the provider, whichever application of this site is registered there.

    Raises:
        LogoutTokenInvalid: if the token has been used already.
        RuntimeError: inside a transaction, see end_once().
    """
    options = get_logout_options()
    subject_id, session_id = token.subject_id, token.session_id
    if options.all_sessions:
        subject_id = subject_id or _find_subject(token)
    ends_all = subject_id is not None and (session_id is None or options.all_sessions)
    ended = end_once(
        UserSessionsFilter(
            issuer=token.issuer,
            subject_id=subject_id,
            session_id=None if ends_all else session_id,
        ),
        issuer=token.issuer,
        jti=token.jti,
        session_id=session_id,
        subject_id=subject_id if ends_all else None,
        issued=token.issued_at,
        expires=token.expires_at,
        reason=EndReason.PROVIDER,
    )
    if ended is None:
        raise LogoutTokenInvalid(Reason.REPLAYED)
    return ended


def end_once(
    named: UserSessionsFilter,
    *,
    issuer: str,
    jti: str,
    session_id: str | None,
    subject_id: str | None,
    issued: datetime,
    expires: datetime,
    reason: EndReason,
    keeps_sign_in: bool = False,
) -> int | None:
    """End the sessions `named` in a security event token, and return their number.

    Before the sessions end, save and commit the logout: a concurrent sign-in finds it, see
    `bff_sessions.oidc.sign_in.early_logouts`. Mark the token as used only afterwards: if a step
    before fails, the issuer may try again.

    Args:
        issuer: the provider of the sessions.
        jti: what identifies the token among all that may end sessions of this provider.
        session_id: the session at the provider that ends, also during a sign-in.
        subject_id: the subject whose sessions end all, also those that are signing in.
        issued: when the token was issued, by the provider's clock.
        expires: when the token itself is refused.
        keeps_sign_in: whether the sign-in at the provider lives on, so that a session with an ID
            token that was issued afterwards stays.

    Returns:
        None if the token has been used already.

    Raises:
        RuntimeError: inside a transaction, which would commit too late for other requests.
    """
    logouts = Logout.objects.current()
    if not logouts.begin(
        issuer=issuer,
        jti=jti,
        session_id=session_id,
        subject_id=subject_id,
        issued=issued,
        expires=max(expires, datetime.now(UTC) + REMEMBERED),
        keeps_sign_in=keeps_sign_in,
    ):
        return None
    ended = revoke_sessions(named, reason=reason, actor=Actor.of_provider(issuer))
    # If it is used now, a concurrent request has used it.
    return ended if logouts.finish(issuer=issuer, jti=jti) else None


def _find_subject(token: LogoutToken) -> str | None:
    """Return the subject of the session that `token` names; None without such a session."""
    named = UserSessionsFilter(issuer=token.issuer, session_id=token.session_id)
    page = get_store().query_user_sessions(named, limit=1)
    return page.sessions[0].subject_id if page.sessions else None
