"""The system checks. Importing this package registers them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Tags, register

from bff_sessions.checks import (
    abilities,
    adapters,
    cookies,
    databases,
    device,
    endpoints,
    history,
    middleware,
    providers,
    redis,
    settings,
    stores,
    take_over,
)
from bff_sessions.checks.databases import check_database
from bff_sessions.conf.faults import Fault

__all__ = [
    "check_all",
    "check_cookie_prefixes",
    "check_databases",
    "check_deployment",
    "check_servers",
]

_NOT_INSTALLED = Fault(
    "E001", "'bff_sessions' is not in INSTALLED_APPS.", "Add it, and run 'manage.py migrate'."
)


@register
def check_all(**kwargs: Any) -> Iterator[CheckMessage]:
    if not apps.is_installed("bff_sessions"):
        yield _NOT_INSTALLED()
        return
    yield from middleware.check_engine()
    yield from middleware.check_middleware()
    if not settings.is_dictionary():
        yield from settings.check_settings()
        return
    for check in (
        settings.check_settings,
        stores.check_stores,
        redis.check_redis,
        abilities.check_abilities,
        take_over.check_take_over,
        adapters.check_adapters,
        providers.check_providers,
        cookies.check_return,
        providers.check_logout,
        providers.check_revocation,
        databases.check_outbox,
        history.check_history,
        endpoints.check_endpoints,
        device.check_device,
    ):
        yield from check()


@register(Tags.database)
def check_databases(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    if not databases or not apps.is_installed("bff_sessions"):
        return
    yield from check_database(databases)


@register(Tags.security)
def check_cookie_prefixes(**kwargs: Any) -> Iterator[CheckMessage]:
    yield from cookies.check_prefixes()


@register(Tags.security, deploy=True)
def check_deployment(**kwargs: Any) -> Iterator[CheckMessage]:
    yield from cookies.check_cookies()


@register(deploy=True)
def check_servers(**kwargs: Any) -> Iterator[CheckMessage]:
    yield from redis.check_servers()
