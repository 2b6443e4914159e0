"""The rows of bans from moving here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from bff_sessions._compat.django_db import delete_rows
from bff_sessions.fields import ExactCharField, UTCDateTimeField
from bff_sessions.stores.databases.retrying import retry


class TakeOverBanQuerySet(models.QuerySet["TakeOverBan"]):
    """The bans of sessions that must not move here from the previous engine."""

    def ban(self, bans: Mapping[str, str], *, partition: str) -> None:
        """Write the bans that are the keys of `bans`, under the locks that are its values."""
        self.lock(set(bans.values()), partition=partition)
        now = datetime.now(UTC)
        self._upsert(dict.fromkeys(bans, now), partition)

    def lock(self, names: Collection[str], *, partition: str) -> None:
        """Lock the rows `names` until the transaction ends."""
        self._upsert(dict.fromkeys(names), partition)

    def find(self, digests: Collection[str]) -> set[str]:
        """Return those of `digests` that are banned."""
        # Not FOR UPDATE: MySQL and MariaDB scan a short table, and would wait for all its locks.
        return {
            digest
            for some in _chunks(digests)
            for digest in self.filter(digest__in=some).values_list("digest", flat=True)
        }

    def delete_some(self, size: int, *, partition: str) -> int:
        """Delete up to `size` rows that the application `partition` wrote. Return how many."""
        keys = list(self.filter(partition=partition).values_list("pk", flat=True)[:size])
        for some in _chunks(keys):
            retry(self.db, partial(delete_rows, self.filter(pk__in=some)))
        return len(keys)

    def _upsert(self, rows: Mapping[str, datetime | None], partition: str) -> None:
        """Insert or update `rows`. Either locks them."""
        has_target = connections[self.db].features.supports_update_conflicts_with_target
        self.bulk_create(
            # In one order, like all code that locks several rows.
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
    """Forbids that sessions of the previous engine move here, see `bff_sessions.revocation.bans`.

    Session and subject are stored as digests, as in `Logout`.
    """

    # Primary key, because MySQL and MariaDB lock gaps beside entries of other unique indexes.
    digest = ExactCharField(max_length=64, primary_key=True, editable=False)
    # None if the row is not a ban: bans and take-overs lock it.
    created = UTCDateTimeField(null=True, editable=False)
    # The application that wrote the row. It deletes the row when its take-over is complete.
    partition = ExactCharField(max_length=100, editable=False)

    objects = TakeOverBanQuerySet.as_manager()

    class Meta:
        verbose_name = _("take-over ban")
        verbose_name_plural = _("take-over bans")
        # Only revocations write bans.
        default_permissions = ()

    def __str__(self) -> str:
        return "lock" if self.created is None else f"{self.created:%Y-%m-%d %H:%M:%S}"


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    """Yield `values` in parts: SQLite bounds the parameters of a statement."""
    ordered = sorted(values)
    for first in range(0, len(ordered), 500):
        yield ordered[first : first + 500]
