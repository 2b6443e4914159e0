"""The rows of bans from moving here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial

from django.db import connections, models

from bff_sessions._compat.django_db import delete_rows
from bff_sessions.fields import ExactCharField, UTCDateTimeField
from bff_sessions.stores.databases.retrying import retry

__all__ = ["TakeOverBan", "TakeOverBanQuerySet"]


class TakeOverBanQuerySet(models.QuerySet["TakeOverBan"]):
    """What must not move here from the engine that was used before."""

    def ban(self, bans: Mapping[str, str], *, partition: str) -> None:
        """Write `bans`, each under the lock that is its value."""
        self.lock(set(bans.values()), partition=partition)
        now = datetime.now(UTC)
        self._upsert(dict.fromkeys(bans, now), partition)

    def lock(self, names: Collection[str], *, partition: str) -> None:
        """Have the rows `names` to oneself until the transaction ends."""
        self._upsert(dict.fromkeys(names), partition)

    def find(self, digests: Collection[str]) -> set[str]:
        """Return those of `digests` that are banned."""
        # Not FOR UPDATE: MySQL and MariaDB scan a short table, and would wait for all locks in it.
        return {
            digest
            for some in _chunks(digests)
            for digest in self.filter(digest__in=some).values_list("digest", flat=True)
        }

    def delete_some(self, size: int, *, partition: str) -> int:
        """Delete up to `size` that this application has written, and return how many."""
        keys = list(self.filter(partition=partition).values_list("pk", flat=True)[:size])
        for some in _chunks(keys):
            retry(self.db, partial(delete_rows, self.filter(pk__in=some)))
        return len(keys)

    def _upsert(self, rows: Mapping[str, datetime | None], partition: str) -> None:
        """Write `rows` and lock them, whether they are there or not."""
        has_target = connections[self.db].features.supports_update_conflicts_with_target
        self.bulk_create(
            # In one order, as all do who lock several.
            [
                TakeOverBan(digest=digest, created=created, partition=partition)
                for digest, created in sorted(rows.items())
            ],
            batch_size=500,
            update_conflicts=True,
            update_fields=["created"],
            unique_fields=["digest"] if has_target else None,
        )


class TakeOverBan(models.Model):
    """Forbids that old sessions move here, see `bff_sessions.revocation.bans`.

    Whom it is about is kept as digests, as in `Logout`.
    """

    # The primary key: MySQL and MariaDB lock gaps beside the entries of other unique indexes.
    digest = ExactCharField(max_length=64, primary_key=True, editable=False)
    # None: no ban, but a row that bans and take-overs lock.
    created = UTCDateTimeField(null=True, editable=False)
    # Of the application that wrote it, and removes it once nothing moves there any more.
    partition = ExactCharField(max_length=100, editable=False)

    objects = TakeOverBanQuerySet.as_manager()

    class Meta:
        verbose_name = "ban from moving here"
        verbose_name_plural = "bans from moving here"
        # Written by revocations only.
        default_permissions = ()

    def __str__(self) -> str:
        return "lock" if self.created is None else f"{self.created:%Y-%m-%d %H:%M:%S}"


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    """Yield `values` in parts that a statement can have as parameters: SQLite bounds them."""
    ordered = sorted(values)
    for first in range(0, len(ordered), 500):
        yield ordered[first : first + 500]
