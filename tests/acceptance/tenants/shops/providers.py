"""The callable that the documentation shows."""

from tests.support.examples import example

exec(example("how-to/tenants", "python", "def find_provider").text)
