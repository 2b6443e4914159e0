"""How settings, and the options in their dictionaries, are declared: once, in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from functools import cache
from typing import Any, ClassVar, Self

from django.core.checks import CheckMessage

from bff_sessions.conf.faults import Fault, make_message
from bff_sessions.conf.guesses import with_guess
from bff_sessions.conf.rules import (
    BOOLEAN,
    DAY,
    MAX_SECONDS,
    Rule,
    SettingInvalid,
    SettingNotImportable,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """A setting, or an option in the dictionary of one."""

    name: str = ""
    default: Any
    rule: Rule
    check: str
    """The id of the system check, such as E013."""
    import_check: str | None = None
    """The id where a dotted path cannot be imported; None: `check`."""
    hint: str
    """What to do if the value breaks the rule."""
    doc: str
    """The meaning, in Markdown."""

    def find_faults(self, place: str, value: object) -> Iterator[CheckMessage]:
        """Yield the message of the system check if `value` breaks the rule."""
        try:
            self.rule.check(place, value)
        except SettingInvalid as error:
            yield with_guess(self.to_message(error), value, self.rule.choices)

    def to_message(self, error: SettingInvalid) -> CheckMessage:
        """Return the message of the system check that reports `error`."""
        is_import = isinstance(error, SettingNotImportable)
        return make_message((is_import and self.import_check) or self.check, str(error), self.hint)

    def refuse(self, place: str, value: object) -> CheckMessage:
        """Return the message for a `value` that the rule accepts, but a later check refuses."""
        return self.to_message(SettingInvalid(place, self.rule.explain(value)))


def option(
    default: Any,
    rule: Rule,
    *,
    check: str,
    import_check: str | None = None,
    hint: str,
    doc: str,
) -> Any:
    """Return the declaration of an option, to be assigned to its name with a type.

    Args are those of `Option`.
    """
    declaration = Option(
        default=default, rule=rule, check=check, import_check=import_check, hint=hint, doc=doc
    )
    return field(default=default, repr=not rule.is_secret, metadata={Option: declaration})


def switch(
    default: bool | None,
    *,
    check: str,
    hint: str = "Give True or False, or leave it out.",
    doc: str,
) -> Any:
    """Return the declaration of an option that is True or False; see option()."""
    return option(default, BOOLEAN, check=check, hint=hint, doc=doc)


def seconds(default: float | None, *, check: str, doc: str) -> Any:
    """Return the declaration of an option in seconds, up to a day; see option()."""
    hint = f"Give a number from 0 to {MAX_SECONDS}, or leave it out."
    return option(default, DAY, check=check, hint=hint, doc=doc)


def declared(namespace: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options in `namespace` by their names."""
    return {
        name: replace(value.metadata[Option], name=name)
        for name, value in namespace.items()
        if isinstance(value, Field) and Option in value.metadata
    }


class Options:
    """The options in the dictionary of one setting: base of dataclasses whose fields are options.

    In a dictionary their names are in capitals.
    """

    __slots__ = ()

    unknown: ClassVar[Fault]
    """The fault of an unknown name; its fields are `place`, `name` and `names`."""

    @classmethod
    @cache
    def table(cls) -> Mapping[str, Option]:
        """Return the options by their names in capitals."""
        namespace = {each.name.upper(): each for each in fields(cls)}  # type: ignore[arg-type]
        return declared(namespace)

    @classmethod
    def find_faults(cls, place: str, given: Mapping[Any, Any]) -> Iterator[CheckMessage]:
        """Yield what is wrong with the dictionary `given`, the value of `place`."""
        table = cls.table()
        for name, value in given.items():
            if name in table:
                yield from table[name].find_faults(f"{place}[{name!r}]", value)
            else:
                message = cls.unknown(place=place, name=name, names=", ".join(table))
                yield with_guess(message, name, table)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options of the dictionary `given`, which has been checked."""
        return cls(**{name.lower(): value for name, value in given.items()})
