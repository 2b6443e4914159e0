"""Errors of clients of Redis, whose texts may quote commands."""

import pytest

from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.stores.redis.errors import translated


class ResponseError(Exception):
    pass


ResponseError.__module__ = "redis.exceptions"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ResponseError("NOPERM the secret"), "Redis has failed: ResponseError (NOPERM)."),
        (ResponseError("Command # 1 (EVAL secret)"), "Redis has failed: ResponseError."),
        (ConnectionResetError("secret"), "Redis has failed: ConnectionResetError."),
    ],
)
def test_error_of_a_client_is_named_without_its_text(error, text):
    shown = translated(error)
    assert isinstance(shown, StoreUnavailable)
    assert str(shown) == text


def test_other_error_stays():
    error = LookupError("ours")
    assert translated(error) is error
