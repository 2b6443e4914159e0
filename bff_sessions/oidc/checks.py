"""What is wrong with the settings of providers. Imports nothing that is optional."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import router

from bff_sessions import conf
from bff_sessions.contract import MAX_TEXT, is_moment
from bff_sessions.oidc.addresses import is_secure, is_url
from bff_sessions.oidc.options import LogoutOptions, RevocationOptions
from bff_sessions.stores import database_of_store

__all__ = [
    "ALGORITHMS",
    "DEFAULT_ALGORITHMS",
    "ENDPOINTS",
    "check_logout",
    "check_outbox",
    "check_providers",
    "check_revocation",
    "check_tokens",
]

ENDPOINTS: Final = (
    "JWKS_URI",
    "AUTHORIZATION_ENDPOINT",
    "TOKEN_ENDPOINT",
    "REVOCATION_ENDPOINT",
    "END_SESSION_ENDPOINT",
)
AUTH_METHODS: Final = ("client_secret_basic", "client_secret_post")
OPTIONS: Final = (
    "CLIENT_ID",
    "CLIENT_SECRET",
    "DISCOVERY_URL",
    *ENDPOINTS,
    "ALGORITHMS",
    "TOKEN_ENDPOINT_AUTH_METHOD",
    "ALLOW_MISSING_EXP",
    "ALLOW_HTTP",
)
# Asymmetric ones only: with HMAC whoever knows the public key, or the client secret, could sign.
DEFAULT_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_MAX_SECONDS: Final = 24 * 60 * 60
ALGORITHMS: Final = (*DEFAULT_ALGORITHMS, "ES256K")
_PROVIDERS_HAVE: Final = "Move it into the dictionary of a provider in BFF_SESSIONS['PROVIDERS']."


def check_providers(providers: Any) -> Iterator[CheckMessage]:
    """What is wrong with BFF_SESSIONS["PROVIDERS"]."""
    if not isinstance(providers, dict) or not all(
        isinstance(options, dict) for options in providers.values()
    ):
        yield Error(
            "BFF_SESSIONS['PROVIDERS'] must be a dictionary of dictionaries.",
            hint="Write {'https://idp.example': {'CLIENT_ID': 'shop'}}, for example.",
            id="bff_sessions.E020",
        )
        return
    if providers and not (find_spec("jwt") and find_spec("requests")):
        yield Error(
            "BFF_SESSIONS['PROVIDERS'] needs PyJWT and requests, which are not installed.",
            hint="pip install 'django-bff-sessions[oidc]'",
            id="bff_sessions.E021",
        )
    for issuer, options in providers.items():
        yield from _check_provider(issuer, options)


def _check_provider(issuer: Any, options: dict[str, Any]) -> Iterator[CheckMessage]:
    name = f"BFF_SESSIONS['PROVIDERS'][{issuer!r:.120}]"
    # OpenID Connect Discovery 1.0, 3: an URL "with no query or fragment components".
    if not is_url(issuer) or "?" in issuer or len(issuer) > MAX_TEXT:
        yield Error(
            f"{name} must be an issuer: an absolute URL without query and fragment.",
            hint="Give the provider's issuer to the letter, 'https://idp.example' for example.",
            id="bff_sessions.E022",
        )
        return
    for option in options:
        if option not in OPTIONS:
            yield Error(
                f"{name} has no option {option!r:.120}.",
                hint=f"It has {', '.join(OPTIONS)}.",
                id="bff_sessions.E023",
            )
    if not _is_text(options.get("CLIENT_ID")):
        yield Error(
            f"{name}['CLIENT_ID'] must be a text; it is {options.get('CLIENT_ID')!r:.120}.",
            hint="Give the client id under which the site is registered at the provider.",
            id="bff_sessions.E024",
        )
    if not (options.get("CLIENT_SECRET") is None or _is_text(options["CLIENT_SECRET"])):
        yield Error(
            f"{name}['CLIENT_SECRET'] must be a text that is not blank, or None.",
            hint="Give the secret that the provider gave, or leave it out for a public client.",
            id="bff_sessions.E025",
        )
    allow_http = options.get("ALLOW_HTTP", False)
    if not isinstance(allow_http, bool):
        yield Error(
            f"{name}['ALLOW_HTTP'] is neither True nor False.",
            hint="Leave it out, unless a network of your own leads to the provider.",
            id="bff_sessions.E026",
        )
    if not isinstance(options.get("ALLOW_MISSING_EXP", False), bool):
        yield Error(
            f"{name}['ALLOW_MISSING_EXP'] must be True or False.",
            hint="Leave it out, unless the provider's logout tokens have no exp.",
            id="bff_sessions.E035",
        )
    addresses = ("DISCOVERY_URL", *ENDPOINTS)
    for option, url in [("", issuer), *[(key, options.get(key)) for key in addresses]]:
        place = f"{name}['{option}']" if option else name
        if url is None:
            continue
        if not is_url(url):
            yield Error(
                f"{place} must be an absolute URL; it is {url!r:.120}.",
                hint="Give the URL, or None if the provider has none; or leave it out.",
                id="bff_sessions.E027",
            )
        elif allow_http is not True and not is_secure(url):
            yield Error(
                f"{place} is not https: {url!r:.120}.",
                hint="Use https, or 'ALLOW_HTTP': True where nobody else can listen.",
                id="bff_sessions.E028",
            )
    yield from _check_signatures(name, options)
    uri = options.get("JWKS_URI")
    if uri is None and ("JWKS_URI" in options or options.get("DISCOVERY_URL", "") is None):
        yield Warning(
            f"{name} can verify no logout token: it has no JWKS_URI.",
            hint="Give the URL of the provider's keys, or silence this check.",
            id="bff_sessions.W020",
        )


def _check_signatures(name: str, options: dict[str, Any]) -> Iterator[CheckMessage]:
    algorithms = options.get("ALGORITHMS", DEFAULT_ALGORITHMS)
    if (
        not isinstance(algorithms, (list, tuple))
        or not algorithms
        or not all(algorithm in ALGORITHMS for algorithm in algorithms)
    ):
        yield Error(
            f"{name}['ALGORITHMS'] must be a list of signature algorithms; it is "
            f"{algorithms!r:.120}.",
            hint=f"Give some of {', '.join(ALGORITHMS)}, or leave it out.",
            id="bff_sessions.E029",
        )
    method = options.get("TOKEN_ENDPOINT_AUTH_METHOD")
    if not (method is None or method in AUTH_METHODS):
        yield Error(
            f"{name}['TOKEN_ENDPOINT_AUTH_METHOD'] is unknown: {method!r:.120}.",
            hint=f"Give one of {', '.join(AUTH_METHODS)}, or leave it out.",
            id="bff_sessions.E030",
        )


def check_logout(options: Any) -> Iterator[CheckMessage]:
    """What is wrong with BFF_SESSIONS["BACKCHANNEL_LOGOUT"]."""
    name = "BFF_SESSIONS['BACKCHANNEL_LOGOUT']"
    if not isinstance(options, dict):
        yield Error(
            f"{name} must be a dictionary; it is {options!r:.120}.",
            hint="Write {'STRICT_TYP': True}, for example.",
            id="bff_sessions.E031",
        )
        return
    kinds = {field.name.upper(): field.type for field in fields(LogoutOptions)}
    for option, value in options.items():
        kind = kinds.get(option)
        if kind is None:
            yield Error(
                f"{name} has no option {option!r:.120}.",
                hint=_PROVIDERS_HAVE if option in OPTIONS else f"It has {', '.join(kinds)}.",
                id="bff_sessions.E032",
            )
        elif kind == "bool" and not isinstance(value, bool):
            yield Error(
                f"{name}[{option!r}] is neither True nor False: {value!r:.120}.",
                hint="Give one of them, or leave it out.",
                id="bff_sessions.E033",
            )
        elif kind == "float" and not (is_moment(value) and value <= _MAX_SECONDS):
            yield Error(
                f"{name}[{option!r}] must be a number of seconds; it is {value!r:.120}.",
                hint=f"Give a number from 0 to {_MAX_SECONDS}, or leave it out.",
                id="bff_sessions.E034",
            )


def check_tokens(margin: Any) -> Iterator[CheckMessage]:
    """What is wrong with BFF_SESSIONS["TOKENS"] and ["ACCESS_TOKEN_MARGIN"]."""
    try:
        conf.load_callable("TOKENS")
    except ImproperlyConfigured as error:
        is_import = error.__cause__ is not None
        yield Error(
            str(error),
            hint="Give the dotted path of a function like bff_sessions.oidc.tokens.keep_tokens.",
            id="bff_sessions.E040" if is_import else "bff_sessions.E041",
        )
    if not is_moment(margin):
        yield Error(
            "BFF_SESSIONS['ACCESS_TOKEN_MARGIN'] must be a number of seconds; it is "
            f"{margin!r:.120}.",
            hint="Give the seconds for which an access token has to be good still, for example 60.",
            id="bff_sessions.E042",
        )


def check_revocation(options: Any) -> Iterator[CheckMessage]:
    """What is wrong with BFF_SESSIONS["TOKEN_REVOCATION"]."""
    name = "BFF_SESSIONS['TOKEN_REVOCATION']"
    if options is None:
        return
    if not isinstance(options, dict):
        yield Error(
            f"{name} is neither a dictionary nor None.",
            hint="For example {'EXPIRED_SESSIONS': True}; None revokes no tokens.",
            id="bff_sessions.E043",
        )
        return
    kinds = {field.name.upper(): field.type for field in fields(RevocationOptions)}
    for option, value in options.items():
        kind = kinds.get(option)
        if kind is None:
            yield Error(
                f"{name} has no option {option!r:.120}.",
                hint=_PROVIDERS_HAVE if option in OPTIONS else f"It has {', '.join(kinds)}.",
                id="bff_sessions.E044",
            )
        elif kind == "bool" and not isinstance(value, bool):
            yield Error(
                f"{name}[{option!r}] is neither True nor False: {value!r:.120}.",
                hint="Give one of them, or leave it out.",
                id="bff_sessions.E045",
            )
        elif kind == "timedelta" and not (isinstance(value, timedelta) and value > timedelta()):
            yield Error(
                f"{name}[{option!r}] must be a positive timedelta; it is {value!r:.120}.",
                hint="Give a timedelta, for example timedelta(days=3), or leave it out.",
                id="bff_sessions.E046",
            )


def check_outbox() -> Iterator[CheckMessage]:
    """Find out whether a session and its token end in one transaction."""
    if conf.TOKEN_REVOCATION is None or not conf.PROVIDERS:
        return
    try:
        sessions = database_of_store()
    except ImproperlyConfigured:
        return  # check_settings() reports that.
    if sessions is None:
        return
    from bff_sessions.models import TokenRevocation

    tokens = router.db_for_write(TokenRevocation)
    if tokens != sessions:
        yield Warning(
            f"Sessions are in the database {sessions!r}, and refresh tokens of ended sessions in "
            f"{tokens!r}: a crash or a rollback can revoke the token of a session that lives on.",
            hint=(
                "Let DATABASE_ROUTERS name the same database for the models Session and "
                "TokenRevocation of bff_sessions."
            ),
            id="bff_sessions.W047",
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
