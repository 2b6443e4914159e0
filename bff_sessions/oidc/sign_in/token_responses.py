"""Sign a user in with a token response. Imports no optional dependency."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from django.contrib import auth
from django.http import HttpRequest

from bff_sessions import conf
from bff_sessions.identity import Identity
from bff_sessions.identity.claim_names import NOT_CLAIMS
from bff_sessions.identity.claims import BINDING, claim
from bff_sessions.identity.id_tokens import MOZILLA_TOKENS, read_claims
from bff_sessions.oidc.log import log_once
from bff_sessions.oidc.tokens import Tokens, read_expiry, read_tokens
from bff_sessions.oidc.tokens.values import to_scope, to_seconds, to_text
from bff_sessions.secret import hidden_frames

logger = logging.getLogger("bff_sessions.oidc")


@hidden_frames()
def sign_in(
    request: HttpRequest,
    user: Any,
    token: Mapping[str, Any],
    *,
    claims: Mapping[str, Any] | None = None,
    userinfo: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> None:
    """Sign `user` in with a token response of the provider.

    This calls ``django.contrib.auth.login()`` and stores the claims and the tokens in the session,
    where they replace those of every earlier sign-in. Then the provider can end the session,
    ``GET user`` shows the claims, and get_access_token() works.

    Args:
        request: the request in which the user signs in.
        user: Django's user whom the claims identify.
        token: the token response, for example as Authlib's ``authorize_access_token()`` returns
            it. It has ``access_token`` and, if the provider sends them, ``refresh_token``,
            ``id_token``, ``expires_in`` or ``expires_at``, and ``scope``.
        claims: the claims of the ID token, which the caller has verified. By default
            ``token["userinfo"]``, where Authlib puts them.
        userinfo: the response of the UserInfo endpoint, for providers whose ID tokens have no name.
            If both have a claim, that of the ID token counts.
        backend: the dotted path of the authentication backend, see ``login()``.

    Raises:
        TypeError: if `token`, `claims` or `userinfo` is not a mapping.
        ValueError: if the access token, ``iss`` or ``sub`` is missing, if a value cannot be read,
            or if `token`, `claims` and `userinfo` name different subjects. The user is not signed
            in then.
        Exception: any error of the function in BFF_SESSIONS["TOKENS"]. The user is signed out.
    """
    verified, tokens = _check(token, claims, userinfo)
    bound = request.session.get(BINDING)
    auth.login(request, user, backend)
    try:
        _replace(request.session, bound, verified, tokens)
    except BaseException:
        # No provider could end the session, and a view may handle the error.
        auth.logout(request)
        raise


@hidden_frames()
async def asign_in(
    request: HttpRequest,
    user: Any,
    token: Mapping[str, Any],
    *,
    claims: Mapping[str, Any] | None = None,
    userinfo: Mapping[str, Any] | None = None,
    backend: str | None = None,
) -> None:
    """See sign_in()."""
    verified, tokens = _check(token, claims, userinfo)
    bound = await request.session.aget(BINDING)
    await auth.alogin(request, user, backend)
    try:
        _replace(request.session, bound, verified, tokens)
    except BaseException:
        await auth.alogout(request)
        raise


def keep_sign_in(session: Any, claims: Mapping[str, Any], tokens: Tokens | None) -> None:
    """Store the verified `claims` of a sign-in and its `tokens`, in place of earlier ones."""
    for key in MOZILLA_TOKENS:
        if key in session:
            del session[key]
    session[conf.CLAIMS_KEY] = {k: v for k, v in claims.items() if k not in NOT_CLAIMS}
    if tokens is not None:
        read_tokens(session, replace(tokens, issuer=claim(claims, "iss")))


def try_response(
    token: Mapping[str, Any], issuer: str | None, *, since: float | None = None
) -> Tokens | None:
    """Return what read_response() does; log a fault once, and return None.

    A fault of the tokens must not keep a login library from signing users in.
    """
    try:
        return read_response(token, since=since)
    except (TypeError, ValueError) as error:
        message = f"The tokens of %s were not stored at sign-in. {error}"
        log_once(logger, logging.ERROR, "token_response", issuer, message)
        return None


def read_response(token: Mapping[str, Any], *, since: float | None = None) -> Tokens:
    """Return the tokens of a token response: RFC 6749, 5.1.

    Args:
        since: from when ``expires_in`` counts, in seconds since 1970. By default from now.

    Raises:
        TypeError: if `token` is not a mapping.
        ValueError: if it has no access token, or if the expiry cannot be read.
    """
    _check_mapping("token", token)
    texts: dict[str, Any] = {
        name: token.get(name) for name in ("access_token", "refresh_token", "id_token")
    }
    for name, value in texts.items():
        if not (value is None or isinstance(value, str)):
            raise ValueError(f"The {name} of the token response must be a text.")
        texts[name] = to_text(value)
    if texts["access_token"] is None:
        raise ValueError("The token response has no access_token.")
    now = time.time()
    expires_at = read_expiry(token, since=now if since is None else since)
    return Tokens(
        **texts,
        expires_at=expires_at,
        expires_in=_lifetime(token, expires_at, now),
        scope=to_scope(token.get("scope")),
    )


def _lifetime(token: Mapping[str, Any], expires_at: datetime | None, now: float) -> float | None:
    if expires_at is None:
        return None
    lifetime = to_seconds(token.get("expires_in"))
    if lifetime is not None:
        return lifetime
    return max(0.0, round((expires_at - datetime.fromtimestamp(now, UTC)).total_seconds()))


def _check(
    token: Mapping[str, Any],
    claims: Mapping[str, Any] | None,
    userinfo: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], Tokens]:
    """Return the claims and the tokens of one and the same subject."""
    tokens = read_response(token)
    if claims is None:
        claims = token.get("userinfo")
        if claims is None:
            raise ValueError(
                "The claims of the ID token are missing: verify the token, and pass its claims as "
                "claims. Authlib does both if the scope has openid."
            )
    _check_mapping("claims", claims)
    for name in ("iss", "sub"):
        if claim(claims, name) is None:
            raise ValueError(f"The claims of the ID token have no {name}.")
    # Raises an error for what no store can store.
    Identity(issuer=claims["iss"], subject_id=claims["sub"], session_id=claim(claims, "sid"))
    if userinfo is not None:
        _check_mapping("userinfo", userinfo)
        if userinfo.get("sub") != claims["sub"]:
            # OpenID Connect Core 1.0, 5.3.2.
            raise ValueError("userinfo and the ID token must have the same sub.")
    _check_subject(token.get("userinfo"), claims)
    _check_subject(_read_unverified(tokens.id_token), claims)
    return {**(userinfo or {}), **claims}, tokens


def _check_mapping(name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(value).__name__}.")


def _check_subject(others: object, claims: Mapping[str, Any]) -> None:
    if not isinstance(others, Mapping):
        return
    for name in ("iss", "sub"):
        if others.get(name, claims[name]) != claims[name]:
            raise ValueError(f"The token response and claims must have the same {name}.")


def _read_unverified(id_token: str | None) -> dict[str, Any] | None:
    """Return claims that may contradict the verified ones, and that nothing else relies on."""
    try:
        return read_claims(id_token)
    except ValueError:
        return None  # There is none, or it is encrypted.


def _replace(session: Any, bound: object, claims: Mapping[str, Any], tokens: Tokens) -> None:
    """Store a sign-in in place of what bind_identity() `bound` before, which would decide."""
    # What a receiver of user_logged_in has bound since stays.
    if bound is not None and session.get(BINDING) == bound:
        del session[BINDING]
    keep_sign_in(session, claims, tokens)
