"""The models of this app: sessions, logouts, token revocations and take-over bans."""

from bff_sessions.oidc.models import Logout, TokenRevocation
from bff_sessions.revocation.models import TakeOverBan
from bff_sessions.stores.orm.models import Session

__all__ = ["Logout", "Session", "TakeOverBan", "TokenRevocation"]
