"""Logouts that a provider requests, and those that a user requests here: OpenID Connect.

Open `views` first, the endpoint of Back-Channel Logout 1.0. `end_session` builds the URL of
RP-Initiated Logout 1.0.
"""
