"""The options of one provider in BFF_SESSIONS["PROVIDERS"]. Imports no optional dependency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from django.core.checks import CheckMessage

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.options import Options, option, seconds, switch
from bff_sessions.conf.rules import DICTIONARY, Rule, is_text, one_of, or_none, some_of
from bff_sessions.contract import MAX_TEXT
from bff_sessions.oidc.options.addresses import is_issuer, is_secure, is_url
from bff_sessions.oidc.options.algorithms import ALGORITHMS, DEFAULT_ALGORITHMS
from bff_sessions.oidc.options.signals import SignalsOptions

ENDPOINTS: Final = (
    "JWKS_URI",
    "AUTHORIZATION_ENDPOINT",
    "TOKEN_ENDPOINT",
    "USERINFO_ENDPOINT",
    "REVOCATION_ENDPOINT",
    "END_SESSION_ENDPOINT",
)
FROM_USERINFO: Final = "userinfo"
KEEP: Final = "keep"
"""Values of REFRESH_CLAIMS, beside ``"id_token"``."""
LOGOUT: Final = ("STRICT_TYP", "MAX_AGE", "LEEWAY")
"""Options of BFF_SESSIONS["BACKCHANNEL_LOGOUT"] that a provider may override."""

# RFC 8615; OpenID Connect Discovery 1.0, 4: the path of the metadata, below that of the issuer.
_WELL_KNOWN: Final = "/.well-known/"

_ISSUER = Fault(
    "E022",
    "BFF_SESSIONS['PROVIDERS'][{issuer!r:.120}] must be an issuer: an absolute URL without query "
    "and fragment.",
    "Give the provider's issuer exactly, for example 'https://idp.example'.",
)
_METADATA_URL = Fault(
    "E039",
    "BFF_SESSIONS['PROVIDERS'][{issuer!r:.120}] must be an issuer; it is the URL of its metadata.",
    "Write the issuer that this metadata names, which is probably {guess!r:.120}.",
)
_HTTP = Fault(
    "E028",
    "{place} must be an https URL; it is {url!r:.120}.",
    "Use https, or set 'ALLOW_HTTP': True if you control the network between both hosts.",
)
_NO_CLIENT_KEYS = Fault(
    "E049",
    "{place} has TOKEN_ENDPOINT_AUTH_METHOD 'private_key_jwt' and no CLIENT_KEYS.",
    "Set CLIENT_KEYS, or leave TOKEN_ENDPOINT_AUTH_METHOD out.",
)
_NO_KEYS = Fault(
    "W020",
    "{place} has no JWKS_URI: logout tokens are refused.",
    "Set JWKS_URI to the URL of the provider's keys, or silence this check.",
)


def _address(doc: str) -> Any:
    return option(
        None,
        or_none(Rule("an absolute URL", is_url)),
        check="E027",
        hint="Give an absolute URL, give None if the provider has none, or leave it out.",
        doc=doc,
    )


def _endpoint() -> Any:
    return _address("Overrides the metadata. `None`: the provider has no such endpoint")


def _are_keys(value: object) -> bool:
    # Whether they can sign is known to the package of the extra only.
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(key, Mapping) or is_text(key) for key in value)
    )


_AS_FOR_ALL = "As in `BACKCHANNEL_LOGOUT`, for this provider only"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderOptions(Options):
    """The options of a provider. None may also mean that an option is left out."""

    unknown: ClassVar[Fault] = Fault(
        "E023", "{place} has no option {name!r:.120}.", "Use one of {names}."
    )

    client_id: str = option(
        None,
        Rule(
            f"a text of up to {MAX_TEXT} characters that is not blank",
            lambda value: is_text(value) and len(value) <= MAX_TEXT,
        ),
        check="E024",
        hint="Give the client ID under which the site is registered at the provider.",
        doc="The client ID under which this site is registered; required",
    )
    client_secret: str | None = option(
        None,
        or_none(Rule("a text that is not blank", is_text, is_secret=True)),
        check="E025",
        hint="Give the secret that the provider issued, or leave it out for a public client.",
        doc="The client secret. Leave it out for a public client",
    )
    discovery_url: str | None = _address(
        "URL of the metadata. Default: the issuer plus `/.well-known/openid-configuration`. "
        "`None`: do not fetch metadata; set the endpoints yourself"
    )
    jwks_uri: str | None = _endpoint()
    authorization_endpoint: str | None = _endpoint()
    token_endpoint: str | None = _endpoint()
    userinfo_endpoint: str | None = _endpoint()
    revocation_endpoint: str | None = _endpoint()
    end_session_endpoint: str | None = _endpoint()
    algorithms: Sequence[str] = option(
        DEFAULT_ALGORITHMS,
        some_of(ALGORITHMS, "a list of signature algorithms", may_be_empty=False),
        check="E029",
        hint=f"Give some of {', '.join(ALGORITHMS)}, or leave it out.",
        doc="Signature algorithms. Default: the asymmetric ones in use. Never HMAC or `none`",
    )
    token_endpoint_auth_method: str | None = option(
        None,
        or_none(one_of("client_secret_basic", "client_secret_post", "private_key_jwt")),
        check="E030",
        hint="Give one of these names, or leave it out.",
        doc=(
            "How this site authenticates. Default: `private_key_jwt` with `CLIENT_KEYS`, "
            "otherwise as the metadata says"
        ),
    )
    client_keys: Sequence[Mapping[str, Any] | str] | None = option(
        None,
        or_none(
            Rule("a list of private keys, as JWK or PEM text", _are_keys, is_secret=True),
        ),
        check="E047",
        hint="Give dictionaries in the form of a JWK, or PEM texts; the first one signs.",
        doc=(
            "Private keys with which this site authenticates, newest first. The first one signs. "
            "`jwks` publishes the public keys of all"
        ),
    )
    client_assertion_audience: str = option(
        "token_endpoint",
        one_of("token_endpoint", "issuer"),
        check="E048",
        hint="Give 'token_endpoint' or 'issuer', or leave it out.",
        doc="The `aud` that the provider expects of an assertion made with `CLIENT_KEYS`",
    )
    refresh_claims: str = option(
        "id_token",
        one_of("id_token", FROM_USERINFO, KEEP),
        check="E038",
        hint="Give 'id_token', 'userinfo' or 'keep', or leave it out.",
        doc=(
            "What replaces the claims of a session when its tokens are refreshed: the new "
            '`"id_token"`, also the `"userinfo"` endpoint, or nothing: `"keep"`'
        ),
    )
    allow_missing_exp: bool = switch(
        False,
        check="E035",
        hint="Leave it out, unless the provider's logout tokens have no exp.",
        doc="Accept logout tokens without `exp` until `MAX_AGE` seconds after `iat`",
    )
    strict_typ: bool | None = switch(
        None,
        check="E036",
        hint="Give True or False, or leave it out to use that of BACKCHANNEL_LOGOUT.",
        doc=_AS_FOR_ALL,
    )
    max_age: float | None = seconds(None, check="E037", doc=_AS_FOR_ALL)
    leeway: float | None = seconds(None, check="E037", doc=_AS_FOR_ALL)
    signals: Mapping[str, Any] | None = option(
        None,
        or_none(replace(DICTIONARY, is_secret=True)),
        check="E120",
        hint="Write {} or {'AUTHORIZATION': 'Bearer …'}, for example, or leave it out.",
        doc=(
            "How security events of the provider end sessions. `{}` uses the defaults; `None`: "
            "its security events are refused"
        ),
    )
    allow_http: bool = switch(
        False,
        check="E026",
        hint="Leave it out, unless you control the network to the provider.",
        doc="Allow `http://` for a provider on another machine, in a network that you control",
    )

    @classmethod
    def find_faults_of(
        cls, issuer: Any, given: Mapping[str, Any], index: int | None = None
    ) -> Iterator[CheckMessage]:
        """Yield the faults of the provider `issuer`, whose options are `given`.

        Args:
            index: the index of `given` in the list of clients. None means that `given` is the only
                client.
        """
        place = f"{conf.place_of('PROVIDERS')}[{issuer!r:.120}]"
        place += "" if index is None else f"[{index}]"
        if not is_issuer(issuer):
            yield _ISSUER(issuer=issuer)
            return
        if _WELL_KNOWN in issuer:
            yield _METADATA_URL(issuer=issuer, guess=issuer.partition(_WELL_KNOWN)[0])
        yield from cls.find_faults(place, {"CLIENT_ID": None, **given})
        yield from SignalsOptions.find_faults_of(place, given.get("SIGNALS"))
        if given.get("ALLOW_HTTP") is not True:
            addresses = {name: given.get(name) for name in ("DISCOVERY_URL", *ENDPOINTS)}
            urls = {place: issuer} | {f"{place}[{name!r}]": url for name, url in addresses.items()}
            urls |= SignalsOptions.urls_in(place, given.get("SIGNALS"))
            for where, url in urls.items():
                if is_url(url) and not is_secure(str(url)):
                    yield _HTTP(place=where, url=url)
        needs_keys = given.get("TOKEN_ENDPOINT_AUTH_METHOD") == "private_key_jwt"
        if needs_keys and given.get("CLIENT_KEYS") is None:
            yield _NO_CLIENT_KEYS(place=place)
        has_no_metadata = given.get("DISCOVERY_URL", "") is None
        if given.get("JWKS_URI") is None and ("JWKS_URI" in given or has_no_metadata):
            yield _NO_KEYS(place=place)
