"""Say which extra of the package brings an optional dependency."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Surround the imports of what the extra `name` brings.

    Raises:
        ImportError: if a module is not installed. The text says how to install the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ImportError(
            f"The package {package!r} is not installed. "
            f"Run pip install 'django-bff-sessions[{name}]'.",
            name=error.name,
        ) from None
