"""Receive security events: Shared Signals Framework 1.0, CAEP 1.0 and RISC 1.0.

- `views`: the endpoint, RFC 8935
- `tokens`: the security event tokens, RFC 8417
- `transmitters`: the issuers of these tokens
- `subjects`: whom an event names, RFC 9493
- `handling`: what an event does

`bff_sessions.oidc.verification.event_tokens` verifies what all security event tokens have in
common, also logout tokens. The options are in `bff_sessions.oidc.options.signals`, and the known
events in `bff_sessions.oidc.options.event_types`.
"""
