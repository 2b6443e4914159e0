"""Adapters for login libraries, which store the claims and the tokens of a sign-in.

Each module imports its library. Only settings that name a module import it.
"""
