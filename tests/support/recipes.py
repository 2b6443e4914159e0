"""The recipes of the README, which the settings of these tests are made of."""

import re
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()


def recipe(part):
    """What the block of the README that contains `part` defines."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if part in block]
    assert block.count("\n") <= 20
    namespace = {}
    exec(block.replace("...,", ""), namespace)
    return {name: value for name, value in namespace.items() if name.isupper()}
