"""The backend of a project, as the documentation shows it."""

from tests.support.examples import example

Provider = example("how-to/social-auth", "python", "class Provider").run()["Provider"]
# login() stores the path of the class in the session.
Provider.__module__ = __name__
