"""An event loop for tests that are not asynchronous themselves."""

import asyncio
import threading
from contextlib import contextmanager


@contextmanager
def background_loop():
    """Give an event loop that runs in a thread, and end it as asyncio.run() does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        for end in (loop.shutdown_asyncgens, loop.shutdown_default_executor):
            asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def in_loop(loop):
    """Return a function that makes coroutine functions run in `loop`, and their callers wait."""

    def to_sync(function):
        def call(*args, **kwargs):
            return asyncio.run_coroutine_threadsafe(function(*args, **kwargs), loop).result()

        return call

    return to_sync
