"""The rows of logouts, and of refresh tokens that their provider is to revoke."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from bff_sessions._compat.django_db import delete_rows
from bff_sessions.contract import UserSession
from bff_sessions.fields import ExactCharField, UTCDateTimeField
from bff_sessions.stores.databases.retrying import retry

__all__ = ["Logout", "LogoutQuerySet", "TokenRevocation", "TokenRevocationQuerySet"]


class LogoutQuerySet(models.QuerySet["Logout"]):
    """The logouts that the providers have asked for."""

    def current(self) -> LogoutQuerySet:
        """Those in the database that is written to: a replica may not know of them yet."""
        return self.using(router.db_for_write(Logout))

    def begin(
        self,
        *,
        issuer: str,
        jti: str,
        session_id: str | None,
        subject_id: str | None,
        issued: datetime,
        expires: datetime,
    ) -> bool:
        """Write down and commit that a logout token ends a session, or all of a subject.

        Returns:
            False if it has done so already.

        Raises:
            RuntimeError: inside a transaction.
        """
        now = datetime.now(UTC)
        values = {
            "session": session_id and _digest(issuer, session_id),
            "subject": subject_id and _digest(issuer, subject_id),
            "issued": issued,
            "received": now,
            "expires": expires,
        }

        def begin() -> bool:
            with transaction.atomic(using=self.db, durable=True):
                logout, is_new = self.get_or_create(token=_digest(issuer, jti), defaults=values)
                # Begun before, and not finished: tried again.
                return is_new or bool(self.filter(pk=logout.pk, done=False).update(**values))

        return retry(self.db, begin)

    def finish(self, *, issuer: str, jti: str) -> bool:
        """Mark the token as used. Return False if it already was.

        True if the connection was lost: the earlier try may have marked it, and what the token
        ends has ended.
        """
        begun = self.filter(token=_digest(issuer, jti), done=False)
        return retry(self.db, lambda: bool(begun.update(done=True)), if_in_doubt=lambda _: True)

    def ends(self, session: UserSession, signed_in: datetime, since: datetime) -> bool:
        """Whether one of them that came after `since` ends a `session` signed in to then."""
        issuer, session_id, subject_id = session.issuer, session.session_id, session.subject_id
        named = models.Q(session=_digest(issuer, session_id)) | models.Q(
            subject=_digest(issuer, subject_id), issued__gte=signed_in
        )
        return retry(self.db, self.filter(named, received__gt=since).exists)

    def delete_expired(self, size: int) -> int:
        """Remove up to `size` that nobody needs any more, and return how many."""
        expired = self.filter(expires__lte=datetime.now(UTC)).order_by("expires")

        def delete() -> int:
            keys = list(expired.values_list("pk", flat=True)[:size])
            return delete_rows(self.filter(pk__in=keys)) if keys else 0

        return retry(self.db, delete)


class Logout(models.Model):
    """A logout that a provider has asked for, see `bff_sessions.oidc.logout`.

    Whom it is about is kept as digests: it is there to be recognized, and nothing else.
    """

    id = models.BigAutoField(primary_key=True)
    # Issuer and jti of the logout token, which is used once.
    token = ExactCharField(max_length=64, editable=False)
    # Issuer and sid, if it names a session.
    session = ExactCharField(max_length=64, null=True, editable=False)
    # Issuer and sub, if all that the subject has ends.
    subject = ExactCharField(max_length=64, null=True, editable=False)
    # By the clock of the provider, like the auth_time that it is compared with.
    issued = UTCDateTimeField(editable=False)
    received = UTCDateTimeField(editable=False)
    # From then on the token is refused in any case, and no sign-in is on its way any more.
    expires = UTCDateTimeField(editable=False)
    # What it ends has ended.
    done = models.BooleanField(default=False, editable=False)

    objects = LogoutQuerySet.as_manager()

    class Meta:
        verbose_name = _("logout")
        verbose_name_plural = _("logouts")
        constraints = [models.UniqueConstraint(fields=["token"], name="bff_sessions_logout_token")]
        indexes = [
            models.Index(fields=["session"], name="bff_sessions_logout_session"),
            models.Index(fields=["subject"], name="bff_sessions_logout_subject"),
            models.Index(fields=["expires"], name="bff_sessions_logout_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.received:%Y-%m-%d %H:%M:%S}"


class TokenRevocationQuerySet(models.QuerySet["TokenRevocation"]):
    """The refresh tokens that are to be revoked."""

    def current(self) -> TokenRevocationQuerySet:
        """Those in the database that is written to: a replica lags behind."""
        return self.using(router.db_for_write(TokenRevocation))

    def add(self, rows: list[TokenRevocation]) -> None:
        """Write `rows`, except what is there."""
        # In one order, so that two who write the same ones do not wait for each other.
        rows = sorted(rows, key=lambda row: row.digest)
        retry(self.db, lambda: self.bulk_create(rows, batch_size=500, ignore_conflicts=True))

    def due(self) -> TokenRevocationQuerySet:
        """Those that can be sent now, and nobody is sending."""
        return self.filter(due__lte=datetime.now(UTC))

    def claim(self, row: TokenRevocation, lease: timedelta) -> bool:
        """Have `row` to oneself for as long as `lease`. Whether nobody else was quicker.

        One conditional UPDATE: who has it is who counted the attempt.
        """
        attempts, due = row.attempts + 1, datetime.now(UTC) + lease
        unclaimed = self.due().filter(pk=row.pk, attempts=row.attempts)
        row.attempts, row.due = attempts, due
        own = self.filter(pk=row.pk, attempts=attempts, due=due)
        return retry(
            self.db,
            lambda: bool(unclaimed.update(attempts=attempts, due=due)),
            own_result=lambda: own.exists() or None,
        )

    def put_off(self, row: TokenRevocation, due: datetime) -> bool:
        """Let `row`, which has been claimed, be sent again at `due`.

        Returns:
            False if the lease was lost: another process has claimed the row, or removed it.
        """
        claimed = self.filter(pk=row.pk, attempts=row.attempts)
        return bool(retry(self.db, lambda: claimed.update(due=due)))

    def remove(self, row: TokenRevocation) -> None:
        """Forget `row`, which has been sent or given up."""
        retry(self.db, self.filter(pk=row.pk).delete)


class TokenRevocation(models.Model):
    """A refresh token that its provider is to revoke, see `bff_sessions.oidc.outbox`."""

    id = models.BigAutoField(primary_key=True)
    # Of issuer and token, so that none comes twice.
    digest = ExactCharField(max_length=64, editable=False)
    issuer = ExactCharField(_("issuer"), max_length=255)
    # Encrypted like a ticket.
    token = models.BinaryField(editable=False)
    created = UTCDateTimeField(_("created"))
    # When it is sent. Who sends it moves that first, and others leave it alone until then: a lease
    # that ends by itself.
    due = UTCDateTimeField(_("due"))
    attempts = models.PositiveIntegerField(_("attempts"), default=0)

    objects = TokenRevocationQuerySet.as_manager()

    class Meta:
        verbose_name = _("token revocation")
        verbose_name_plural = _("token revocations")
        constraints = [
            models.UniqueConstraint(fields=["digest"], name="bff_sessions_revocation_digest")
        ]
        indexes = [models.Index(fields=["due"], name="bff_sessions_revocation_due")]

    def __str__(self) -> str:
        return f"{self.issuer} ({self.created:%Y-%m-%d %H:%M:%S})"


def _digest(issuer: str | None, value: str | None) -> str:
    """A fixed length for what may be long, equal on every database only if it is the same."""
    return hashlib.sha256(json.dumps([issuer, value]).encode()).hexdigest()
