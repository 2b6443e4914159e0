"""The table of the history. Its rows are added and pruned, and never changed."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from bff_sessions.fields import ExactCharField, UTCDateTimeField

STARTED = "started"
ENDED = "ended"


class Event(models.Model):
    """The start or the end of a session."""

    id = models.BigAutoField(primary_key=True)
    moment = UTCDateTimeField(_("time"), editable=False)
    what = ExactCharField(_("event"), max_length=10, editable=False)
    # The value of an EndReason; None for a start.
    reason = ExactCharField(_("reason"), max_length=32, null=True, editable=False)
    # Kind and ID of the Actor who has ended the session, if one has.
    actor_kind = ExactCharField(max_length=10, null=True, editable=False)
    actor_id = ExactCharField(_("by"), max_length=255, null=True, editable=False)
    # See UserSession.public_id: the same in start and end.
    public_id = ExactCharField(max_length=32, editable=False)
    partition = ExactCharField(_("partition"), max_length=100, editable=False)
    issuer = ExactCharField(_("issuer"), max_length=255, null=True, editable=False)
    subject_id = ExactCharField(_("subject"), max_length=255, editable=False)
    user_id = ExactCharField(_("user"), max_length=255, null=True, editable=False)
    user_agent = ExactCharField(_("user agent"), max_length=255, null=True, editable=False)
    address = ExactCharField(_("address"), max_length=45, null=True, editable=False)

    class Meta:
        app_label = "bff_sessions_history"
        verbose_name = _("event of a session")
        verbose_name_plural = _("events of sessions")
        # It is read only, in the admin of sessions.
        default_permissions = ["view"]
        constraints = [
            # A transaction that is repeated writes the same row.
            models.UniqueConstraint(fields=["public_id", "what"], name="bff_sessions_history_once")
        ]
        indexes = [
            models.Index(
                fields=["subject_id", "moment", "id"], name="bff_sessions_history_subject"
            ),
            models.Index(fields=["user_id", "moment", "id"], name="bff_sessions_history_user"),
            models.Index(fields=["moment", "id"], name="bff_sessions_history_moment"),
        ]

    def __str__(self) -> str:
        return f"{self.moment:%Y-%m-%d %H:%M:%S} {self.subject_id} {self.reason or self.what}"
