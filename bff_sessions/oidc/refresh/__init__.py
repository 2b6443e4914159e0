"""Refresh the access token of a session, and let its claims follow. Needs the extra oidc.

Open `access_tokens` first.
"""
