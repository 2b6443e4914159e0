"""manage.py sessions history, and the clean-up of old events."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from bff_sessions.history import reading
from bff_sessions.history.models import ENDED, STARTED, Event
from tests.support.factories import ago

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("installed_history")]


def make_event(number, **values):
    return Event.objects.create(
        **{
            "moment": ago(days=number),
            "what": ENDED,
            "reason": "operator",
            "actor_kind": "user",
            "actor_id": "7",
            "public_id": f"{number:032x}",
            "partition": "default",
            "issuer": "https://idp.example",
            "subject_id": "alice",
            "user_agent": "Firefox\x1b[31m",
        }
        | values
    )


def history(*arguments):
    out = io.StringIO()
    call_command("sessions", "history", *arguments, stdout=out)
    return out.getvalue()


def found(*arguments):
    return [int(event["public_id"], 16) for event in json.loads(history("--json", *arguments))]


@pytest.fixture
def made():
    make_event(1)
    make_event(2, what=STARTED, reason=None, actor_kind=None, actor_id=None)
    make_event(3, subject_id="bob", user_id="8")
    make_event(4, issuer=None, partition="shop")


def test_table_has_a_line_for_each_event_newest_first(made):
    head, *lines = history().splitlines()
    assert head.split() == [
        "moment", "what", "reason", "actor_id", "subject_id", "issuer", "user_agent",
    ]  # fmt: skip
    assert [line.split()[1:5] for line in lines[:2]] == [
        ["ended", "operator", "7", "alice"],
        ["started", "-", "-", "alice"],
    ]
    assert "\x1b" not in "".join(lines)


def test_json_has_all_fields(made):
    event = json.loads(history("--json"))[0]
    assert set(event) == {
        "moment", "what", "reason", "actor_kind", "actor_id", "subject_id", "issuer", "user_id",
        "partition", "public_id", "user_agent", "address",
    }  # fmt: skip
    assert event["reason"] == "operator"


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ([], [1, 2, 3, 4]),
        (["--subject", "alice"], [1, 2, 4]),
        (["--subject", "Alice"], []),
        (["--user", "8"], [3]),
        (["--issuer", "https://idp.example"], [1, 2, 3]),
        (["--subject", "alice", "--local"], [4]),
        (["--partition", "shop"], [4]),
        (["--limit", "2"], [1, 2]),
        (["--subject", ""], []),
        (["--subject", "a\0b"], []),
        (["--issuer", "\udcff"], []),
        (["--user", "x" * 5000], []),
    ],
)
def test_options_filter_exactly_and_garbage_finds_nothing(made, arguments, numbers):
    assert found(*arguments) == numbers


@pytest.mark.parametrize("limit", ["-1", "x", "", "1.5", "9" * 30])
def test_limit_must_be_a_number(limit):
    with pytest.raises(CommandError, match="must be a number of events"):
        history(f"--limit={limit}")


def test_site_without_history_names_the_app(monkeypatch):
    monkeypatch.setattr(reading, "APP", "other")
    with pytest.raises(CommandError, match="to INSTALLED_APPS"):
        history()


# Clean-up


@pytest.mark.parametrize(
    ("lifetime", "left"),
    [
        ({}, [1, 89]),
        ({"HISTORY_LIFETIME": timedelta(days=30)}, [1]),
        ({"HISTORY_LIFETIME": None}, [1, 89, 91]),
    ],
)
def test_clean_up_deletes_old_events(settings, lifetime, left):
    settings.BFF_SESSIONS = lifetime
    for number in (1, 89, 91):
        make_event(number)
    call_command("cleanup_sessions", verbosity=0, dry_run=True)
    assert len(found()) == 3
    call_command("cleanup_sessions", verbosity=0)
    assert found() == left
