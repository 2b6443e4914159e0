"""A user agent in words. Needs the extra ``device``: ua-parser."""

from __future__ import annotations

from importlib.util import find_spec

from django.utils.translation import gettext as _

__all__ = ["in_words"]


def in_words(user_agent: str | None) -> str | None:
    """ "Firefox on Windows"; None for what is not known, or without ua-parser."""
    if not user_agent or find_spec("ua_parser") is None:
        return None
    from ua_parser import parse

    found = parse(user_agent)
    browser = found.user_agent.family if found.user_agent else None
    system = found.os.family if found.os else None
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system
