"""Requests to a provider, bounded in time and size, and what its error responses mean.

Open `http` first. No other module of `bff_sessions` sends a request.
"""
