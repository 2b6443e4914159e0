"""OpenID Providers: their logouts, tokens and keys. Needs ``django-bff-sessions[oidc]``.

Only this package imports PyJWT and requests. The modules that import them are themselves imported
only after a provider is configured.
"""
