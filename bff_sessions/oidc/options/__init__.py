"""The options of providers, logouts and token revocation: a module for each setting.

`providers` is the one to open first. `addresses`, `algorithms` and `event_types` say which values
are accepted. No module imports an optional dependency.
"""
