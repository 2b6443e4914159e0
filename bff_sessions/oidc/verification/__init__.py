"""Verify what a provider signs: JSON Web Tokens, and security event tokens among them.

Open `signatures` first. The rules of each kind of token are in the package that receives it.
"""
