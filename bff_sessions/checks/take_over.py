"""System checks of the session engine whose sessions move here, or should."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Final

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils import timezone

from bff_sessions import conf
from bff_sessions.checks.middleware import is_ours
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.rules import SettingNotImportable
from bff_sessions.engine.take_over import OldEngine
from bff_sessions.stores import get_store

_PLACE = conf.place_of("TAKE_OVER")
_ELSEWHERE = Fault(
    "E062",
    f"{_PLACE} must use the database of the store; {{path!r:.120}} uses another one.",
    "Keep the sessions of both engines in one database.",
)
# The table of django.contrib.sessions, which may no longer be installed.
_DJANGOS_TABLE: Final = "django_session"
_LEFT_BEHIND = Fault(
    "W060",
    f"The table {_DJANGOS_TABLE!r} in the database {{alias!r}} has live sessions ({{number}}), "
    "which this engine does not read: their users are signed out.",
    "Set BFF_SESSIONS['TAKE_OVER'] = 'django.contrib.sessions.backends.db', and keep "
    "'django.contrib.sessions' in INSTALLED_APPS. If they may be signed out, empty the table or "
    "silence this check.",
)


def check_take_over() -> Iterator[CheckMessage]:
    setting, path = conf.SETTINGS["TAKE_OVER"], conf.TAKE_OVER
    if path is None:
        return
    try:
        module = import_module(path)
    except Exception as error:
        yield setting.to_message(SettingNotImportable(_PLACE, path, error))
        return
    try:
        module.SessionStore.get_model_class()
    except Exception:
        yield setting.refuse(_PLACE, path)
        return
    try:
        get_store()
    except ImproperlyConfigured:
        return  # check_stores() reports the store.
    try:
        OldEngine(path)
    except ImproperlyConfigured:
        yield _ELSEWHERE(path=path)


def check_left_behind(alias: str) -> Iterator[CheckMessage]:
    """Check that Django's own engine has left no live sessions in the database `alias`.

    Raises:
        django.db.Error: if the database cannot be asked.
    """
    if conf.TAKE_OVER is None and is_ours(settings.SESSION_ENGINE):
        number = _count_left_behind(alias)
        if number:
            yield _LEFT_BEHIND(alias=alias, number=number)


def _count_left_behind(alias: str) -> int:
    connection = connections[alias]
    quote = connection.ops.quote_name
    statement = f"SELECT COUNT(*) FROM {quote(_DJANGOS_TABLE)} WHERE {quote('expire_date')} > %s"  # noqa: S608
    with connection.cursor() as cursor:
        if _DJANGOS_TABLE not in connection.introspection.table_names(cursor):
            return 0
        cursor.execute(statement, [connection.ops.adapt_datetimefield_value(timezone.now())])
        return int(cursor.fetchone()[0])
