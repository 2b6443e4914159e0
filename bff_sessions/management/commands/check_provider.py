"""manage.py check_provider: find out whether the providers can be used as they are configured."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse
from django.utils.module_loading import import_string

from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.findings import Verdict
from bff_sessions.management.extras import require_oidc
from bff_sessions.management.verdicts import to_dict, to_line
from bff_sessions.oidc.options.addresses import explain_issuer, is_secure, is_url
from bff_sessions.oidc.registrations import are_looked_up, find_registration
from bff_sessions.secret import hidden_frames

if TYPE_CHECKING:
    from bff_sessions.oidc.providers import Provider

# The names of clients' URLs in OpenID Connect, each with the name of our URL.
_TO_REGISTER: Final = {
    "backchannel_logout_uri": "backchannel-logout",
    "post_logout_redirect_uri": "logout-callback",
}
# Also needed, if this site authenticates with a key.
_KEYS_TO_REGISTER: Final = {"jwks_uri": "jwks"}
# Also needed, if security events of a provider are received: SSF 1.0, 6.1.1.
_SIGNALS_TO_REGISTER: Final = {"endpoint_url": "signals"}
_UNKNOWN_SITE: Final = "https://YOUR-SITE"


class Command(BaseCommand):
    help = (
        "Check metadata, keys, clock, endpoints and client of the providers in "
        "BFF_SESSIONS['PROVIDERS'], and show which URLs to register there. It asks each provider "
        "for a refresh with a made-up token. It fails if a check finds a fault."
    )
    # A warning of a check would mix with the output of --json.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "issuer", nargs="?", metavar="ISSUER", help="check only this provider (default: all)"
        )
        parser.add_argument(
            "--base-url",
            type=_base_url,
            metavar="URL",
            help="this site as browsers see it, for the URLs to register (default: from "
            "django.contrib.sites or ALLOWED_HOSTS)",
        )
        parser.add_argument("--json", action="store_true", help="write JSON")

    @hidden_frames()
    def handle(self, *args: Any, **options: Any) -> None:
        require_oidc()
        from bff_sessions.oidc.diagnosis import diagnose

        try:
            providers = _find_providers(options["issuer"])
        except (ImproperlyConfigured, ProviderUnavailable) as error:
            raise CommandError(str(error)) from error
        faulty, reports = [], []
        for provider in providers:
            findings = []
            if not options["json"]:
                self.stdout.write(f"{provider.issuer} as {provider.client_id}")
            for finding in diagnose(provider):
                findings.append(finding)
                if not options["json"]:
                    self.stdout.write(f"  {to_line(finding, self.style)}")
            checks = [*map(to_dict, findings)]
            reports.append(
                {"issuer": provider.issuer, "client_id": provider.client_id, "checks": checks}
            )
            if Verdict.FAULT in [finding.verdict for finding in findings]:
                faulty.append(provider.issuer)
        has_keys = any(provider.options.client_keys for provider in providers)
        has_signals = any(provider.options.signals is not None for provider in providers)
        self._write_rest(reports, has_keys, has_signals, options)
        if faulty:
            raise CommandError(f"Faults were found in: {', '.join(dict.fromkeys(faulty))}.")

    def _write_rest(
        self,
        reports: list[dict[str, Any]],
        has_keys: bool,
        has_signals: bool,
        options: dict[str, Any],
    ) -> None:
        """Write the URLs to register, or everything as JSON."""
        base = options["base_url"] or _guess_base_url()
        urls = list(_urls_to_register(base, has_keys, has_signals))
        if are_looked_up():
            query = urlencode({"iss": options["issuer"]})
            urls = [
                (name, f"{url}?{query}" if name in _KEYS_TO_REGISTER else url) for name, url in urls
            ]
        if options["json"]:
            register = [{"name": name, "url": url} for name, url in urls]
            document = {"providers": reports, "register": register}
            self.stdout.write(json.dumps(document, indent=2))
            return
        self.stdout.write("\nRegister at the provider:")
        for name, url in urls:
            self.stdout.write(f"  {name:<24}  {url}")
        if not urls:
            self.stdout.write(
                '  Nothing: add path("bff/", include("bff_sessions.urls")) to the URLs.'
            )
        self.stdout.write(f"  {'redirect_uri':<24}  the callback URL of your login library")
        if base == _UNKNOWN_SITE:
            self.stdout.write("  Give the address of this site with --base-url.")
        elif not base.startswith("https://"):
            self.stdout.write(
                f"  Can the provider reach {base}? If not, give another URL with --base-url."
            )


def _find_providers(issuer: str | None) -> Sequence[Provider]:
    """Return the provider `issuer`, or all of them, once for each client.

    Raises:
        CommandError: if there is none.
    """
    from bff_sessions.oidc.providers import get_providers, providers_of

    if issuer is not None:
        registration = find_registration(issuer)
        if registration is None:
            text = f"BFF_SESSIONS['PROVIDERS'] has no {issuer!a:.120}."
            raise CommandError(f"{text} {explain_issuer(issuer)}")
        return providers_of(registration)
    if are_looked_up():
        raise CommandError(
            "BFF_SESSIONS['PROVIDERS'] is a callable, so the providers cannot be listed: name one."
        )
    providers = get_providers()
    if not providers:
        raise CommandError("BFF_SESSIONS['PROVIDERS'] has no provider.")
    return providers


def _base_url(text: str) -> str:
    if not is_url(text) or "?" in text:
        raise ArgumentTypeError(f"must be a URL such as https://shop.example, not {text!r}")
    return text.rstrip("/")


def _guess_base_url() -> str:
    """Return the address of this site, as far as settings and the site in the database say it."""
    hosts = [str(host).removeprefix(".") for host in settings.ALLOWED_HOSTS if "*" not in host]
    if apps.is_installed("django.contrib.sites"):
        hosts.insert(0, _current_domain())
    is_public = [host for host in hosts if host and not is_secure(f"http://{host}")]
    if is_public:
        return f"https://{is_public[0]}"
    return "http://localhost:8000" if settings.DEBUG else _UNKNOWN_SITE


def _current_domain() -> str:
    """Return the domain of the current site; "" if it cannot be read or was never set."""
    try:
        site = import_string("django.contrib.sites.models.Site")
        domain = str(site.objects.get_current().domain)
    except Exception:
        return ""  # There is no SITE_ID, no row or no table.
    return "" if domain == "example.com" else domain


def _urls_to_register(
    base: str, has_keys: bool, has_signals: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the URLs of the providers' endpoints, of each include."""
    namespaces = list(_namespaces_of(get_resolver().url_patterns))
    wanted = dict(_TO_REGISTER)
    if has_keys:
        wanted |= _KEYS_TO_REGISTER
    if has_signals:
        wanted |= _SIGNALS_TO_REGISTER
    for name, ours in wanted.items():
        for namespace in namespaces:
            try:
                yield name, base + reverse(f"{namespace}:{ours}")
            except NoReverseMatch:
                yield name, f"{base}/…/{ours} with the arguments that the path captures"


def _namespaces_of(
    patterns: Iterable[URLPattern | URLResolver], outer: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yield the namespace of each include of `bff_sessions.urls`, with those around it."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            own = (*outer, pattern.namespace) if pattern.namespace else outer
            if pattern.app_name == "bff_sessions":
                yield ":".join(own)
            else:
                yield from _namespaces_of(pattern.url_patterns, own)
