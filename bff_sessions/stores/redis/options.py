"""settings.BFF_SESSIONS["REDIS"]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from bff_sessions import conf
from bff_sessions.conf.faults import Fault
from bff_sessions.conf.options import Options, option, seconds, switch
from bff_sessions.conf.rules import CALLABLE, Rule, is_number, is_text, or_none


def _is_url(value: object) -> bool:
    urls = value if isinstance(value, (list, tuple)) else [value]
    return bool(urls) and all(isinstance(url, str) and _is_one_url(url) for url in urls)


def _is_one_url(url: str) -> bool:
    try:
        port = urlsplit(url).port
    except ValueError:  # A password with a slash, for example, must be quoted.
        return False
    return "://" in url and port != 0


def _is_count(value: object) -> bool:
    return is_number(value) and isinstance(value, int) and value >= 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisOptions(Options):
    """Where and how the Redis store stores sessions."""

    unknown: ClassVar[Fault] = Fault(
        "E092", "BFF_SESSIONS['REDIS'] has no option {name!r:.120}.", "Use one of {names}."
    )

    url: str | Sequence[str] | None = option(
        None,
        or_none(Rule("a URL, or a list of URLs", _is_url, is_secret=True)),
        check="E081",
        hint=(
            "Give 'redis://cache.example:6379/0', for example; rediss:// uses TLS. Quote a "
            "password with urllib.parse.quote(password, safe='')."
        ),
        doc=(
            "The URL of the server. With `CLUSTER` or `SENTINEL`: one URL, or a list of URLs, of "
            "nodes or Sentinels to ask first"
        ),
    )
    cluster: bool = switch(
        False, check="E082", doc="Whether the URL names nodes of a Redis Cluster"
    )
    sentinel: str | None = option(
        None,
        or_none(Rule("the name of a primary", is_text)),
        check="E083",
        hint="Give the name that the Sentinels monitor, for example 'mymaster'.",
        doc=(
            "The name of the primary that Sentinels monitor, if the URLs name these. User, "
            "password and database in the first URL are those of the primary"
        ),
    )
    client: str | None = option(
        None,
        or_none(CALLABLE),
        check="E084",
        hint="Give the dotted path of a callable that takes asynchronous=True or False.",
        doc=(
            "Instead of a URL: a callable that returns a client of redis-py or valkey-py. It is "
            "called with `asynchronous=False`, and with `asynchronous=True` for each event loop"
        ),
    )
    key_prefix: str = option(
        "bff_sessions:",
        Rule("a text without braces", lambda v: isinstance(v, str) and not set(v) & set("{}")),
        check="E085",
        hint="Give a text, for example 'shop:'.",
        doc="The beginning of all names in Redis",
    )
    timeout: float = seconds(
        5, check="E086", doc="Seconds after which a connection or an answer counts as failed"
    )
    replicas: int | None = option(
        None,
        or_none(Rule("a whole number, 0 or more", _is_count)),
        check="E087",
        hint="Give a whole number, 0 or more, or None.",
        doc=(
            "How many replicas must confirm a sign-in and a revocation. `None`: all that the "
            "primary has"
        ),
    )
    confirm_within: float = seconds(
        1, check="E088", doc="Seconds within which the replicas must confirm"
    )
    grace: float = option(
        7 * 86400,
        Rule("a number of seconds, 0 or more", lambda value: is_number(value) and value >= 0),
        check="E089",
        hint="Give the seconds, for example 7 * 86400.",
        doc=(
            "Seconds for which an expired session is kept for `cleanup_sessions`, if "
            "`TOKEN_REVOCATION` has `EXPIRED_SESSIONS`; else the server deletes it at once"
        ),
    )


def get_redis_options() -> RedisOptions:
    """Return the options, which have been checked."""
    return RedisOptions.of(conf.REDIS)
