"""Rules for the values of settings and options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string


class SettingInvalid(ImproperlyConfigured):
    """A setting or an option has a value that its rule refuses.

    Args:
        place: the setting or option, BFF_SESSIONS['STORE'] for example.
        fault: the rest of the sentence, without the full stop.
    """

    def __init__(self, place: str, fault: str) -> None:
        super().__init__(f"{place} {fault}.")


class SettingNotImportable(SettingInvalid):
    """The dotted path in a setting cannot be imported."""

    def __init__(self, place: str, path: object, error: Exception) -> None:
        super().__init__(place, f"cannot be imported: {path!r:.120} ({error})")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for a value, as text and as a function."""

    must_be: str
    """The rest of the sentence "The setting must be …"."""
    accepts: Callable[[Any], bool] = field(repr=False)
    """Return whether a value keeps the rule."""
    is_secret: bool = False
    """True if values must not be shown."""
    may_be_none: bool = False
    """True if None keeps the rule, too."""
    choices: tuple[object, ...] = ()
    """The values that keep the rule, if they are few."""

    def check(self, place: str, value: object) -> None:
        """Check that `value` keeps the rule.

        Raises:
            SettingInvalid: naming `place`, and the value unless it is secret.
        """
        if value is not None or not self.may_be_none:
            self.check_value(place, value)

    def check_value(self, place: str, value: object) -> None:
        """Check a value that is not None, or that must not be None. See check()."""
        if not self.accepts(value):
            raise SettingInvalid(place, self.explain(value))

    def explain(self, value: object) -> str:
        """Return the fault of `value`, as the argument of SettingInvalid."""
        shown = "" if self.is_secret else f"; it is {value!r:.120}"
        return f"must be {self.must_be}{shown}"


class _CallableRule(Rule):
    def check_value(self, place: str, value: object) -> None:
        import_callable(value, place)


class _ProvidersRule(Rule):
    def check_value(self, place: str, value: object) -> None:
        if isinstance(value, str):
            import_callable(value, place)
        else:
            Rule.check_value(self, place, value)


class _EncryptionKeysRule(Rule):
    def check_value(self, place: str, value: object) -> None:
        if not isinstance(value, (list, tuple)) or not value:
            fault = "must be a list with at least one key"
        elif not all(isinstance(key, (str, bytes)) for key in value):
            fault = "must hold strings and bytes only"
        elif any(len(key) < 32 for key in value):
            fault = "must hold keys of 32 characters or more"
        elif len(set(map(force_bytes, value))) < len(value):
            fault = "must hold each key once"
        else:
            return
        raise SettingInvalid(place, fault)


def import_callable(path: Any, place: str) -> Any:
    """Return the callable at the dotted `path`, the value of `place`.

    Raises:
        SettingNotImportable: if it cannot be imported.
        SettingInvalid: if it cannot be called.
    """
    try:
        found = _import(path)
    except Exception as error:
        raise SettingNotImportable(place, path, error) from error
    if not callable(found):
        raise SettingInvalid(place, CALLABLE.explain(path))
    return found


# Cached, because every save asks for one.
_import = cache(import_string)


def is_number(value: object) -> bool:
    """Return whether `value` is a number. True and False do not count as numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_text(value: object) -> bool:
    """Return whether `value` is a text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def is_list(value: object) -> bool:
    """Return whether `value` is a list, a tuple or a set."""
    return isinstance(value, (list, tuple, set, frozenset))


def or_none(rule: Rule) -> Rule:
    """Return a rule that accepts None, too."""
    return replace(rule, must_be=f"{rule.must_be}, or None", may_be_none=True)


def checked_elsewhere(must_be: str) -> Rule:
    """Return a rule that accepts everything, because the part that uses the value checks it."""
    return Rule(must_be, lambda value: True)


def one_of(*choices: object) -> Rule:
    """Return a rule that accepts each of `choices` only."""
    *names, last = map(repr, choices)
    return Rule(f"{', '.join(names)} or {last}", choices.__contains__, choices=choices)


def some_of(choices: tuple[str, ...], must_be: str, *, may_be_empty: bool) -> Rule:
    """Return a rule that accepts lists of `choices`."""

    def accepts(value: Any) -> bool:
        return (
            is_list(value)
            and (may_be_empty or bool(value))
            and all(each in choices for each in value)
        )

    return Rule(must_be, accepts, choices=choices)


MAX_SECONDS: Final = 24 * 60 * 60

BOOLEAN: Final = Rule("True or False", lambda value: isinstance(value, bool))
DICTIONARY: Final = Rule("a dictionary", lambda value: isinstance(value, dict))
POSITIVE_TIMEDELTA: Final = Rule(
    "a positive timedelta", lambda value: isinstance(value, timedelta) and value > timedelta()
)
DAY: Final = Rule(
    f"a number of seconds from 0 to {MAX_SECONDS}",
    lambda value: is_number(value) and 0 <= value <= MAX_SECONDS,
)
CALLABLE: Final = _CallableRule("the dotted path of a callable", callable)
PROVIDERS: Final = _ProvidersRule(
    "a dictionary, or the dotted path of a callable",
    lambda value: isinstance(value, dict),
    is_secret=True,
)
ENCRYPTION_KEYS: Final = _EncryptionKeysRule(
    "a list of different texts or bytes of 32 characters or more, or None", bool, True, True
)
