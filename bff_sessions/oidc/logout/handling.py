"""End the sessions that a logout token names: OpenID Connect Back-Channel Logout 1.0, 2.7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

from bff_sessions.contract import Actor, EndReason, UserSessionsFilter, iterate_user_sessions
from bff_sessions.identity.session_ids import is_own_session_id
from bff_sessions.oidc.logout.named import Named
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
    ended = end_once(
        [Named(subject_id=token.subject_id, session_id=token.session_id)],
        ends_all=get_logout_options().all_sessions,
        issuer=token.issuer,
        jti=token.jti,
        issued=token.issued_at,
        expires=token.expires_at,
        reason=EndReason.PROVIDER,
    )
    if ended is None:
        raise LogoutTokenInvalid(Reason.REPLAYED)
    return ended


def end_once(
    named: Sequence[Named],
    *,
    ends_all: bool,
    issuer: str,
    jti: str,
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
        named: what the token names, at least one.
        ends_all: whether all sessions of a subject end, also if the token names only one of them.
        issuer: the provider of the sessions.
        jti: what identifies the token among all that may end sessions of this provider.
        issued: when the token was issued, by the provider's clock.
        expires: when the token itself is refused.
        keeps_sign_in: whether the sign-in at the provider lives on, so that a session with an ID
            token that was issued afterwards stays.

    Returns:
        None if the token has been used already.

    Raises:
        RuntimeError: inside a transaction, which would commit too late for other requests.
    """

    def record_of(each: Named) -> Logout:
        return Logout.of(
            issuer=issuer,
            jti=jti,
            session_id=each.session_id,
            subject_id=each.subject_id,
            issued=issued,
            expires=max(expires, datetime.now(UTC) + REMEMBERED),
            ends_all=ends_all,
            keeps_sign_in=keeps_sign_in,
        )

    logouts = Logout.objects.current()
    first, *others = map(record_of, named)
    if not logouts.begin(first):
        return None
    # Now each sign-in that is saved later finds the logout, and each earlier one is found here.
    known = _find_subjects(named, issuer) if ends_all else {}
    subjects = {Named(subject_id=subject_id): key for subject_id, key in known.items()}
    logouts.add([*others, *map(record_of, subjects)], beside=first)
    ended = sum(
        revoke_sessions(filter, reason=reason, actor=Actor.of_provider(issuer))
        for filter in (
            # A session by which its subject was found ends last: if this is interrupted, the
            # repetition finds the subject by it again.
            *(each.to_filter(issuer, exclude_key=key) for each, key in subjects.items()),
            *(each.to_filter(issuer) for each in subjects),
            *chain.from_iterable(_find_filters(each, issuer, ends_all) for each in named),
        )
    )
    # If it is used now, a concurrent request has used it.
    return ended if logouts.finish(first) else None


def _find_filters(named: Named, issuer: str, ends_all: bool) -> list[UserSessionsFilter]:
    """Return the filters of the sessions that end if a token names `named`."""
    if named.subject_id is None or named.session_id is None:
        return [named.to_filter(issuer)]
    of_subject = Named(subject_id=named.subject_id).to_filter(issuer)
    if ends_all:
        return [of_subject]
    # Each session of the subject to which the provider gave no sid may be the one that is named.
    # Unlike query_user_sessions(), this also finds a session that is just moving.
    found = get_store().get_user_sessions(of_subject)
    own = {one.session_id for one in found if is_own_session_id(one.session_id)}
    return [replace(of_subject, session_id=each) for each in (*own, named.session_id)]


def _find_subjects(named: Sequence[Named], issuer: str) -> dict[str, str]:
    """Return the subjects of the sessions that are named without one, each with a store key.

    Clients of one provider may know a user by different subjects: OpenID Connect Core 1.0, 8.1.
    """
    store, found = get_store(), {}
    for each in named:
        if each.subject_id is None:
            filter = each.to_filter(issuer)
            # Only the second verb, which reads tickets, finds a session that is just moving.
            some = list(iterate_user_sessions(store, filter)) or store.get_user_sessions(filter)
            found.update({one.subject_id: one.key for one in some if one.subject_id is not None})
    return found
