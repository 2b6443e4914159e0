"""The Redis server of the tests."""

import os

import redis

REDIS = {"URL": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/5")}


def empty():
    """Delete everything."""
    redis.from_url(REDIS["URL"]).flushdb()
