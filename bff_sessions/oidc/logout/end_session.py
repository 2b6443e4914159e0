"""Build the URL that ends a session at the provider: OpenID Connect RP-Initiated Logout 1.0."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from django.http import QueryDict

from bff_sessions import conf
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.identity.claims import audience_of
from bff_sessions.identity.id_tokens import ID_TOKEN, read_claims
from bff_sessions.oidc.providers import get_provider
from bff_sessions.secret import hidden_frames

logger = logging.getLogger("bff_sessions.oidc")

# Characters. Common web servers take request lines of 8 KB: nginx's large_client_header_buffers,
# Apache's LimitRequestLine. Django refuses to redirect to URLs over 16,384 characters.
_MAX_LENGTH: Final = 8_000


# The ID token may stand in the URL: it grants no access, and the URL leads to the provider that
# issued it. The specification's alternative is a form that the browser posts to the provider. The
# browser would not send a SameSite=Lax cookie of the provider with it, and no user be signed out.
@hidden_frames()
def get_url(
    issuer: str,
    *,
    audience: Collection[str],
    id_token_hint: str | None,
    post_logout_redirect_uri: str,
    return_to: str | None,
) -> str | None:
    """Return the end-session request, section 2, to which a browser is to be redirected.

    A URL that would be too long for web servers leaves out the hint, and then `return_to`.

    Args:
        issuer: the provider.
        audience: the client IDs in the ID token; if they name no client, the first one signs out.
        post_logout_redirect_uri: the URL to which the provider redirects the browser afterwards,
            if it is registered there.
        return_to: the path of this site that the provider returns as ``state``; None for the
            default target.

    Returns:
        None if the provider is not configured or has no ``end_session_endpoint``. Also None, with
        a log line, if the provider cannot be asked.
    """
    try:
        provider = get_provider(issuer, audience, or_first=True)
        if provider is None:
            return None
        endpoint = provider.find_endpoint("end_session_endpoint")
    except ProviderUnavailable as error:
        logger.warning("A user signed out here but not at the provider. %s", error)
        return None
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    query = QueryDict(parts.query, mutable=True)
    query["client_id"] = provider.client_id
    query["post_logout_redirect_uri"] = post_logout_redirect_uri
    # Optional in the specification, but FranceConnect refuses a request without state. A state
    # that is not a path leads to the default target.
    random_state = secrets.token_urlsafe(16)
    wanted = return_to or random_state
    # Use the most complete request that is short enough.
    for hint, state in ((id_token_hint, wanted), (None, wanted), (None, random_state)):
        request = query.copy()
        request["state"] = state
        if hint is not None:
            request["id_token_hint"] = hint
        url = urlunsplit(parts._replace(query=request.urlencode()))
        if len(url) <= _MAX_LENGTH:
            return url
    logger.warning(
        "A user signed out here but not at the provider. The end-session URL of %s is too long.",
        issuer,
    )
    return None


def find_audience(data: Mapping[str, Any], issuer: str) -> Collection[str]:
    """Return the client IDs in the claims of this issuer in the session data."""
    claims = data.get(conf.CLAIMS_KEY)
    if isinstance(claims, Mapping) and claims.get("iss") == issuer and audience_of(claims):
        return audience_of(claims)
    token = find_id_token(data, issuer)
    return () if token is None else audience_of(read_claims(token))


def find_id_token(data: Mapping[str, Any], issuer: str) -> str | None:
    """Return the ID token of this issuer in the session data; None if it cannot be read."""
    claims = data.get(conf.CLAIMS_KEY)
    if isinstance(claims, Mapping) and claims.get("iss") == issuer:
        token = claims.get("id_token")
    else:
        token = data.get(ID_TOKEN)
    # RP-Initiated Logout 1.0, 2: an encrypted ID token is not a valid hint as it is.
    with suppress(ValueError):
        return str(token) if read_claims(token).get("iss") == issuer else None
    return None
