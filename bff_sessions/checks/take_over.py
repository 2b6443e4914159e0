"""System checks of the session engine whose sessions move here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.rules import SettingNotImportable
from bff_sessions.engine.take_over import OldEngine
from bff_sessions.stores import get_store

__all__ = ["check_take_over"]

_PLACE = conf.place_of("TAKE_OVER")
_ELSEWHERE = Fault(
    "E062",
    f"{_PLACE} must use the database of the store; {{path!r:.120}} uses another one.",
    "Keep the sessions of both engines in one database.",
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
