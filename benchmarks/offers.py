"""Which operations are measured for an engine."""

from __future__ import annotations

from benchmarks.engines import Engine
from benchmarks.operations import ASYNC, AT_ONCE, OPERATIONS, Operation
from benchmarks.ours_alone import OURS_ALONE
from benchmarks.raw import RAW
from benchmarks.raw_redis import RAW_REDIS

__all__ = ["is_async", "offers"]


def offers(engine: Engine) -> tuple[dict[str, Operation], dict[str, Operation]]:
    """Return the operations that are measured by default, and those that must be named."""
    if engine.is_raw:
        return (RAW_REDIS if engine.is_in_redis else RAW), {}
    usual, others = OPERATIONS, {}
    if engine.has_async:
        usual, others = usual | ASYNC, others | AT_ONCE
    if engine.app == "bff_sessions":
        others = others | OURS_ALONE
    return usual, others


def is_async(name: str) -> bool:
    return name in ASYNC or name in AT_ONCE
