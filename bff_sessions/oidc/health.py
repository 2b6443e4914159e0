"""Checks of what logouts and revocations need, for `bff_sessions.health`.

Importing this module imports no optional dependency.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.findings import Finding, fault, ok, warning
from bff_sessions.oidc.models import TokenRevocation
from bff_sessions.oidc.registrations import are_looked_up

# manage.py revoke_tokens runs every few minutes. A provider that fails for some time is normal.
_LATE: Final = timedelta(hours=1)


def check_keys(*, ask_providers: bool) -> Iterator[Finding]:
    """Yield for each provider whether its signing keys are known."""
    try:
        from bff_sessions.oidc.diagnosis import check_keys as check
        from bff_sessions.oidc.providers import get_providers

        providers = get_providers()
    except (ImportError, ImproperlyConfigured) as error:
        yield fault("keys", str(error))
        return
    if not providers and are_looked_up():
        yield ok("keys", "This process has used no provider that the callable in PROVIDERS found.")
    for provider in providers:
        if ask_providers or provider.keys.are_known:
            found = check(provider, {})
            yield Finding("keys", found.verdict, f"{provider.issuer}: {found.text}")
        else:
            provider.keys.prefetch()
            yield warning("keys", f"{provider.issuer}: not fetched yet.")


def check_outbox() -> Finding:
    """Return whether refresh tokens of ended sessions wait for too long."""
    if conf.TOKEN_REVOCATION is None:
        return ok("outbox", "Refresh tokens of ended sessions are not revoked.")
    oldest = TokenRevocation.objects.current().oldest()
    age = timedelta() if oldest is None else datetime.now(UTC) - oldest
    if age <= _LATE:
        return ok("outbox", "No refresh token of an ended session waits for more than an hour.")
    return fault(
        "outbox",
        f"A refresh token of an ended session has waited for {age.total_seconds() / 3600:.0f} "
        "hours. Run manage.py revoke_tokens every few minutes, and see its log.",
    )
