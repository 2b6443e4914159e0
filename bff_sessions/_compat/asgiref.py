"""Give the thread of a request back while its response is sent.

Private API of asgiref, read in 3.8 to 3.13: ThreadSensitiveContext, which Django's ASGIHandler
opens for each request, and SyncToAsync.context_to_thread_executor, which holds the thread of its
synchronous code until the response is complete. For an open page that may be days. If synchronous
code follows, asgiref begins another thread.

It saves a thread for each open page, see `python -m benchmarks.pages`.
"""

from __future__ import annotations

from asgiref.sync import SyncToAsync


def release_thread() -> None:
    """End the thread of this request's synchronous code, if the request has one of its own."""
    context = SyncToAsync.thread_sensitive_context.get(None)
    # Newer releases accept an executor of the caller, who also ends it.
    if context is None or getattr(context, "_executor", None) is not None:
        return
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.shutdown(wait=False)
