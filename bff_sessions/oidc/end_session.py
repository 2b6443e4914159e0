"""Where a browser ends its session at the provider: OpenID Connect RP-Initiated Logout 1.0."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from django.http import QueryDict

from bff_sessions import conf
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.identity.id_tokens import ID_TOKEN, read_claims
from bff_sessions.oidc.providers import get_providers
from bff_sessions.secret import hidden_frames

__all__ = ["find_id_token", "get_url"]

logger = logging.getLogger("bff_sessions.oidc")

# Characters. Common web servers take request lines of 8 KB: nginx's large_client_header_buffers,
# Apache's LimitRequestLine. Django refuses to redirect to URLs over 16,384 characters.
_MAX_LENGTH: Final = 8_000


# The id token in an URL: it opens nothing, and the provider, who made it, is the only one to whom
# the URL leads. The specification's other way, a form that is posted to the provider, comes there
# without the provider's own cookie wherever that is SameSite=Lax, so that nobody is signed out.
@hidden_frames()
def get_url(
    issuer: str,
    *,
    id_token_hint: str | None,
    post_logout_redirect_uri: str,
    return_to: str | None,
) -> str | None:
    """Return the end-session request, section 2, to which a browser is to be redirected.

    A URL that would be too long for web servers leaves out the hint, and then `return_to`.

    Args:
        issuer: of one of BFF_SESSIONS["PROVIDERS"].
        post_logout_redirect_uri: where the provider sends the browser then, if it is registered.
        return_to: the path of this site that the provider sends along as ``state``; None for the
            default target.

    Returns:
        None if the provider has no ``end_session_endpoint``; or, logged, if it cannot be asked.
    """
    provider = get_providers()[issuer]
    try:
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
    # Optional in the specification, but FranceConnect refuses a request without state. One that is
    # no path leads to the default target.
    random_state = secrets.token_urlsafe(16)
    wanted = return_to or random_state
    # The most complete one that is short enough.
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


def find_id_token(data: Mapping[str, Any], issuer: str) -> str | None:
    """Return the id token in the session data that this issuer gave; None if it cannot be read."""
    claims = data.get(conf.CLAIMS_KEY)
    if isinstance(claims, Mapping) and claims.get("iss") == issuer:
        token = claims.get("id_token")
    else:
        token = data.get(ID_TOKEN)
    # RP-Initiated Logout 1.0, 2: an encrypted id token is not a hint as it is.
    with suppress(ValueError):
        return str(token) if read_claims(token).get("iss") == issuer else None
    return None
