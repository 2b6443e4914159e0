"""``{% load bff_sessions %}``: the template tags of the package."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context

from bff_sessions.views.ended import why_ended

register = template.Library()


@register.simple_tag(takes_context=True)
def session_ended(context: Context) -> str | None:
    """Return why this browser's session has ended, as a sentence; None if none has ended.

    On the sign-in page, with ``{% session_ended as text %}`` before it::

        {% if text %}<p role="status">{{ text }}</p>{% endif %}
    """
    request: Any = context.get("request")
    return None if request is None else why_ended(request)
