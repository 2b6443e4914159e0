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
