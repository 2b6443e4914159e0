"""The backend of a project, as the documentation shows it."""

from tests.support.examples import example

Provider = example("how-to/social-auth", "python", "class Provider").run()["Provider"]
