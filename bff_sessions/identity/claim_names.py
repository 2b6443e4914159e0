"""Names of claims, by what they say."""

from __future__ import annotations

from typing import Final

# OpenID Connect Core 1.0, 5.1. This lists what is shown, not what is hidden, so that tokens and
# other values beside the claims stay on the server.
STANDARD_CLAIMS: Final = (
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
)

# Names of tokens in session data, see keep_tokens(). No claim may pass for one of them.
NOT_CLAIMS: Final = frozenset(
    {"access_token", "refresh_token", "id_token", "expires_at", "expires_in", "scope"}
)

# How the user signed in. A refresh is not a sign-in.
OF_SIGN_IN: Final = frozenset({"sid", "auth_time", "iat", "nonce"})

# Claims of the ID token about itself and the sign-in: OpenID Connect Core 1.0, 2 and 3.3.2.11. A
# UserInfo response must not replace them.
OF_ID_TOKEN: Final = OF_SIGN_IN | {
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "nbf",
    "jti",
    "acr",
    "amr",
    "at_hash",
    "c_hash",
    "s_hash",
}
