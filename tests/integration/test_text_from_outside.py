"""Text that no session can have, from outside: nothing is found, and nothing fails."""

import itertools
from urllib.parse import quote

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.management import CommandError, call_command

from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.stores import get_store
from tests.support.factories import SessionFactory, UserFactory
from tests.support.old_sessions import OLD

pytestmark = pytest.mark.django_db

LIST = "/admin/bff_sessions/session/"
# As they stand in a URL: NUL, a lone surrogate in UTF-8, no UTF-8 at all.
TEXTS = ["%00", "a%00b", "%ED%A0%80", "%FF", "%C2%B2", quote("🔑" * 300), "x" * 5_000, f"-{9**40}"]


def with_texts(names):
    """Take each name with each text. Most pairs are thorough, but no name and no text."""
    every = min(len(names), len(TEXTS))
    return [
        pytest.param(name, text, marks=[pytest.mark.thorough] * bool((i - j) % every))
        for i, name in enumerate(names)
        for j, text in enumerate(TEXTS)
    ]


@pytest.fixture
def operator(client):
    client.force_login(UserFactory(admin=True))
    return client


@pytest.fixture
def row():
    return SessionFactory(subject_id="alice")


def found(response):
    return [session.subject_id for session in response.context["cl"].result_list]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["partition", "q"])
def test_admin_list_finds_nothing(operator, row, name, text):
    response = operator.get(f"{LIST}?{name}={text}")
    assert response.status_code == 200
    assert found(response) == []
    assert not list(response.context["messages"])


@pytest.mark.parametrize("text", TEXTS)
def test_admin_search_for_an_issuer_finds_nothing(operator, row, text):
    for term in (f"iss:{text}", f"iss:{text}%20alice", f"iss:{quote(row.issuer)}%20{text}"):
        assert found(operator.get(f"{LIST}?q={term}")) == []


@pytest.mark.parametrize(
    ("name", "text"), with_texts(["p", "o", "all", "_popup", "e", "state", "since", "provider"])
)
def test_admin_list_ignores_it(operator, row, name, text):
    response = operator.get(f"{LIST}?{name}={text}", follow=True)
    assert response.status_code == 200
    if name != "p":  # Which may be a moment before the session began.
        assert "alice" in found(response)


@pytest.mark.parametrize(
    ("name", "text"),
    with_texts(
        ["_to_field", "_changelist_filters", "key", "subject_id", "subject_id__in", "id", "a"]
    ),
)
def test_admin_list_refuses_what_it_does_not_offer(operator, row, name, text):
    assert operator.get(f"{LIST}?{name}={text}").status_code in (302, 400)


@pytest.mark.parametrize("text", TEXTS)
def test_admin_knows_no_such_parameter(operator, row, text):
    assert operator.get(f"{LIST}?{text}=1").status_code in (302, 400)


@pytest.mark.parametrize(("page", "text"), with_texts(["change", "delete", "history"]))
def test_admin_page_of_no_session_leads_elsewhere(operator, row, page, text):
    for path in (f"{LIST}{text}/{page}/", f"{LIST}{row.pk}{text}/{page}/"):
        assert operator.get(path).status_code in (302, 404)


@pytest.mark.parametrize(("page", "text"), with_texts(["change", "delete", "history"]))
def test_admin_page_of_a_session_keeps_its_filters(operator, row, page, text):
    url = f"{LIST}{row.pk}/{page}/?_changelist_filters=partition%3D{quote(text)}"
    assert operator.get(url).status_code == 200


@pytest.mark.parametrize(
    ("action", "text"), with_texts(["end_sessions", "sign_out_subjects", "\0"])
)
def test_admin_action_ends_nothing(operator, row, action, text):
    data = {"action": action, ACTION_CHECKBOX_NAME: ["\0"], "post": "yes", "index": "\0"}
    chosen = {**data, ACTION_CHECKBOX_NAME: [row.pk], "select_across": "1"}
    for name, form in itertools.product(("partition", "q"), (data, chosen)):
        response = operator.post(f"{LIST}?{name}={text}", form)
        assert response.status_code in (200, 302)
    assert Session.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("text", TEXTS)
def test_overview_ignores_it(operator, text):
    assert operator.get(f"{LIST}overview/?partition={text}").status_code == 200


def sign_in(client):
    session = SessionStore()
    session["oidc"] = {"iss": "https://idp.example", "sub": "alice", "sid": "phone"}
    session.save()
    client.cookies["sessionid"] = session.session_key


@pytest.mark.parametrize("text", TEXTS)
def test_endpoints_know_no_such_session(client, text):
    sign_in(client)
    headers = {"X-CSRF": "1"}
    assert client.delete(f"/bff/sessions/{text}", headers=headers).status_code == 404
    for perform in (client.get, client.post):
        assert perform(f"/bff/my-sessions/{text}/end").status_code == 302
    assert client.get(f"/bff/user?slide={text}", headers=headers).status_code == 200
    assert len(Session.objects.all()) == 1


@pytest.mark.parametrize("key", ["\0" * 32, "\ud800" * 32, "🔑" * 32, "x" * 5_000, "", "x\0" * 16])
@pytest.mark.parametrize("take_over", [None, OLD])
def test_session_key_that_cannot_be_one_is_absent(settings, calls, key, take_over):
    settings.BFF_SESSIONS = {"TAKE_OVER": take_over}
    assert calls.exists(SessionStore(), key) is False
    assert dict(calls.items(SessionStore(key))) == {}
    calls.delete(SessionStore(), key)
    calls.flush(SessionStore(key))


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
@pytest.mark.parametrize("name", ["--subject", "--sid", "--user"])
@pytest.mark.parametrize("verb", ["list", "show", "end"])
def test_command_says_what_is_wrong(verb, name, text):
    with pytest.raises(CommandError, match="must not contain a"):
        call_command("sessions", verb, name, text)
    for option in ("--issuer", "--partition"):
        with pytest.raises(CommandError, match="must not contain a"):
            call_command("sessions", verb, "--subject", "alice", option, text)


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 300])
def test_clean_up_command_says_what_is_wrong(text):
    with pytest.raises(CommandError, match="partition"):
        call_command("cleanup_sessions", "--partition", text)


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 300])
def test_clean_up_of_no_partition_deletes_nothing(text):
    SessionFactory(expired=True)
    for dry_run in (True, False):
        assert get_store().delete_expired_sessions(partition=text, dry_run=dry_run) == 0


@pytest.mark.parametrize("name", ["partition", "issuer", "subject_id", "session_id", "user_id"])
def test_query_for_it_finds_nothing(row, name):
    for text in ("\0", "\ud800"):
        assert not Session.objects.filter(**{name: text}).exists()
        assert Session.objects.exclude(**{name: text}).exists()
