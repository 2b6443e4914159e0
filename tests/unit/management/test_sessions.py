"""manage.py sessions."""

import getpass
import io
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bff_sessions.contract import (
    Actor,
    ActorKind,
    EndReason,
    UserSessionsFilter,
    UserSessionStoreRepair,
)
from bff_sessions.exceptions import StoreUnavailable
from bff_sessions.signals import sessions_ended
from bff_sessions.stores import get_store
from bff_sessions.stores.memory import InMemoryUserSessionStore
from bff_sessions.testing import make_session
from tests.support.stores import MEMORY, NATIVE_EXPIRY

pytestmark = pytest.mark.django_db
ALICES = UserSessionsFilter(subject_id="alice")
HEADER = ["subject_id", "session_id", "issuer", "user_id", "partition", "renewed"]


@pytest.fixture(autouse=True)
def sessions():
    made = [
        make_session(subject_id="alice", session_id="s1", issuer="https://idp.example"),
        make_session(subject_id="alice", session_id="s2", issuer="https://idp.example"),
        make_session(subject_id="alice", session_id="s3", issuer=None, user_id="7"),
        make_session(subject_id="bob", session_id="s4", issuer="https://idp.example"),
    ]
    for session in made:
        get_store().create_user_session(session)
    return made


def sessions_command(*arguments, **options):
    out, err = io.StringIO(), io.StringIO()
    call_command("sessions", *arguments, stdout=out, stderr=err, **options)
    return out.getvalue()


def errors_of(*arguments, **options):
    err = io.StringIO()
    call_command("sessions", *arguments, stdout=io.StringIO(), stderr=err, **options)
    return err.getvalue()


def answer(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_list_has_a_line_for_each():
    header, *lines = sessions_command("list", "--subject", "alice").splitlines()
    assert header.split() == HEADER
    assert sorted(line.split()[1] for line in lines) == ["s1", "s2", "s3"]


@pytest.mark.parametrize("arguments", [["list"], ["show"], ["list", "--json"], ["show", "--json"]])
@pytest.mark.parametrize("which", [["--sid", "nope"], ["--user", "carol"]])
def test_no_match_is_reported_beside_the_output(arguments, which):
    out, err = io.StringIO(), io.StringIO()
    call_command("sessions", *arguments, *which, stdout=out, stderr=err)
    assert out.getvalue() == ("[]\n" if "--json" in arguments else "")
    assert err.getvalue() == "No live session matches.\n"
    quiet = io.StringIO()
    call_command("sessions", *arguments, *which, stdout=out, stderr=quiet, verbosity=0)
    assert quiet.getvalue() == ""


def test_match_is_not_reported():
    err = io.StringIO()
    call_command("sessions", "list", "--sid", "s1", stdout=io.StringIO(), stderr=err)
    assert err.getvalue() == ""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--sid", "s1"], ["s1"]),
        (["--user", "7"], ["s3"]),
        (["--subject", "alice", "--local"], ["s3"]),
        (["--subject", "alice", "--issuer", "https://idp.example"], ["s1", "s2"]),
        (["--subject", "alice", "--partition", "other"], []),
        (["--subject", "ALICE"], []),
    ],
)
def test_sessions_are_found_exactly(arguments, found):
    listed = json.loads(sessions_command("list", "--json", *arguments))
    assert sorted(session["session_id"] for session in listed) == found


def test_json_holds_neither_key_nor_ticket(sessions):
    text = sessions_command("list", "--subject", "bob", "--json")
    (shown,) = json.loads(text)
    assert shown["public_id"] == sessions[3].public_id
    assert shown["expires"] == sessions[3].expires.isoformat(timespec="seconds")
    assert set(shown) == {"public_id", "created", "expires", "subject_id"} | set(HEADER)
    assert sessions[3].key not in text


def test_show_tells_all_in_words(sessions):
    lines = sessions_command("show", "--sid", "s3").splitlines()
    assert f"public_id   {sessions[2].public_id}" in lines
    assert "issuer      -" in lines
    assert "user_id     7" in lines


def test_control_characters_of_a_claim_do_not_reach_the_terminal():
    get_store().create_user_session(make_session(subject_id="\x1b[2Jeve", user_id="9"))
    text = sessions_command("list", "--user", "9")
    assert "\x1b" not in text
    assert "\\x1b[2Jeve" in text


def test_one_is_ended_without_asking():
    assert sessions_command("end", "--sid", "s1") == "1 session ended.\n"
    assert len(get_store().get_user_sessions(ALICES)) == 2


@pytest.mark.parametrize("text", ["n\n", "\n", "nonsense\n", ""])
def test_more_than_one_are_ended_by_yes_only(monkeypatch, text):
    answer(monkeypatch, text)
    with pytest.raises(CommandError):
        sessions_command("end", "--subject", "alice")
    assert len(get_store().get_user_sessions(ALICES)) == 3


@pytest.mark.parametrize("arguments", [["--yes"], []])
def test_all_of_a_subject_are_ended(monkeypatch, arguments):
    answer(monkeypatch, "y\n")
    assert sessions_command("end", "--subject", "alice", *arguments) == "3 sessions ended.\n"
    assert get_store().get_user_sessions(ALICES) == []
    assert len(get_store().get_user_sessions(UserSessionsFilter(subject_id="bob"))) == 1


def test_the_question_is_not_part_of_the_answer(monkeypatch):
    answer(monkeypatch, "y\n")
    assert json.loads(sessions_command("end", "--subject", "alice", "--json")) == {"ended": 3}


def has_no_name():
    raise OSError("No username set in the environment")


def test_ending_is_silent_if_so_wished():
    assert sessions_command("end", "--sid", "s1", verbosity=0) == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("user", "actor"),
    [(lambda: "otto", Actor(ActorKind.COMMAND, "otto")), (has_no_name, None), (str, None)],
    ids=["named", "unknown", "blank"],
)
def test_ending_is_announced_with_the_user_of_the_terminal(monkeypatch, user, actor):
    monkeypatch.setattr(getpass, "getuser", user)
    ended = []

    def hear(sessions, reason, **kwargs):
        assert (reason, kwargs["actor"]) == (EndReason.OPERATOR, actor)
        ended.extend(session.session_id for session in sessions)

    sessions_ended.connect(hear)
    try:
        sessions_command("end", "--subject", "alice", "--yes")
    finally:
        sessions_ended.disconnect(hear)
    assert sorted(ended) == ["s1", "s2", "s3"]


@pytest.mark.parametrize("verb", ["list", "show", "end"])
@pytest.mark.parametrize("arguments", [[], ["--issuer", "https://idp.example"], ["--local"]])
def test_command_without_a_filter_names_the_options(verb, arguments):
    with pytest.raises(CommandError) as caught:
        sessions_command(verb, *arguments)
    assert str(caught.value) == "Give --subject, --sid or --user."
    assert len(get_store().get_user_sessions(ALICES)) == 3


@pytest.mark.parametrize("option", ["--subject", "--sid", "--user", "--issuer", "--partition"])
@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_variable_of_a_script_ends_no_more_than_was_meant(option, blank):
    narrowed = ["--user", "7"] if option == "--subject" else ["--subject", "alice"]
    with pytest.raises(CommandError, match=f"{option} must not be blank"):
        sessions_command("end", *narrowed, option, blank, "--yes")
    assert len(get_store().get_user_sessions(ALICES)) == 3


def test_a_store_that_cannot_be_imported_is_told_in_a_line(settings):
    settings.BFF_SESSIONS = {"STORE": "no.such.Store"}
    with pytest.raises(CommandError, match="cannot be imported"):
        sessions_command("list", "--subject", "alice")


@pytest.fixture
def many():
    """250 more sessions of alice's, in the order of their sign-in."""
    now = datetime.now(UTC)
    made = [
        make_session(
            session_id=f"m{age:03}",
            created=now - timedelta(minutes=age),
            issuer="https://idp.example" + "/long" * (age == 180),
        )
        for age in range(1, 251)
    ]
    for session in made:
        get_store().create_user_session(session)
    return made


@pytest.fixture
def pages_of_100(monkeypatch):
    store = type(get_store())
    monkeypatch.setattr(store, "get_user_sessions", None)
    query = store.query_user_sessions
    monkeypatch.setattr(
        store,
        "query_user_sessions",
        lambda *args, **kwargs: query(*args, **kwargs | {"limit": 100}),
    )


@pytest.mark.usefixtures("pages_of_100")
def test_list_shows_all_pages_newest_sign_in_first(many):
    header, *lines = sessions_command("list", "--subject", "alice").splitlines()
    assert header.split() == HEADER
    shown = [line.split()[1] for line in lines]
    assert set(shown[:3]) == {"s1", "s2", "s3"}
    assert shown[3:] == [session.session_id for session in many]


@pytest.mark.usefixtures("pages_of_100")
@pytest.mark.parametrize("verb", ["list", "show"])
@pytest.mark.parametrize(("subject", "number"), [("alice", 253), ("bob", 1), ("nobody", 0)])
def test_json_of_many_pages_is_one_array(many, verb, subject, number):
    text = sessions_command(verb, "--subject", subject, "--json")
    listed = json.loads(text)
    assert text == json.dumps(listed, indent=2) + "\n"
    assert len({session["public_id"] for session in listed}) == number


@pytest.mark.usefixtures("pages_of_100")
def test_end_shows_100_and_how_many_more(many, monkeypatch):
    answer(monkeypatch, "n\n")
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="No session was ended"):
        call_command("sessions", "end", "--subject", "alice", stdout=out, stderr=err)
    header, *lines = err.getvalue().splitlines()
    assert header.split() == HEADER
    assert len(lines) == 102
    assert lines[100:] == ["... and 153 more.", "End these 253 sessions? [y/N] "]
    assert out.getvalue() == ""


@pytest.mark.usefixtures("pages_of_100")
def test_list_begins_before_the_last_page_is_read(many):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with CaptureQueriesContext(connection) as captured:
        call_command("sessions", "list", "--subject", "alice", stdout=Closed())
    assert len(captured) == 1


@pytest.mark.parametrize("arguments", [["list"], ["show"], ["list", "--json"]])
@pytest.mark.parametrize("subject", ["alice", "bob"], ids=["at once", "when flushed"])
def test_closed_pipe_ends_the_output_quietly(many, arguments, subject):
    read, write = os.pipe()
    os.close(read)
    err = io.StringIO()
    with os.fdopen(write, "w") as out:
        call_command("sessions", *arguments, "--subject", subject, stdout=out, stderr=err)
        out.write("what the interpreter flushes when it exits")
    assert err.getvalue() == ""


# What may have been meant


@pytest.mark.parametrize("verb", ["list", "end"])
def test_user_name_is_answered_with_the_primary_key(verb):
    said = "No live session matches."
    user = User.objects.create(username="carol")
    assert errors_of(verb, "--user", "carol") == (
        f"{said} Is 'carol' a user name? Then give the primary key: --user {user.pk}.\n"
    )
    assert errors_of(verb, "--user", "dave") == f"{said}\n"


def test_user_names_need_not_be_texts(monkeypatch):
    monkeypatch.setattr(User, "USERNAME_FIELD", "id")
    assert errors_of("list", "--user", "carol") == "No live session matches.\n"


def test_user_name_is_not_looked_up_without_users(monkeypatch):
    monkeypatch.setattr("django.apps.apps.is_installed", {"bff_sessions"}.__contains__)
    assert errors_of("list", "--user", "carol") == "No live session matches.\n"


def test_misspelt_issuer_is_answered_with_the_configured_one(settings):
    settings.BFF_SESSIONS = {"PROVIDERS": {"https://idp.example": {"CLIENT_ID": "shop"}}}
    for issuer in ("https://idp.example/", "HTTPS://IDP.EXAMPLE"):
        said = errors_of("list", "--subject", "alice", "--issuer", issuer)
        assert said == "No live session matches. Did you mean --issuer https://idp.example?\n"
    for which in (["--issuer", "https://idp.example"], ["--issuer", "other"], ["--local"]):
        assert errors_of("list", "--sid", "nope", *which) == "No live session matches.\n"


def test_end_that_ends_nothing_says_so():
    out, err = io.StringIO(), io.StringIO()
    call_command("sessions", "end", "--sid", "nope", stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == ("0 sessions ended.\n", "No live session matches.\n")
    assert errors_of("end", "--sid", "nope", verbosity=0) == ""


@pytest.mark.parametrize("option", ["--subject", "--sid", "--user", "--issuer", "--partition"])
def test_text_that_no_session_has_is_refused_by_the_name_of_the_option(option):
    with pytest.raises(CommandError, match=option) as caught:
        sessions_command("list", "--sid", "s1", option, "\udcff")
    assert "_id" not in str(caught.value)


@pytest.mark.parametrize("store", [MEMORY, NATIVE_EXPIRY])
def test_all_verbs_work_on_stores_without_rows(settings, store):
    settings.BFF_SESSIONS = {"STORE": store}
    for number in range(3):
        session = make_session(subject_id="alice", session_id=f"m{number}", user_id="7")
        get_store().create_user_session(session)
    for arguments in (["--subject", "alice"], ["--user", "7"]):
        _header, *lines = sessions_command("list", *arguments).splitlines()
        assert sorted(line.split()[1] for line in lines) == ["m0", "m1", "m2"]
    assert "session_id  m1" in sessions_command("show", "--sid", "m1")
    assert sessions_command("end", "--sid", "m1") == "1 session ended.\n"
    assert sessions_command("end", "--subject", "alice", "--yes") == "2 sessions ended.\n"
    assert get_store().get_user_sessions(ALICES) == []


class Indexed(InMemoryUserSessionStore, UserSessionStoreRepair):
    def finish_deletes(self, on_ending):
        return []

    def reindex_sessions(self):
        return len(self._sessions)


class Unreachable(Indexed):
    def reindex_sessions(self):
        raise StoreUnavailable


def test_index_is_written_again(settings):
    settings.BFF_SESSIONS = {"STORE": f"{__name__}.Indexed"}
    get_store().create_user_session(make_session())
    assert sessions_command("reindex") == "1 session indexed.\n"


@pytest.mark.parametrize(
    ("store", "text"),
    [
        (MEMORY, "must inherit from UserSessionStoreRepair"),
        (f"{__name__}.Unreachable", "cannot be reached"),
    ],
)
def test_index_that_cannot_be_written_is_an_error(settings, store, text):
    settings.BFF_SESSIONS = {"STORE": store}
    with pytest.raises(CommandError, match=text):
        sessions_command("reindex")


# doctor


def test_doctor_has_a_line_for_each_check():
    lines = sessions_command("doctor", no_color=True).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "store"],
        ["ok", "ticket"],
        ["ok", "clean-up"],
    ]


def test_doctor_fails_after_the_whole_table():
    late = make_session(expires=datetime.now(UTC) - timedelta(days=2))
    get_store().create_user_session(late)
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("sessions", "doctor", stdout=out, no_color=True)
    assert str(caught.value) == "Faults were found: clean-up."
    assert caught.value.returncode == 1
    assert len(out.getvalue().splitlines()) == 3
    assert late.key not in out.getvalue()


def test_doctor_writes_json():
    findings = json.loads(sessions_command("doctor", "--json"))
    assert findings[0] == {
        "check": "store",
        "verdict": "ok",
        "text": "OrmUserSessionStore answers.",
    }
