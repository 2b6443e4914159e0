"""What replicas are asked to confirm, without a server."""

import pytest

from bff_sessions.sansio import run
from bff_sessions.stores.redis.options import RedisOptions
from bff_sessions.stores.redis.replicas import Replicas

WRITE = ("EVAL", "a script", 1, b"name")


class Client:
    """Answers the commands of pipelines by their names."""

    def __init__(self, **answers):
        self.answers = {"EVAL": 1, "WAIT": 1, "INFO": {"connected_slaves": 1}} | answers
        self.sent = []

    def pipeline(self, *, transaction):
        assert not transaction
        return self

    def execute_command(self, *command):
        self.sent.append(command)

    def execute(self, *, raise_on_error):
        assert not raise_on_error
        names = [name for name, *_ in self.sent[-self.unread() :]]
        self.read = len(self.sent)
        return [self.answers[name] for name in names]

    read = 0

    def unread(self):
        return len(self.sent) - self.read


def confirm(client, **options):
    return run(Replicas(RedisOptions(url="redis://", **options)).confirm(client, [WRITE]))


def test_write_is_made_again_before_the_server_waits():
    client = Client()
    assert confirm(client, replicas=1, confirm_within=0.5)
    assert client.sent == [WRITE, ("WAIT", 1, 500)]


def test_shortest_wait_is_not_for_ever():
    client = Client()
    assert confirm(client, replicas=1, confirm_within=0.0004)
    assert client.sent[-1] == ("WAIT", 1, 1)


@pytest.mark.parametrize("answers", [{"EVAL": 0}, {"WAIT": 0}, {"WAIT": OSError()}])
def test_answer_that_confirms_nothing(answers):
    assert not confirm(Client(**answers), replicas=1)


def test_primary_without_replicas_is_asked_for_the_write_once_in_a_while():
    client = Client(INFO={"connected_slaves": 0})
    replicas = Replicas(RedisOptions(url="redis://"))
    assert run(replicas.confirm(client, [WRITE]))
    assert client.sent == [("INFO", "replication"), WRITE, ("WAIT", 0, 1000)]
    assert run(replicas.confirm(client, [WRITE]))
    assert len(client.sent) == 3


def test_error_of_one_server_is_not_confirmed():
    assert not confirm(Client(EVAL=OSError()), replicas=1)
