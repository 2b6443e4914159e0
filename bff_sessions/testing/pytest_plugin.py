"""Fixtures for pytest-django. Opt in to them in the root conftest.py.

    pytest_plugins = ["bff_sessions.testing.pytest_plugin"]

- ``client``, ``async_client``: these replace those of pytest-django, see
  `bff_sessions.testing.Client`;
- ``sign_in(user, claims=…)`` and ``asign_in(user, claims=…)``: `bff_sessions.testing.sign_in()`
  with these clients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bff_sessions.testing import clients


@pytest.fixture
def client() -> clients.Client:
    """Return a test client that stays signed in when a test writes to its session."""
    return clients.Client()


@pytest.fixture
def async_client() -> clients.AsyncClient:
    """Return an asynchronous test client; see client."""
    return clients.AsyncClient()


@pytest.fixture
def sign_in(client: Any) -> Callable[..., Any]:
    """Return a function that signs a user in to `client` and returns the session."""
    return partial(clients.sign_in, client)


@pytest.fixture
def asign_in(async_client: Any) -> Callable[..., Any]:
    """Return a coroutine function that signs a user in to `async_client`."""
    return partial(clients.asign_in, async_client)
