"""Refresh the access token of a session before it expires: RFC 6749, 6. Needs the extra oidc."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.contrib import auth
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest

from bff_sessions import conf
from bff_sessions.contract import Actor, EndReason
from bff_sessions.events import Cause
from bff_sessions.exceptions import (
    ProviderUnavailable,
    SessionBusy,
    SessionConflict,
    SignInEnded,
    SignInRequired,
)
from bff_sessions.identity import identify
from bff_sessions.identity.claims import BINDING
from bff_sessions.measuring import Counted, count
from bff_sessions.oidc.providers import Provider, providers_of
from bff_sessions.oidc.refresh.fresh_claims import Fresh, OtherSubject, follow
from bff_sessions.oidc.refresh.token_endpoint import Issued, RefreshRefused, refresh
from bff_sessions.oidc.registrations import find_registration, warn_of_unknown_client
from bff_sessions.oidc.token_revocation import outbox
from bff_sessions.oidc.tokens import UNKNOWN_EXPIRY, Tokens, read_tokens
from bff_sessions.sansio import Block, Steps, arun, call, finally_take, in_thread, run, shield
from bff_sessions.secret import hidden_frames

logger = logging.getLogger("bff_sessions.oidc")

# Seconds to wait for another request that refreshes, and seconds until its lease expires.
_TIMEOUT: Final = 20
_LEASE: Final = 15


@hidden_frames()
def get_access_token(request: HttpRequest, *, margin: float | None = None) -> str:
    """Return an access token of the session that is valid for at least `margin` seconds.

    Shortly before the token expires, one of the requests that ask for it at the same time refreshes
    it at the provider, and saves it at once.

    Args:
        margin: the seconds for which the token must still be valid. By default,
            BFF_SESSIONS["ACCESS_TOKEN_MARGIN"], or a fifth of its lifetime if that is less.

    Raises:
        SignInRequired: if the session has no access token. Also if the token has expired and cannot
            be refreshed, or not before the user signs in again. The session stays as it is.
        SignInEnded: if the refresh token is no longer valid. The session is signed out.
        ClientMisconfigured: if the token has expired and the provider does not accept this site as
            a client. The session stays as it is.
        ProviderUnavailable: if the token has expired and the provider does not answer as it must.
            The session stays as it is.
        SessionBusy: if the token has expired and another request takes too long to refresh it.
        RuntimeError: if the token must be refreshed inside a transaction.
    """
    access = _Access(request, margin)
    token = run(access.peek())
    return run(access.refresh()) if token is None else token


@hidden_frames()
async def aget_access_token(request: HttpRequest, *, margin: float | None = None) -> str:
    """See get_access_token()."""
    access = _Access(request, margin)
    token = await arun(access.peek())
    return await arun(access.refresh()) if token is None else token


class _Access:
    """The steps of one request to its access token, for synchronous and asynchronous callers."""

    def __init__(self, request: HttpRequest, margin: float | None) -> None:
        self._request = request
        self._session: Any = request.session
        self._margin = margin
        self._before = self._new = Tokens()

    def peek(self) -> Steps[str | None]:
        """Return the token if it need not be refreshed."""
        yield from call(self._session.get, self._session.aget, "")  # Any access loads.
        self._before = tokens = self._read()
        return tokens.access_token if self._is_valid(tokens) else None

    def refresh(self) -> Steps[str]:
        # While the token is valid for long enough, do not wait for a request that refreshes it.
        is_urgent = self._before.seconds_left < self._get_margin(self._before) / 2
        block: Block = self._session.exclusive(timeout=_TIMEOUT if is_urgent else 0, seconds=_LEASE)
        try:
            yield from block.enter()
            # The provider has used up a refresh token that was sent, so save its answer.
            return (yield from shield(self._refresh_in(block)))
        except (SessionBusy, ProviderUnavailable, SignInRequired) as error:
            if isinstance(error, ProviderUnavailable):
                count(Counted.REFRESHES, "unavailable")
            tokens = None if isinstance(error, SignInEnded) else read_tokens(self._session)
            if tokens is None or tokens.access_token is None or tokens.seconds_left <= 0:
                raise
            if not isinstance(error, SessionBusy):
                logger.warning("An access token was not refreshed yet. %s", error)
            return tokens.access_token
        except SessionConflict:  # The session has not ended.
            raise
        except SessionInterrupted:
            raise SignInEnded("The session has ended.") from None

    def _refresh_in(self, block: Block) -> Steps[str]:
        """Refresh in `block`, which has been entered, and leave it."""
        try:
            return (yield from finally_take(self._refresh(), then=block.leave))
        except SessionInterrupted as error:
            # The other request ended the session without the token that was just issued.
            if not isinstance(error, SessionConflict) and self._new.refresh_token is not None:
                yield from in_thread(outbox.hand_over, [self._new])
            raise

    def _refresh(self) -> Steps[str]:
        """Return a valid token, holding the lease."""
        refusal = stored = provider = None
        for _ in range(2):
            tokens = self._read()
            if tokens.access_token is not None and (
                self._is_valid(tokens) or self._is_newer(tokens)
            ):
                return tokens.access_token
            provider = yield from self._find_provider(tokens)
            if provider is None:
                if tokens.access_token is not None and tokens.seconds_left > 0:
                    return tokens.access_token
                if tokens.expires_at == UNKNOWN_EXPIRY:
                    raise SignInRequired(
                        "The expiry of the access token is unknown, and the token cannot be "
                        "refreshed. The log bff_sessions.oidc says why."
                    )
                raise SignInRequired("The access token has expired and cannot be refreshed.")
            try:
                issued = yield from refresh(provider, tokens)
                fresh = yield from self._follow(provider, issued)
            except RefreshRefused as error:
                count(Counted.REFRESHES, "refused")
                # An earlier holder may have refreshed the token after its lease expired.
                data = yield from call(self._session.load, self._session.aload)
                refusal, stored = error, read_tokens(data)
                if stored is None or stored.refresh_token == tokens.refresh_token:
                    break
                with self._session.refreshing():
                    read_tokens(self._session, stored)
                continue
            except OtherSubject:
                count(Counted.REFRESHES, "refused")
                logger.error(
                    "%s answered a refresh with a token of another subject.", provider.issuer
                )
                refusal = None
                break
            count(Counted.REFRESHES, "refreshed")
            self._store(replace(issued.tokens, id_token=fresh.id_token), fresh.claims)
            return self._new.access_token or ""
        if refusal is not None and stored is not None and not refusal.is_final:
            raise SignInRequired(f"The user must sign in again. {refusal}")
        self._session.end_cause = Cause(
            EndReason.SECURITY_EVENT if refusal is None else EndReason.REFRESH_REFUSED,
            None if provider is None else Actor.of_provider(provider.issuer),
        )
        yield from call(auth.logout, auth.alogout, self._request)
        raise SignInEnded("The provider refuses to continue the session.")

    def _follow(self, provider: Provider, issued: Issued) -> Steps[Fresh]:
        signed_in, bound = self._session.get(conf.CLAIMS_KEY), self._session.get(BINDING)

        def look() -> Fresh:
            return follow(
                provider,
                issued.id_token,
                issued.tokens.access_token or "",
                old_id_token=issued.tokens.id_token,
                signed_in=signed_in,
                bound=bound,
                asked=issued.asked,
            )

        try:
            # It may ask the provider, which must not hold the thread of synchronous code.
            return (yield from call(look, sync_to_async(look, thread_sensitive=False)))
        except (OtherSubject, GeneratorExit):
            raise
        except BaseException:
            # For example a signal. The old refresh token is used up, so the new one must be saved.
            self._store(issued.tokens, None)
            raise

    def _store(self, tokens: Tokens, claims: dict[str, Any] | None) -> None:
        self._new = tokens
        with self._session.refreshing():
            # First, because a function in BFF_SESSIONS["TOKENS"] may write there, too.
            if claims is not None:
                self._session[conf.CLAIMS_KEY] = claims
            read_tokens(self._session, tokens)

    def _read(self) -> Tokens:
        tokens = read_tokens(self._session)
        if tokens is None:
            raise SignInRequired("The session has no access token.")
        return tokens

    def _is_valid(self, tokens: Tokens) -> bool:
        return tokens.seconds_left > self._get_margin(tokens)

    def _is_newer(self, tokens: Tokens) -> bool:
        """Return whether another request refreshed them after this one read them."""
        return tokens.access_token != self._before.access_token and tokens.seconds_left > 0

    def _get_margin(self, tokens: Tokens) -> float:
        if self._margin is not None:
            return self._margin
        if tokens.expires_in is None:
            return conf.ACCESS_TOKEN_MARGIN
        return min(conf.ACCESS_TOKEN_MARGIN, tokens.expires_in / 5)

    def _find_provider(self, tokens: Tokens) -> Steps[Provider | None]:
        """Find the provider that can refresh `tokens`; None if there is none."""
        issuer = tokens.issuer or identify(dict(self._session.items())).issuer
        if issuer is None or tokens.refresh_token is None:
            return None
        # In a thread, because a callable of the project may query a database.
        provider = yield from in_thread(_find_client, issuer, tokens.find_audience())
        if provider is None:
            return None
        endpoint = yield from call(
            provider.find_endpoint, provider.afind_endpoint, "token_endpoint"
        )
        return None if endpoint is None else provider


def _find_client(issuer: str, audience: Collection[str]) -> Provider | None:
    """Return the provider as the client that `audience` names. Log if it names none of several."""
    registration = find_registration(issuer)
    if registration is None:
        return None
    index = registration.find_client(audience)
    if index is None:
        warn_of_unknown_client(issuer)
        return None
    return providers_of(registration)[index]
