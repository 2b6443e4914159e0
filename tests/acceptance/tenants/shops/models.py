"""The models that the documentation shows."""

from tests.support.examples import example

exec(example("how-to/tenants", "python", "class Shop").text)
