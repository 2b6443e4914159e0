"""The values of settings.BFF_SESSIONS.

Read them late, as ``conf.STORE``: ``override_settings(BFF_SESSIONS=...)`` takes effect at once.

- `settings`: the table of all settings
- `options`: how a setting is declared, and an option in its dictionary
- `rules`: what a value must be
- `faults`: the texts of system checks
- `guesses`: what a misspelt name was meant to be
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from bff_sessions.conf.rules import import_callable
from bff_sessions.conf.settings import SETTINGS as SETTINGS

if TYPE_CHECKING:  # Type checkers see the declarations, and refuse other names.
    from bff_sessions.conf.settings import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        try:
            default = SETTINGS[name].default
        except KeyError:
            raise AttributeError(f"BFF_SESSIONS has no setting {name!r}.") from None
        # Cached as an attribute, because every request reads several settings.
        value = globals()[name] = getattr(django_settings, "BFF_SESSIONS", {}).get(name, default)
        return value


def place_of(name: str) -> str:
    """Return the name of the setting as messages show it."""
    return f"BFF_SESSIONS[{name!r}]"


def check(name: str, value: object) -> None:
    """Check that the setting `name` may have `value`.

    Raises:
        SettingInvalid: naming the setting, and the value unless it is secret.
    """
    SETTINGS[name].rule.check(place_of(name), value)


def load_callable(name: str) -> Any:
    """Return the callable whose dotted path is the value of the setting `name`.

    Raises:
        SettingInvalid: if it cannot be imported or called.
    """
    # As an attribute, which is cached, because every save calls this.
    return import_callable(getattr(sys.modules[__name__], name), place_of(name))


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "BFF_SESSIONS":
        for name in SETTINGS:
            globals().pop(name, None)


setting_changed.connect(_forget, dispatch_uid="bff_sessions.conf")
