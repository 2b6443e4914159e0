"""The errors of redis-py and valkey-py, without their texts."""

from __future__ import annotations

from bff_sessions.exceptions import StoreUnavailable


def translated(error: Exception) -> Exception:
    """Return the error to raise. The text of redis-py or valkey-py may quote a command."""
    modules = {each.__module__.partition(".")[0] for each in type(error).__mro__}
    if not (isinstance(error, OSError) or modules & {"redis", "valkey"}):
        return error
    # The first word of a server's answer is a code, for example NOPERM.
    code = str(error).partition(" ")[0]
    shown = f" ({code})" if code.isalpha() and code.isupper() else ""
    return StoreUnavailable(f"Redis has failed: {type(error).__name__}{shown}.")
