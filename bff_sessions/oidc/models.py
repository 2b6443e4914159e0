"""The rows of logouts, and of refresh tokens that their provider is to revoke."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import IntegrityError, models, router, transaction
from django.utils.translation import gettext_lazy as _

from bff_sessions._compat.django_db import delete_rows
from bff_sessions.contract import MAX_TEXT, UserSession
from bff_sessions.fields import ExactCharField, UTCDateTimeField
from bff_sessions.identity.session_ids import is_own_session_id
from bff_sessions.stores.databases.retrying import retry


class LogoutQuerySet(models.QuerySet["Logout"]):
    """The logouts that providers have requested."""

    def current(self) -> LogoutQuerySet:
        """Return the rows of the database for writing: a replica may lag behind."""
        return self.using(router.db_for_write(Logout))

    def begin(self, logout: Logout) -> bool:
        """Record and commit that a token ends sessions.

        Returns:
            False if the token was used before.

        Raises:
            RuntimeError: inside a transaction.
        """
        values = {name: getattr(logout, name) for name in _WRITTEN}
        # The repetition of an unfinished logout adds to what the first delivery has recorded.
        known = {name: value for name, value in values.items() if value is not None}

        def begin() -> bool:
            with transaction.atomic(using=self.db, durable=True):
                found, is_new = self.get_or_create(token=logout.token, defaults=values)
                # A logout that began before and did not finish begins again.
                return is_new or bool(self.filter(pk=found.pk, done=False).update(**known))

        def begin_or_find() -> bool:
            try:
                return begin()
            except IntegrityError:
                # At REPEATABLE READ, a transaction does not see the row with which its own
                # collides. One that begins now does.
                return begin()

        return retry(self.db, begin_or_find)

    def add(self, logouts: Iterable[Logout], *, beside: Logout) -> None:
        """Record what the token of the logout `beside` ends, too.

        A repetition finds these rows, and changes nothing.
        """
        rows = list(logouts)
        for row in rows:
            row.token = _digest(beside.token, f"{row.session} {row.subject}")
            row.done = True
        if rows:
            retry(self.db, lambda: self.bulk_create(rows, ignore_conflicts=True))

    def finish(self, logout: Logout) -> bool:
        """Mark the token of `logout` as used. Return False if it already was.

        If the connection was lost, return True. The earlier try may have marked the token, and
        its sessions have ended.
        """
        begun = self.filter(token=logout.token, done=False)
        return retry(self.db, lambda: bool(begun.update(done=True)), if_in_doubt=lambda _: True)

    def ends(
        self, session: UserSession, signed_in: datetime, token_issued: datetime, since: datetime
    ) -> bool:
        """Return whether a logout that was received after `since` ends `session`.

        Args:
            session: the session.
            signed_in: when the user signed in at the provider. A logout of all sessions of a
                subject does not concern later sign-ins.
            token_issued: when the provider issued the ID token. If the sign-in at the provider
                lives on, a logout does not concern sessions with later ID tokens.
            since: logouts that were received earlier do not count.
        """
        issuer, session_id = session.issuer, session.session_id
        earlier = _earlier_tokens_of(issuer)
        named = (
            models.Q(session=_digest(issuer, session_id))
            | models.Q(subject__in=_subjects_of(session, issuer), issued__gte=signed_in)
            | models.Q(session=_digest(earlier, session_id), issued__gte=token_issued)
            | models.Q(subject__in=_subjects_of(session, earlier), issued__gte=token_issued)
        )
        return retry(self.db, self.filter(named, received__gt=since).exists)

    def delete_expired(self, size: int) -> int:
        """Delete up to `size` expired logouts. Return how many."""
        expired = self.filter(expires__lte=datetime.now(UTC)).order_by("expires")

        def delete() -> int:
            keys = list(expired.values_list("pk", flat=True)[:size])
            return delete_rows(self.filter(pk__in=keys)) if keys else 0

        return retry(self.db, delete)


class Logout(models.Model):
    """A logout that a provider has requested, see `bff_sessions.oidc.logout.handling`.

    Session and subject are stored as digests, which suffice to compare them.
    """

    id = models.BigAutoField(primary_key=True)
    # The digest of issuer and jti: a token is used once. If it ends more than one row can name, the
    # token of each further row is a digest of this one.
    token = ExactCharField(max_length=64, editable=False)
    # The digest of issuer and sid, if the token names a session.
    session = ExactCharField(max_length=64, null=True, editable=False)
    # The digest of issuer and sub, if the token ends all sessions of the subject. Another digest if
    # the token names one of their sessions: it also ends those that have no sid of the provider.
    subject = ExactCharField(max_length=64, null=True, editable=False)
    # By the provider's clock: it is compared with auth_time, or with iat.
    issued = UTCDateTimeField(editable=False)
    received = UTCDateTimeField(editable=False)
    # Afterwards the token itself has expired, and no sign-in from before it can complete.
    expires = UTCDateTimeField(editable=False)
    # True after the sessions have ended. Always in further rows: the first one decides.
    done = models.BooleanField(default=False, editable=False)

    objects = LogoutQuerySet.as_manager()

    class Meta:
        verbose_name = _("logout")
        verbose_name_plural = _("logouts")
        # No page shows them, so a permission would allow nothing.
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["token"], name="bff_sessions_logout_token")]
        indexes = [
            models.Index(fields=["session"], name="bff_sessions_logout_session"),
            models.Index(fields=["subject"], name="bff_sessions_logout_subject"),
            models.Index(fields=["expires"], name="bff_sessions_logout_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.received:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def of(
        cls,
        *,
        issuer: str,
        jti: str,
        session_id: str | None = None,
        subject_id: str | None = None,
        issued: datetime,
        expires: datetime,
        ends_all: bool = False,
        keeps_sign_in: bool = False,
    ) -> Logout:
        """Return the record of a token that names a session, a subject or both.

        Args:
            issuer: the provider of the sessions.
            jti: what identifies the token among all that may end sessions of this provider.
            ends_all: whether all sessions of the subject end. Without a session ID, they do.
                Otherwise those end that have no session ID of the provider.
            issued: when the token was issued, by the provider's clock.
            expires: when the record may be deleted.
            keeps_sign_in: whether the sign-in at the provider lives on: see ends().
        """
        whose = _earlier_tokens_of(issuer) if keeps_sign_in else issuer
        # Beside a session, the subject names only those of its sessions that may be that one.
        sessions = whose if ends_all or session_id is None else _without_sid_of(whose)
        return cls(
            token=_digest(issuer, jti),
            session=session_id and _digest(whose, session_id),
            subject=subject_id and _digest(sessions, subject_id),
            issued=issued,
            received=datetime.now(UTC),
            expires=expires,
        )


_WRITTEN: Final = ("session", "subject", "issued", "received", "expires")


class TokenRevocationQuerySet(models.QuerySet["TokenRevocation"]):
    """The refresh tokens to revoke."""

    def current(self) -> TokenRevocationQuerySet:
        """Return the rows of the database for writing: a replica may lag behind."""
        return self.using(router.db_for_write(TokenRevocation))

    def add(self, rows: list[TokenRevocation]) -> None:
        """Write `rows`, except those that the table has."""
        # All processes write in one order, so that two of them cannot deadlock.
        rows = sorted(rows, key=lambda row: row.digest)
        retry(self.db, lambda: self.bulk_create(rows, batch_size=500, ignore_conflicts=True))

    def due(self) -> TokenRevocationQuerySet:
        """Return the rows that are due and that no process is sending."""
        return self.filter(due__lte=datetime.now(UTC))

    def oldest(self) -> datetime | None:
        """Return when the token was saved that has waited longest; None if no token waits."""
        # Rows get ascending keys, and `created` has no index.
        oldest = self.order_by("pk").values_list("created", flat=True)
        return retry(self.db, oldest.first)

    def claim(self, row: TokenRevocation, lease: timedelta) -> bool:
        """Claim `row` for the time `lease`. Return False if another process has claimed it.

        One conditional UPDATE decides: it counts the attempt.
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
        """Send the claimed `row` again at `due`.

        Returns:
            False if the lease was lost: another process has claimed or removed the row.
        """
        claimed = self.filter(pk=row.pk, attempts=row.attempts)
        return bool(retry(self.db, lambda: claimed.update(due=due)))

    def remove(self, row: TokenRevocation) -> None:
        """Delete `row` after it was sent or given up."""
        retry(self.db, self.filter(pk=row.pk).delete)


class TokenRevocation(models.Model):
    """A refresh token that its provider is to revoke, see `bff_sessions.oidc.token_revocation`."""

    id = models.BigAutoField(primary_key=True)
    # The digest of issuer and token: each token has one row.
    digest = ExactCharField(max_length=64, editable=False)
    issuer = ExactCharField(_("issuer"), max_length=255)
    # Empty in rows of older versions, when a provider knew this site as one client. See
    # join_audience() for several.
    client_id = ExactCharField(max_length=255, default="", db_default="", editable=False)
    # Encrypted like a ticket.
    token = models.BinaryField(editable=False)
    created = UTCDateTimeField(_("created"))
    # When the token is sent. A process that sends it first moves this into the future: that is its
    # lease, which expires by itself.
    due = UTCDateTimeField(_("due"))
    attempts = models.PositiveIntegerField(_("attempts"), default=0)

    objects = TokenRevocationQuerySet.as_manager()

    class Meta:
        verbose_name = _("token revocation")
        verbose_name_plural = _("token revocations")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["digest"], name="bff_sessions_revocation_digest")
        ]
        indexes = [models.Index(fields=["due"], name="bff_sessions_revocation_due")]

    def __str__(self) -> str:
        return f"{self.issuer} ({self.created:%Y-%m-%d %H:%M:%S})"

    @property
    def audience(self) -> list[str] | None:
        """The client IDs that join_audience() has joined; None if the client is unknown."""
        return self.client_id.split("\n") if self.client_id else None


def join_audience(audience: Iterable[str]) -> str:
    """Return the client IDs in `audience` as the `client_id` of a row, while they fit.

    A client ID has printable characters only: RFC 6749, A.1.
    """
    joined = ""
    for name in filter(str.isprintable, audience):
        longer = f"{joined}\n{name}" if joined else name
        if len(longer) <= MAX_TEXT:
            joined = longer
    return joined


def _earlier_tokens_of(issuer: str | None) -> str:
    """Return what stands for `issuer` in digests of a logout that spares later ID tokens."""
    return f"earlier ID tokens of {issuer}"


def _without_sid_of(issuer: str | None) -> str:
    """Return what stands for `issuer` in digests of a subject of whom a token names one session."""
    return f"sessions without sid of {issuer}"


def _subjects_of(session: UserSession, issuer: str | None) -> list[str]:
    """Return the digests by which a logout of `issuer` may name the subject of `session`."""
    issuers = [issuer]
    if is_own_session_id(session.session_id):
        issuers.append(_without_sid_of(issuer))
    return [_digest(each, session.subject_id) for each in issuers]


def _digest(issuer: str | None, value: str | None) -> str:
    """Return a digest: of fixed length, and compared exactly by every database."""
    return hashlib.sha256(json.dumps([issuer, value]).encode()).hexdigest()
