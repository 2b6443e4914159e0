"""Sign-ins at a provider: what a view demands of one, and what one stores in the session.

Open `token_responses` first. `early_logouts` ends sessions that the provider ended meanwhile.
"""
