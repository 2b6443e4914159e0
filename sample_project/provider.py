"""Stands in for an OpenID provider, so that the sample runs on its own."""

import secrets

ISSUER = "https://idp.example"


def authenticated_claims(user):
    """The claims of the id token that a provider would answer a sign-in of `user` with."""
    return {"iss": ISSUER, "sub": f"sub-{user.username}", "sid": secrets.token_hex(8)}
