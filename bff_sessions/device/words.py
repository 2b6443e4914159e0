"""A user agent in words. Needs the extra ``device``: ua-parser."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from django.utils.translation import gettext as _

__all__ = ["in_words"]


logger = logging.getLogger("bff_sessions.device")


def in_words(user_agent: str | None) -> str | None:
    """ "Firefox on Windows"; None for what is not known, or without ua-parser."""
    if not user_agent:
        return None
    try:
        return _in_words(user_agent)
    except Exception as error:
        # The page is good without these words.
        logger.warning("A user agent could not be put into words: %s", type(error).__name__)
        return None


def _in_words(user_agent: str) -> str | None:
    if find_spec("ua_parser") is None:
        return None
    from ua_parser import parse

    found = parse(user_agent)
    browser = found.user_agent.family if found.user_agent else None
    system = found.os.family if found.os else None
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system
