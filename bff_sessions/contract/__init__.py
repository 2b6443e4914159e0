"""The contract between the session engine and the place where sessions are stored.

A store is a subclass of `UserSessionStore`. If it has more abilities, it inherits their classes,
too: `UserSessionStoreCleanup`, `UserSessionStoreLeases`, `UserSessionStoreDevices`,
`UserSessionStoreNotices`, `UserSessionStoreRepair` and `UserSessionStoreTransactions`.
`UserSessionStore` and the first of them have the names of ``IUserSessionStore`` and
``IUserSessionStoreCleanup`` in Duende's BFF for .NET.

Nothing here knows Django, the ORM or the settings. `bff_sessions.testing.UserSessionStoreTests`
checks a store against this page.
"""

from bff_sessions.contract.abilities import (
    UserSessionStoreDevices,
    UserSessionStoreLeases,
    UserSessionStoreNotices,
    UserSessionStoreRepair,
    UserSessionStoreTransactions,
)
from bff_sessions.contract.cleanup import Detail, ExpiredBatch, UserSessionStoreCleanup
from bff_sessions.contract.cursors import Position
from bff_sessions.contract.endings import Actor, ActorKind, EndReason
from bff_sessions.contract.filters import ANY, AnyType, UserSessionsFilter
from bff_sessions.contract.paging import Paging, UserSessionsPage
from bff_sessions.contract.sessions import (
    DELETED,
    DEVICE,
    MOMENTS,
    MOVED,
    UPDATED,
    DeletedSession,
    Device,
    OnEnding,
    UserSession,
    UserSessionUpdate,
    bound_values,
    is_within_lifetime,
)
from bff_sessions.contract.store import UserSessionStore, iterate_user_sessions
from bff_sessions.contract.text import MAX_TEXT, can_be_kept, check_text, is_moment

__all__ = [
    "ANY",
    "DELETED",
    "DEVICE",
    "MAX_TEXT",
    "MOMENTS",
    "MOVED",
    "UPDATED",
    "Actor",
    "ActorKind",
    "AnyType",
    "DeletedSession",
    "Detail",
    "Device",
    "EndReason",
    "ExpiredBatch",
    "OnEnding",
    "Paging",
    "Position",
    "UserSession",
    "UserSessionStore",
    "UserSessionStoreCleanup",
    "UserSessionStoreDevices",
    "UserSessionStoreLeases",
    "UserSessionStoreNotices",
    "UserSessionStoreRepair",
    "UserSessionStoreTransactions",
    "UserSessionUpdate",
    "UserSessionsFilter",
    "UserSessionsPage",
    "bound_values",
    "can_be_kept",
    "check_text",
    "is_moment",
    "is_within_lifetime",
    "iterate_user_sessions",
]
