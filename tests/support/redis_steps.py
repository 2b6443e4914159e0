"""Verbs of the Redis store, which tests stop between two commands."""

from bff_sessions.exceptions import SessionChanged, SessionMissing
from bff_sessions.stores.redis.link import Link

MOST = 100  # No verb of these tests has more commands.


class OneByOne(Link):
    """Sends each command alone, as nodes of a Cluster execute them one after the other."""

    def send(self, commands):
        results = []
        for command in commands:
            results += yield from super().send([command])
        return results


class Backwards(OneByOne):
    """Sends the last command first: nodes of a Cluster do not wait for each other."""

    def send(self, commands):
        results = yield from super().send(commands[::-1])
        return results[::-1]


class Walk:
    """Takes the steps of a verb, some at a time."""

    def __init__(self, steps):
        self.steps = steps
        self.has_ended = False
        self.taken = 0
        self._resume, self._argument = steps.send, None

    def take(self, number=MOST):
        """Take up to `number` steps. Return whether they have ended."""
        try:
            for _ in range(number):
                if self.has_ended:
                    break
                perform, _ = self._resume(self._argument)
                self.taken += 1
                try:
                    self._resume, self._argument = self.steps.send, perform()
                except Exception as error:
                    self._resume, self._argument = self.steps.throw, error
        except (StopIteration, SessionChanged, SessionMissing):
            self.has_ended = True
        return self.has_ended

    def die(self):
        """End as a process does that is killed."""
        self.steps.close()
        self.has_ended = True
