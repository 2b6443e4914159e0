"""The names of browsers and systems in user agents. Needs the extra ``device`` (ua-parser)."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Final

from django.utils.translation import gettext

# ua-parser names the variants of a browser; people name the browser, and what stands on the box.
_BROWSERS: Final = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile WebView": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "HeadlessChrome": "Chrome",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari",
    "Opera Mobile": "Opera",
}
_SYSTEMS: Final = {"Chrome OS": "ChromeOS", "Mac OS X": "macOS"}
_DEVICES: Final = ("iPhone", "iPad")

logger = logging.getLogger("bff_sessions.device")


def describe_user_agent(user_agent: str | None) -> str | None:
    """Return "Firefox on Windows" for example; None if it is unknown or ua-parser is missing."""
    if not user_agent:
        return None
    try:
        return _describe(user_agent)
    except Exception as error:
        # The page works without the description.
        logger.warning("A user agent cannot be described: %s", type(error).__name__)
        return None


def _describe(user_agent: str) -> str | None:
    # Imported late, because the extra is optional and loads its rules when it is imported.
    if find_spec("ua_parser") is None:
        return None  # A system check says so.
    from ua_parser import parse

    found = parse(user_agent)
    browser = found.user_agent.family if found.user_agent else None
    browser = _BROWSERS.get(browser, browser) if browser else None
    if found.device and found.device.family in _DEVICES:
        device = found.device.family
        # Another word than for a system in some languages.
        text = gettext("%(browser)s on %(device)s") if browser else "%(device)s"
        return text % {"browser": browser, "device": device}
    system = found.os.family if found.os else None
    system = _SYSTEMS.get(system, system) if system else None
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system
