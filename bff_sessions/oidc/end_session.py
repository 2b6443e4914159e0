"""Where a browser ends its session at the provider: OpenID Connect RP-Initiated Logout 1.0."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.http import QueryDict
from django.views.decorators.debug import sensitive_variables

from bff_sessions import conf
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.id_tokens import ID_TOKEN, read_claims
from bff_sessions.oidc.providers import get_providers

__all__ = ["find_id_token", "get_url"]

logger = logging.getLogger("bff_sessions.oidc")


# The id token in an URL: it opens nothing, and the provider, who made it, is the only one to whom
# the URL leads. The specification's other way, a form that is posted to the provider, comes there
# without the provider's own cookie wherever that is SameSite=Lax, so that nobody is signed out.
@sensitive_variables()
def get_url(
    issuer: str,
    *,
    id_token_hint: str | None,
    post_logout_redirect_uri: str,
    state: str | None,
) -> str | None:
    """The end-session request, section 2, to which a browser is to be redirected.

    Args:
        issuer: of one of BFF_SESSIONS["PROVIDERS"].
        post_logout_redirect_uri: where the provider sends the browser then, if it is registered.
        state: what it sends along.

    Returns:
        None if the provider has no ``end_session_endpoint``; or, logged, if it cannot be asked.
    """
    provider = get_providers()[issuer]
    try:
        endpoint = provider.find_endpoint("end_session_endpoint")
    except ProviderUnavailable as error:
        logger.warning("Somebody signed out here, and not at the provider. %s", error)
        return None
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    query = QueryDict(parts.query, mutable=True)
    query["client_id"] = provider.client_id
    query["post_logout_redirect_uri"] = post_logout_redirect_uri
    if id_token_hint is not None:
        query["id_token_hint"] = id_token_hint
    if state is not None:
        query["state"] = state
    return urlunsplit(parts._replace(query=query.urlencode()))


@sensitive_variables()
def find_id_token(data: Mapping[str, Any], issuer: str) -> str | None:
    """The id token in the session data that this issuer gave, and no other."""
    claims = data.get(conf.CLAIMS_KEY)
    if isinstance(claims, Mapping) and claims.get("iss") == issuer:
        token = claims.get("id_token")
        return token if isinstance(token, str) else None
    with suppress(ValueError):
        if read_claims(data.get(ID_TOKEN)).get("iss") == issuer:
            return str(data[ID_TOKEN])
    return None
