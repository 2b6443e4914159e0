"""Refresh tokens of sessions that have ended, on their way to the provider that revokes them.

Nothing here keeps a session from ending: whatever goes wrong is a line in the log. Tokens are
written down in the transaction that deletes the session, or before a store without transactions
deletes it. They are sent after the commit and after the response, and again by
``manage.py revoke_tokens`` until the provider has taken them (RFC 7009), see
`bff_sessions.oidc.sending`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.signals import request_finished
from django.db import transaction

from bff_sessions import conf, events
from bff_sessions._compat.django_db import close_unusable_connection, in_atomic_block
from bff_sessions.contract import DeletedSession, OnEnding
from bff_sessions.events import Ending
from bff_sessions.oidc.models import TokenRevocation, TokenRevocationQuerySet
from bff_sessions.oidc.options import RevocationOptions, get_revocation_options
from bff_sessions.oidc.sealing import seal_token
from bff_sessions.oidc.tokens import Tokens, tokens_of
from bff_sessions.secret import hidden_frames
from bff_sessions.stores import database_of_store
from bff_sessions.stores.databases.scopes import scope_of

__all__ = ["ahand_over", "connect", "hand_over"]

logger = logging.getLogger("bff_sessions.oidc")

# Seconds for which a request that has been answered begins to send; what it has begun to send keeps
# its thread busy for 10 seconds at most.
_MAX_SECONDS: Final = 5.0
# Digests of what has been committed. Of the whole process, as a request may end in another thread
# than the one it worked in: whichever ends next sends them. Where no request ever does, in a
# command for one, what is more waits for revoke_tokens. Each with the alias and the scope of its
# row: another tenant's request would not find it, and lose it.
_pending: Final = deque[tuple[str, str, str]](maxlen=100)


@hidden_frames()
def hand_over(ended: Collection[DeletedSession | Tokens], *, after_response: bool = True) -> None:
    """Let the refresh tokens of sessions that end be revoked.

    For those whose provider is configured, unless they were given for offline access.

    Args:
        ended: the sessions, or the tokens themselves with their issuer.
        after_response: whether the request at hand sends them, once it has been answered.

    Raises:
        Exception: if the transaction that deletes the sessions can only be rolled back. They live
            on, and so do their tokens. Any other error is a line in the log.
    """
    rows: dict[str, TokenRevocation] = {}
    try:
        options = get_revocation_options()
        if options is None:
            return
        outbox = _current()
        with _savepoint(outbox.db):
            rows |= {row.digest: row for one in ended if (row := _to_row(one, options)) is not None}
            if rows:
                _write(outbox, list(rows.values()), after_response and options.after_response)
    except Exception as error:
        if _is_undone():
            raise
        # The name only, here and below: the text may hold what could not be written.
        logger.error(
            "%d refresh token(s) that are to be revoked were lost: %s.",
            len(rows or ended),
            type(error).__name__,
        )


async def ahand_over(
    ended: Collection[DeletedSession | Tokens], *, after_response: bool = True
) -> None:
    """See hand_over()."""
    await sync_to_async(hand_over)(ended, after_response=after_response)


def _find_hook(ending: Ending) -> OnEnding | None:
    if conf.TOKEN_REVOCATION is None or not conf.PROVIDERS:
        return None
    if ending is Ending.REPLACED:
        return None  # The provider may revoke the tokens of the new sign-in with them.
    if ending is Ending.REVOKED:
        return hand_over
    options = get_revocation_options()
    wanted = options is not None and options.expired_sessions
    return partial(hand_over, after_response=False) if wanted else None


def _to_row(ended: DeletedSession | Tokens, options: RevocationOptions) -> TokenRevocation | None:
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


def _write(
    outbox: TokenRevocationQuerySet, rows: list[TokenRevocation], after_response: bool
) -> None:
    outbox.add(rows)
    if after_response:
        scope = scope_of(outbox.db)
        pending = [(outbox.db, scope, row.digest) for row in rows]
        transaction.on_commit(lambda: _pending.extend(pending), using=outbox.db)


def _current() -> TokenRevocationQuerySet:
    return TokenRevocation.objects.current()


def _savepoint(using: str) -> AbstractContextManager[None]:
    """Return a context in which a fault, also of BFF_SESSIONS["TOKENS"], spoils no transaction."""
    return transaction.atomic(using=using) if in_atomic_block(using) else nullcontext()


def _is_undone() -> bool:
    """Return whether what deletes the sessions cannot be committed any more.

    After a deadlock MySQL and MariaDB have rolled back more than the savepoint, and a connection
    that was lost has no transaction.
    """
    using = database_of_store()
    if using is None or using != _current().db:
        return False
    return in_atomic_block(using) and transaction.get_rollback(using)


# After the response


def _send_pending(**kwargs: Any) -> None:
    try:
        for using, digests in _take_pending().items():
            _send(using, digests)
    except Exception as error:
        logger.error("Tokens were not revoked after the response: %s.", type(error).__name__)


def _send(using: str, digests: list[str]) -> None:
    from bff_sessions.oidc.sending import send

    try:
        rows = TokenRevocation.objects.using(using).filter(digest__in=digests)
        send(rows, max_seconds=_MAX_SECONDS)
    finally:
        # Django has done that already when it comes to us. Not in a TestCase, which lives in
        # a transaction.
        if not in_atomic_block(using):
            close_unusable_connection(using)


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


def connect() -> None:
    """Subscribe to what ends sessions, and listen to the end of requests."""
    events.subscribe(_find_hook)
    request_finished.connect(_send_pending, dispatch_uid="bff_sessions.oidc.outbox")
