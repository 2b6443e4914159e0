"""The settings that the documentation asks for, which the settings of these tests are made of."""

from tests.support.examples import example


def recipe(page: str, part: str) -> dict[str, object]:
    """Return the settings that the example of `page` which contains `part` defines."""
    found = example(page, "python", part)
    assert found.text.count("\n") <= 20
    defined = found.run()
    return {name: value for name, value in defined.items() if name.isupper()}
