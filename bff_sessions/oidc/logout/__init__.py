"""Logouts: OpenID Connect Back-Channel Logout 1.0 in, RP-Initiated Logout 1.0 out.

Open `views` first, the endpoint of back-channel logout. `end_session` builds the URL of the other.
"""
