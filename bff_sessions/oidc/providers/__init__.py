"""The providers of BFF_SESSIONS["PROVIDERS"]: their metadata, keys and endpoints.

Open `provider` first. All modules need the extra oidc.
"""

from bff_sessions.oidc.providers.provider import Provider, get_provider, get_providers, providers_of

__all__ = ["Provider", "get_provider", "get_providers", "providers_of"]
