"""OpenID Providers: their logouts, tokens and keys. Needs ``django-bff-sessions[oidc]``.

- `options`: the settings
- `registrations`: what this site is at its providers
- `transport`: requests to providers
- `providers`: their metadata, keys and endpoints
- `verification`: what they sign
- `tokens`: what a session keeps
- `sign_in`, `refresh`, `logout`: the life of a session
- `token_revocation`: what follows its end
- `shared_signals`: other security events
- `diagnosis`, `health`: whether all this can work

Only this package imports PyJWT and requests. The modules that import them are themselves imported
only after a provider is configured.
"""
