"""The reference of settings and checks, read off their tables."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from string import Formatter

from bff_sessions import checks, conf
from bff_sessions.conf.faults import FAULTS
from bff_sessions.conf.options import Option, Options
from bff_sessions.device.options import DeviceOptions
from bff_sessions.oidc.options import LogoutOptions, RevocationOptions
from bff_sessions.oidc.provider_options import ProviderOptions

# The settings whose dictionaries have options, and what stands between both names.
OPTIONS: dict[str, tuple[type[Options], str]] = {
    "PROVIDERS": (ProviderOptions, "[…]"),
    "BACKCHANNEL_LOGOUT": (LogoutOptions, ""),
    "TOKEN_REVOCATION": (RevocationOptions, ""),
    "DEVICE": (DeviceOptions, ""),
}


def check_rows() -> list[tuple[str, ...]]:
    """Return a row for each check: its id, what it may say, and its hints."""
    for module in pkgutil.iter_modules(checks.__path__):
        import_module(f"{checks.__name__}.{module.name}")
    rows: dict[str, dict[str, None]] = {}
    for check, text, hint in sorted([*_declared(), *_of_options()]):
        texts = rows.setdefault(check, {})
        texts |= {text: None}
        # The hint comes last, once.
        texts.pop(hint, None)
        texts[hint] = None
    return [(check, *texts) for check, texts in rows.items()]


def _declared() -> Iterator[tuple[str, str, str]]:
    for fault in FAULTS.values():
        yield fault.id, _fill(fault.text), _fill(fault.hint)


def _of_options() -> Iterator[tuple[str, str, str]]:
    places = {conf.place_of(name): setting for name, setting in conf.SETTINGS.items()}
    for setting, (options, between) in OPTIONS.items():
        for name, option in options.table().items():
            places[f"{conf.place_of(setting)}{between}[{name!r}]"] = option
    for place, option in places.items():
        value = "" if option.rule.is_secret else "; it is …"
        yield option.check, f"{place} must be {option.rule.must_be}{value}.", option.hint
        if option.import_check:
            yield option.import_check, f"{place} cannot be imported: … (…).", option.hint


def _fill(template: str) -> str:
    """Return the template with … for what is known only when it is written."""
    parts = Formatter().parse(template)
    return "".join(text + ("" if name is None else "…") for text, name, _, _ in parts)


def describe(table: Mapping[str, Option]) -> str:
    """Return an entry for each option of `table`, in Markdown."""
    return "\n".join(
        f"`{name}`\n: *{type_of(option)}*, default `{default_of(option)}`\n\n  {option.doc}.\n"
        for name, option in table.items()
    )


def default_of(option: Option) -> str:
    """Return the default as a settings module writes it."""
    return repr(option.default).replace("'", '"').removeprefix("datetime.")


def type_of(option: Option) -> str:
    """Return what a value must be, without the article."""
    article, _, rest = option.rule.must_be.partition(" ")
    return rest if article in ("a", "an", "the") else option.rule.must_be
