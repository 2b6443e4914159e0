import pytest

from bff_sessions import endings
from bff_sessions.contract import DeletedSession
from bff_sessions.endings import Ending, hook_for, subscribe
from bff_sessions.testing import make_session


@pytest.fixture(autouse=True)
def no_subscribers(monkeypatch):
    monkeypatch.setattr(endings, "_subscribers", [])


def test_no_hook_where_no_subscriber_needs_sessions():
    assert hook_for(Ending.REVOKED) is None
    subscribe(lambda ending: None)
    assert hook_for(Ending.REVOKED) is None


def test_subscriber_says_which_endings_it_needs():
    subscribe(lambda ending: print if ending is Ending.EXPIRED else None)
    assert hook_for(Ending.REVOKED) is None
    assert hook_for(Ending.EXPIRED) is not None


def test_hook_calls_every_subscriber_with_the_batch():
    one, two = [], []
    for told in (one, two):
        subscribe(lambda ending, told=told: told.append)
    batch = [DeletedSession.of(make_session())]
    hook_for(Ending.REVOKED)(batch)
    assert one == two == [batch]


def test_subscribing_twice_calls_once():
    told = []

    def find(ending):
        return told.append

    subscribe(find)
    subscribe(find)
    hook_for(Ending.REVOKED)([])
    assert told == [[]]
