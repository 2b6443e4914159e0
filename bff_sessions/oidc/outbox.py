"""Refresh tokens of sessions that have ended, on their way to the provider that revokes them.

The session has ended before anything happens here, and nothing here can change that: whatever goes
wrong is a line in the log. Tokens are written down in the transaction that ended the session, are
sent after its commit and after the response, and again by ``manage.py revoke_tokens`` until the
provider has taken them (RFC 7009), see `bff_sessions.oidc.sending`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.core.signals import request_finished
from django.db import connections, transaction
from django.views.decorators.debug import sensitive_variables

from bff_sessions import conf
from bff_sessions.contract import DeletedSession
from bff_sessions.oidc.options import RevocationOptions, get_revocation_options
from bff_sessions.oidc.sealing import seal_token
from bff_sessions.oidc.tokens import Tokens, tokens_of
from bff_sessions.signals import sessions_revoked
from bff_sessions.stores.scopes import scope_of

if TYPE_CHECKING:
    from bff_sessions.models import TokenRevocation

__all__ = ["ahand_over", "connect", "for_expired_sessions", "hand_over"]

logger = logging.getLogger("bff_sessions.oidc")

# Seconds for which a request that has been answered begins to send; what it has begun to send keeps
# its thread busy for 10 seconds at most.
_MAX_SECONDS: Final = 5.0
# Digests of what has been committed. Of the whole process, as a request may end in another thread
# than the one it worked in: whichever ends next sends them. Where no request ever does, in a
# command for one, what is more waits for revoke_tokens. Each with the alias and the scope of its
# row: another tenant's request would not find it, and lose it.
_pending: Final = deque[tuple[str, str, str]](maxlen=100)


@sensitive_variables()
def hand_over(ended: Iterable[DeletedSession | Tokens], *, after_response: bool = True) -> None:
    """Let the refresh tokens of sessions that have ended be revoked. Raises nothing.

    For those whose provider is configured, unless they were given for offline access.

    Args:
        ended: the sessions, or the tokens themselves with their issuer.
        after_response: whether the request at hand sends them, once it has been answered.
    """
    try:
        options = get_revocation_options()
        if options is None:
            return
        rows = {row.digest: row for one in ended if (row := _to_row(one, options)) is not None}
        if rows:
            _write(list(rows.values()), after_response and options.after_response)
    except Exception as error:
        # The name only, here and below: the text may hold what could not be written.
        logger.error("Tokens that are to be revoked were lost: %s.", type(error).__name__)


async def ahand_over(
    ended: Iterable[DeletedSession | Tokens], *, after_response: bool = True
) -> None:
    """See hand_over()."""
    await sync_to_async(hand_over)(ended, after_response=after_response)


def for_expired_sessions() -> Callable[[Sequence[DeletedSession]], None] | None:
    """What a clean-up calls with the sessions that it removes; None if that is nobody's wish."""
    options = get_revocation_options()
    if options is None or not options.expired_sessions:
        return None
    return partial(hand_over, after_response=False)


def _to_row(ended: DeletedSession | Tokens, options: RevocationOptions) -> TokenRevocation | None:
    from bff_sessions.models import TokenRevocation

    try:
        tokens = ended if isinstance(ended, Tokens) else tokens_of(ended)
        if tokens is None or tokens.refresh_token is None:
            return None
        # OpenID Connect Back-Channel Logout 1.0, 2.7: "Refresh tokens issued with the
        # offline_access property normally SHOULD NOT be revoked."
        if tokens.is_offline and not options.offline_access:
            return None
        issuer = tokens.issuer or ended.issuer
        if issuer not in conf.PROVIDERS:
            return None
        # Whether it has a revocation endpoint may be for the network to say, so not here.
        digest, token = seal_token(issuer, tokens.refresh_token)
    except Exception as error:
        logger.warning("The tokens of an ended session cannot be read: %s.", type(error).__name__)
        return None
    now = datetime.now(UTC)
    return TokenRevocation(digest=digest, issuer=issuer, token=token, created=now, due=now)


def _write(rows: list[TokenRevocation], after_response: bool) -> None:
    from bff_sessions.models import TokenRevocation

    outbox = TokenRevocation.objects.current()
    outbox.add(rows)
    if after_response:
        scope = scope_of(outbox.db)
        pending = [(outbox.db, scope, row.digest) for row in rows]
        transaction.on_commit(lambda: _pending.extend(pending), using=outbox.db)


# After the response


def _send_pending(**kwargs: Any) -> None:
    try:
        for using, digests in _take_pending().items():
            _send(using, digests)
    except Exception as error:
        logger.error("Tokens were not revoked after the response: %s.", type(error).__name__)


def _send(using: str, digests: list[str]) -> None:
    from bff_sessions.models import TokenRevocation
    from bff_sessions.oidc.sending import send

    try:
        rows = TokenRevocation.objects.using(using).filter(digest__in=digests)
        send(rows, max_seconds=_MAX_SECONDS)
    finally:
        # Django has done that already when it comes to us. Not in a TestCase, which lives in
        # a transaction.
        if not connections[using].in_atomic_block:
            connections[using].close_if_unusable_or_obsolete()


def _take_pending() -> dict[str, list[str]]:
    """Take what is in the places to which this thread is connected now, by alias."""
    taken: dict[str, list[str]] = {}
    for _ in range(len(_pending)):
        try:
            using, scope, digest = _pending.popleft()
        except IndexError:
            break  # Another thread was quicker.
        if scope == scope_of(using):
            taken.setdefault(using, []).append(digest)
        else:
            _pending.append((using, scope, digest))
    return taken


def _receive(*, sessions: list[DeletedSession], **kwargs: Any) -> None:
    hand_over(sessions)


def connect() -> None:
    """Listen to what ends sessions, and to the end of requests."""
    sessions_revoked.connect(_receive, dispatch_uid="bff_sessions.oidc.outbox")
    request_finished.connect(_send_pending, dispatch_uid="bff_sessions.oidc.outbox")
