"""The words for the events of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bff_sessions.contract import ActorKind, EndReason

if TYPE_CHECKING:
    from bff_sessions.history.models import Event

_TEXTS: Final[dict[str, Any]] = {
    EndReason.SIGNED_OUT.value: _("Signed out"),
    EndReason.OTHER_BROWSER.value: _("Ended from another browser"),
    EndReason.OPERATOR.value: _("Ended by an operator"),
    EndReason.CODE.value: _("Ended by this site"),
    EndReason.PROVIDER.value: _("Ended by the identity provider"),
    EndReason.REPLACED.value: _("Replaced by a new sign-in"),
    EndReason.TOO_MANY.value: _("Ended because of too many sessions"),
    EndReason.ABSOLUTE_LIFETIME.value: _("Ended after the longest lifetime"),
    EndReason.EXPIRED.value: _("Expired"),
    EndReason.REFRESH_REFUSED.value: _("Ended because the identity provider did not renew it"),
    EndReason.USER_DEACTIVATED.value: _("Ended because the user was deactivated"),
    EndReason.SECURITY_EVENT.value: _("Ended for security"),
}


def describe(event: Event) -> str:
    """Return what happened, in the active language."""
    if event.reason is None:
        return gettext("Signed in") if event.what == "started" else gettext("Ended")
    # A later version of the package may have written a reason that this one does not know.
    return str(_TEXTS.get(event.reason, event.reason))


def describe_actor(event: Event, user_name: str | None = None) -> str | None:
    """Return who has ended the session; None if that is not known.

    Args:
        event: the event.
        user_name: the name of the actor, if it is a user whose name the viewer may see.
    """
    actor_id: str | None = event.actor_id
    if event.actor_kind == ActorKind.USER.value:
        return user_name or gettext("user %(id)s") % {"id": actor_id}
    if event.actor_kind == ActorKind.COMMAND.value:
        return gettext("%(name)s (command)") % {"name": actor_id}
    return actor_id
