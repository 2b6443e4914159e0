"""Save the refresh tokens of ended sessions until their provider has revoked them.

A fault in this module is logged, and does not keep a session from ending. Tokens are saved in the
transaction that deletes the session, or before a store without transactions deletes it.
`bff_sessions.oidc.token_revocation.sending` sends them after the commit and after the response.
Then ``manage.py revoke_tokens`` sends them again until the provider accepts them (RFC 7009).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from django.core.signals import request_finished
from django.db import transaction

from bff_sessions import conf, events
from bff_sessions._compat.django_db import close_unusable_connection, in_atomic_block
from bff_sessions.contract import DeletedSession, EndReason, OnEnding
from bff_sessions.exceptions import ProviderUnavailable
from bff_sessions.oidc.models import TokenRevocation, TokenRevocationQuerySet, join_audience
from bff_sessions.oidc.options.token_revocation import RevocationOptions, get_revocation_options
from bff_sessions.oidc.registrations import find_registration, warn_of_unknown_client
from bff_sessions.oidc.token_revocation.sealing import seal_token
from bff_sessions.oidc.tokens import Tokens, tokens_of
from bff_sessions.secret import hidden_frames
from bff_sessions.stores.databases.containing import is_undone, savepoint
from bff_sessions.stores.databases.scopes import scope_of

logger = logging.getLogger("bff_sessions.oidc")

# Seconds after the response in which the thread of a request begins to send a token. Sending one
# keeps it busy for 10 seconds at most.
_MAX_SECONDS: Final = 5.0
# Database alias, scope and digest of each committed token. The list belongs to the process, because
# a request may end in another thread than it ran in: the next request that ends sends the tokens.
# Where no request ends, in a command for example, more tokens than fit wait for revoke_tokens. With
# the scope, a request of another tenant leaves a token that it would not find in its database.
_pending: Final = deque[tuple[str, str, str]](maxlen=100)


@hidden_frames()
def hand_over(ended: Collection[DeletedSession | Tokens], *, after_response: bool = True) -> None:
    """Save the refresh tokens of sessions that end, to have them revoked.

    This concerns tokens of configured providers. Tokens for offline access are left out, unless
    BFF_SESSIONS["TOKEN_REVOCATION"] includes them.

    Args:
        ended: the sessions, or the tokens themselves with their issuer.
        after_response: whether the current request sends them after its response.

    Raises:
        Exception: if the transaction that deletes the sessions can only be rolled back. The
            sessions then live on with their tokens. Any other error is logged.
    """
    rows: dict[str, TokenRevocation] = {}
    try:
        options = get_revocation_options()
        if options is None:
            return
        outbox = _current()
        with savepoint(outbox.db):
            rows |= {row.digest: row for one in ended if (row := _to_row(one, options)) is not None}
            if rows:
                _write(outbox, list(rows.values()), after_response and options.after_response)
    except Exception as error:
        if is_undone(_current().db, error):
            raise
        # Here and below, log the error's type only: its text may quote a token.
        logger.error(
            "Refresh tokens of ended sessions were lost before they were revoked (%d): %s.",
            len(rows or ended),
            type(error).__name__,
        )


def _find_hook(reason: EndReason) -> OnEnding | None:
    if conf.TOKEN_REVOCATION is None or not conf.PROVIDERS:
        return None
    if reason is EndReason.REPLACED:
        return None  # The provider may revoke the new sign-in's tokens together with these.
    if reason is not EndReason.EXPIRED:
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
        client_id = _find_client(issuer, tokens)
        if issuer is None or client_id is None:
            return None
        # Do not look for a revocation endpoint now: that may take a request to the provider.
        digest, token = seal_token(issuer, tokens.refresh_token)
    except Exception as error:
        logger.warning("The tokens of an ended session cannot be read: %s.", type(error).__name__)
        return None
    now = datetime.now(UTC)
    return TokenRevocation(
        digest=digest, issuer=issuer, client_id=client_id, token=token, created=now, due=now
    )


def _find_client(issuer: str | None, tokens: Tokens) -> str | None:
    """Return the client ID to save with the tokens; None if they are not to be revoked."""
    if issuer is None:
        return None
    try:
        registration = find_registration(issuer)
    except ProviderUnavailable:
        # The token is sent later, and the provider is looked up again then.
        return join_audience(tokens.find_audience())
    if registration is None:
        return None
    index = registration.find_client(tokens.find_audience())
    if index is None:
        warn_of_unknown_client(issuer)
        return None
    return str(registration.clients[index]["CLIENT_ID"])


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


# After the response


def _send_pending(**kwargs: Any) -> None:
    try:
        for using, digests in _take_pending().items():
            _send(using, digests)
    except Exception as error:
        logger.error("Refresh tokens were not sent after the response: %s.", type(error).__name__)


def _send(using: str, digests: list[str]) -> None:
    from bff_sessions.oidc.token_revocation.sending import send

    try:
        rows = TokenRevocation.objects.using(using).filter(digest__in=digests)
        send(rows, max_seconds=_MAX_SECONDS)
    finally:
        # Django's own receiver has closed old connections before this one used them again. In a
        # TestCase, which runs in a transaction, the connection stays open.
        if not in_atomic_block(using):
            close_unusable_connection(using)


def _take_pending() -> dict[str, list[str]]:
    """Take the digests of the databases to which this thread is connected now, by alias."""
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
    """Subscribe to ends of sessions and of requests."""
    events.subscribe(_find_hook)
    request_finished.connect(_send_pending, dispatch_uid="bff_sessions.oidc.token_revocation")
