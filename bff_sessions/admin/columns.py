"""The columns of the list, and the rows of the page of one session."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from bff_sessions.admin import cells
from bff_sessions.admin.users import user_link
from bff_sessions.device.user_agents import describe_user_agent
from bff_sessions.stores.orm.models import Session


class SessionColumns:
    """Shows sessions, whichever store has them."""

    # The columns of the list

    @admin.display(description=_("subject"))
    def subject(self, session: Session) -> str:
        return cells.subject(session)

    @admin.display(description=_("device"))
    def device(self, session: Session) -> str | None:
        return cells.device(session)

    @admin.display(description=_("signed in"))
    def signed_in(self, session: Session) -> str:
        return cells.short(session.created)

    @admin.display(description=_("last seen"))
    def seen(self, session: Session) -> str:
        return cells.short(cells.seen(session))

    @admin.display(description=_("expires"))
    def expiry(self, session: Session) -> str:
        return cells.short(cells.expires(session))

    @admin.display(description=_("state"))
    def state(self, session: Session) -> str:
        return cells.state(session)

    @admin.display(description=_("provider"))
    def provider(self, session: Session) -> str | None:
        return cells.provider(session)

    # The rows of the page of one session

    @admin.display(description=_("user"))
    def name(self, session: Session) -> str:
        return user_link(session) or "-"

    @admin.display(description=_("subject"))
    def sub(self, session: Session) -> str:
        return cells.identifier(session.subject_id)

    @admin.display(description=_("session ID"))
    def sid(self, session: Session) -> str:
        return cells.identifier(session.session_id)

    @admin.display(description=_("issuer"))
    def iss(self, session: Session) -> str:
        return cells.identifier(session.issuer)

    @admin.display(description=_("signed in"))
    def begun(self, session: Session) -> str:
        return cells.long(session.created)

    @admin.display(description=_("renewed"))
    def renewal(self, session: Session) -> str:
        return cells.long(session.renewed)

    @admin.display(description=_("last seen"))
    def last_use(self, session: Session) -> str:
        return cells.long(cells.seen(session))

    @admin.display(description=_("expires"))
    def ends(self, session: Session) -> str:
        return cells.long(cells.expires(session))

    @admin.display(description=_("device"))
    def device_name(self, session: Session) -> str:
        return describe_user_agent(session.user_agent) or "-"

    @admin.display(description=_("user agent"))
    def agent(self, session: Session) -> str:
        return cells.identifier(session.user_agent)
