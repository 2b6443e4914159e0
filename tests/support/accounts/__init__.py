"""User models of projects, for the tests that install this app."""
