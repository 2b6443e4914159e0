"""What an OpenID Provider can ask of a session; needs ``django-bff-sessions[oidc]``.

Nothing outside this package imports PyJWT or requests, and nothing imports the modules in it that
do, before a provider is configured.
"""
