"""The mail about a new device of docs/how-to/new-device.md."""

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.core.cache import cache

from bff_sessions.engine import SessionStore
from bff_sessions.events import current_request
from bff_sessions.history.models import Event
from bff_sessions.signals import session_started
from tests.support.endpoints import claims
from tests.support.examples import example
from tests.support.factories import UserFactory
from tests.support.stores import MEMORY

LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def recipe(history, settings):
    cache.clear()
    settings.BFF_SESSIONS = {"DEVICE": {"USER_AGENT": True}}
    template = example("how-to/new-device", "html+django").text
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"shop/new_device.txt": template})
                ]
            },
        }
    ]
    receiver = example("how-to/new-device", "python", "mail_new_device").run()["mail_new_device"]
    yield receiver
    session_started.disconnect(receiver)


@pytest.fixture
def outbox(monkeypatch):
    """Return the mails, each with its user: how Django sends them depends on its version."""
    mails = []

    def email_user(user, subject, message):
        mails.append((user.email, subject, message))

    monkeypatch.setattr(User, "email_user", email_user)
    return mails


@pytest.fixture
def alice():
    return UserFactory(username="alice", email="alice@shop.example")


@pytest.fixture
def sign_in(rf):
    def sign_in(user, user_agent, session_id):
        request = rf.get("/", headers={"User-Agent": user_agent})
        token = current_request.set(request)
        try:
            session = SessionStore()
            session.update(claims(subject_id=user.username, session_id=session_id))
            session[SESSION_KEY] = str(user.pk)
            session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
            session[HASH_SESSION_KEY] = user.get_session_auth_hash()
            session.save()
        finally:
            current_request.reset(token)

    return sign_in


def test_mail_is_sent_once_for_each_new_device(sign_in, alice, outbox):
    sign_in(alice, LINUX.format(140), "s1")
    assert outbox == []
    sign_in(alice, LINUX.format(141), "s2")
    assert outbox == []
    for session_id in ("s3", "s4"):
        sign_in(alice, WINDOWS.format(140), session_id)
    ((to, subject, text),) = outbox
    assert to == "alice@shop.example"
    assert subject == "You signed in from a new device"
    assert "with Firefox on Windows." in text
    assert Event.objects.count() == 4


def test_device_of_another_user_is_new(sign_in, alice, outbox):
    bob = UserFactory(username="bob", email="bob@shop.example")
    sign_in(alice, WINDOWS.format(140), "s1")
    sign_in(bob, LINUX.format(140), "s2")
    sign_in(bob, WINDOWS.format(140), "s3")
    assert [to for to, _, _ in outbox] == ["bob@shop.example"]


def test_sign_ins_at_the_same_moment_send_one_mail(recipe, sign_in, alice, outbox):
    sign_in(alice, LINUX.format(140), "s1")
    session_started.disconnect(recipe)
    sessions = []

    def note(session, **kwargs):
        sessions.append(session)

    session_started.connect(note)
    try:
        sign_in(alice, WINDOWS.format(140), "s2")
        sign_in(alice, WINDOWS.format(140), "s3")
    finally:
        session_started.disconnect(note)
    # Both sessions have started before one of them is announced.
    for session in sessions:
        recipe(sender=None, session=session)
    assert len(outbox) == 1


def test_sign_ins_without_a_user_agent_send_no_mail(sign_in, alice, outbox):
    for session_id, user_agent in [("s1", ""), ("s2", LINUX.format(140)), ("s3", "")]:
        sign_in(alice, user_agent, session_id)
    assert outbox == []


def test_mail_does_not_quote_a_user_agent(sign_in, outbox):
    user = UserFactory(username="o'neill", email="o@shop.example")
    sign_in(user, LINUX.format(140), "s1")
    sign_in(user, "https://evil.example", "s2")
    ((_, _, text),) = outbox
    assert text.startswith("Hello o'neill,\n")
    assert "with an unknown browser." in text
    assert "evil" not in text


def test_mail_is_sent_if_sessions_are_in_another_store(sign_in, alice, outbox, settings):
    settings.BFF_SESSIONS = {**settings.BFF_SESSIONS, "STORE": MEMORY}
    sign_in(alice, LINUX.format(140), "s1")
    sign_in(alice, WINDOWS.format(140), "s2")
    assert len(outbox) == 1


def test_mail_that_fails_does_not_fail_the_sign_in(sign_in, alice, monkeypatch):
    def email_user(user, subject, message):
        raise OSError

    monkeypatch.setattr(User, "email_user", email_user)
    sign_in(alice, LINUX.format(140), "s1")
    sign_in(alice, WINDOWS.format(140), "s2")
    assert Event.objects.filter(what="started").count() == 2
