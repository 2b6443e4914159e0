"""Leases of the ORM store: two columns of a session's row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connections
from django.db.models import Q

from bff_sessions._compat.django_db import is_in_transaction
from bff_sessions.contract import UserSessionStoreLeases
from bff_sessions.exceptions import SessionMissing
from bff_sessions.stores.databases.retrying import retry
from bff_sessions.stores.orm.models import live_sessions
from bff_sessions.stores.orm.transactions import OrmTransactions


class OrmLeases(OrmTransactions, UserSessionStoreLeases):
    """Leases sessions by conditional updates. A lease moves with its row."""

    def acquire_lease(self, key: str, owner: str, seconds: float) -> bool:
        if is_in_transaction(connections[self.using]):
            raise RuntimeError(
                "A lease must not be acquired inside a transaction: other requests would not see "
                "it before the commit. With ATOMIC_REQUESTS, decorate the view with "
                "transaction.non_atomic_requests."
            )
        now = datetime.now(UTC)
        rows = self._rows().filter(live_sessions(), key=key)
        is_free = Q(lease_until=None) | Q(lease_until__lte=now) | Q(lease_owner=owner)
        until = now + timedelta(seconds=seconds)

        def acquire() -> bool:
            if rows.filter(is_free).update(lease_owner=owner, lease_until=until):
                return True
            if not rows.exists():
                raise SessionMissing
            return False

        return retry(rows.db, acquire)

    def release_lease(self, key: str, owner: str) -> bool:
        leased = self._rows().filter(key=key, lease_owner=owner)
        return retry(
            leased.db,
            lambda: bool(leased.update(lease_owner=None, lease_until=None)),
            # The earlier try may have released the lease.
            if_in_doubt=lambda _: True,
        )
