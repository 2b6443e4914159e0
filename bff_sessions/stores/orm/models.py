"""The table of sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from bff_sessions import conf
from bff_sessions.contract import is_within_lifetime
from bff_sessions.fields import ExactCharField, UTCDateTimeField


def live_sessions(now: datetime | None = None) -> models.Q:
    """Return the condition for rows that are live by `bff_sessions.stores.live.is_live()`."""
    now = datetime.now(UTC) if now is None else now
    return unexpired_sessions(now) & young_sessions(now)


def unexpired_sessions(now: datetime) -> models.Q:
    """Return the condition for rows that have not expired, whatever the absolute lifetime is.

    A store lists these: a shorter ABSOLUTE_LIFETIME must not keep them from a sign-in that replaces
    them, or from a logout.
    """
    return models.Q(expires=None) | models.Q(expires__gt=now)


def young_sessions(now: datetime) -> models.Q:
    """Return the condition for rows whose absolute lifetime is not over."""
    if conf.ABSOLUTE_LIFETIME is None:
        return models.Q()
    return models.Q(subject_id=None) | models.Q(created__gt=now - conf.ABSOLUTE_LIFETIME)


def expired_sessions(now: datetime) -> models.Q:
    """Return the condition for rows that are not live."""
    has_expired = models.Q(expires__lte=now)
    if conf.ABSOLUTE_LIFETIME is None:
        return has_expired
    begun = now - conf.ABSOLUTE_LIFETIME
    return has_expired | models.Q(subject_id__isnull=False, created__lte=begun)


class SessionQuerySet(models.QuerySet["Session"]):
    """The rows of sessions."""

    def live(self, now: datetime | None = None) -> SessionQuerySet:
        """Return the rows that are live at `now`, see live_sessions()."""
        return self.filter(live_sessions(now))


class Session(models.Model):
    """A session. Write it through a store, and end it through `bff_sessions.revocation`."""

    id = models.BigAutoField(primary_key=True)
    key = ExactCharField(max_length=64, editable=False)
    partition = ExactCharField(_("partition"), max_length=100)
    issuer = ExactCharField(_("issuer"), max_length=255, null=True)
    subject_id = ExactCharField(_("subject"), max_length=255, null=True)
    session_id = ExactCharField(_("session ID"), max_length=255, null=True)
    user_id = ExactCharField(_("user"), max_length=255, null=True)
    # See UserSession.sign_in_id.
    sign_in_id = ExactCharField(max_length=32, editable=False)
    created = UTCDateTimeField(_("created"))
    renewed = UTCDateTimeField(_("renewed"))
    expires = UTCDateTimeField(_("expires"), null=True)
    ticket = models.BinaryField(editable=False)
    # The holder of the lease, and when the lease expires; see UserSessionStoreLeases.
    lease_owner = models.CharField(max_length=64, null=True, editable=False)
    lease_until = UTCDateTimeField(null=True, editable=False)
    version = models.PositiveBigIntegerField(default=1, editable=False)
    # See UserSessionStoreDevices. No index covers these columns, so that recording a use is cheap.
    user_agent = ExactCharField(_("user agent"), max_length=255, null=True)
    address = ExactCharField(_("address"), max_length=45, null=True)
    last_seen = UTCDateTimeField(_("last seen"), null=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [models.UniqueConstraint(fields=["key"], name="bff_sessions_key")]
        # The selective column is first.
        indexes = [
            # The order in which sessions of a subject are listed. A save does not change these.
            models.Index(
                fields=["subject_id", "partition", "created", "id"], name="bff_sessions_sign_ins"
            ),
            models.Index(fields=["session_id", "partition"], name="bff_sessions_sid"),
            models.Index(fields=["user_id"], name="bff_sessions_user"),
            models.Index(fields=["expires"], name="bff_sessions_expires"),
            # The order in which the admin lists and counts. A save does not change these.
            models.Index(
                fields=["created", "id", "partition", "issuer"], name="bff_sessions_created"
            ),
        ]
        # Sessions are not added or changed in the admin, and deleting one means ending it.
        default_permissions = ["view"]
        permissions = [
            ("end_session", _("Can end sessions")),
            ("sign_out_subject", _("Can sign subjects out everywhere")),
        ]

    def __str__(self) -> str:
        if self.subject_id is None:
            return str(_("anonymous session"))
        known = [f"sid {_shortened(self.session_id)}" if self.session_id else None]
        known.append(_shortened(self.issuer) if self.issuer else None)
        details = ", ".join(filter(None, known))
        subject = _shortened(self.subject_id)
        return f"{subject} ({details})" if details else subject

    def is_live(self, now: datetime, *, lifetime: timedelta | None = None) -> bool:
        """See UserSession.is_live()."""
        return is_within_lifetime(self, now, lifetime)


def _shortened(text: str) -> str:
    """Return `text` without its middle if it is long: three of them fit into the admin's log."""
    return text if len(text) <= 64 else f"{text[:40]}…{text[-20:]}"
