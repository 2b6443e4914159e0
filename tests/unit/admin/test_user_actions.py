"""The action of the admin of users."""

import re

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission, User
from django.test import Client

from bff_sessions.admin import SignOutUsers, user_actions
from bff_sessions.contract import Actor, EndReason
from bff_sessions.models import Session
from bff_sessions.signals import sessions_ended
from tests.support.factories import SessionFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/auth/user/"
ACTION = "sign_out_users"


@pytest.fixture
def users():
    users = [UserFactory(username=name) for name in ("alice", "bob", "carol")]
    for user in users:
        SessionFactory.create_batch(2, user_id=str(user.pk))
    SessionFactory(user_id=str(users[0].pk), partition="other")
    return users


def choose(users, **more):
    return {"action": ACTION, "_selected_action": [user.pk for user in users], **more}


def left(user):
    return Session.objects.filter(user_id=str(user.pk), partition="default").count()


def words(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


def test_action_asks_first(operator, users):
    response = operator.post(LIST, choose(users[:2]))
    text = words(response)
    assert "All sessions of these users in this application will end." in text
    assert "alice bob" in text
    assert "carol" not in text
    assert "Your own session" not in text
    assert left(users[0]) == 2


def test_confirmed_action_ends_all_sessions_of_the_users(operator, users):
    ends = []

    def receiver(sessions, **kwargs):
        ends.extend((session.reason, session.actor) for session in sessions)

    sessions_ended.connect(receiver)
    page = operator.post(LIST, choose(users[:2], post="yes"), follow=True)
    sessions_ended.disconnect(receiver)
    assert "4 sessions have ended." in words(page)
    assert [left(user) for user in users] == [0, 0, 2]
    assert Session.objects.filter(partition="other").count() == 1
    actor = Actor.of_user(User.objects.get(is_superuser=True))
    assert ends == [(EndReason.OPERATOR, actor)] * 4
    logged = LogEntry.objects.order_by("object_repr")
    assert [(str(e.object_repr), e.change_message) for e in logged] == [
        ("alice", "Signed out everywhere: 2"),
        ("bob", "Signed out everywhere: 2"),
    ]


def test_operator_who_is_selected_is_warned_and_signed_out(operator):
    user = User.objects.get(is_superuser=True)
    assert "Your own session is among them" in words(operator.post(LIST, choose([user])))
    operator.post(LIST, choose([user], post="yes"))
    assert operator.get(LIST).status_code == 302
    assert left(user) == 0


def test_too_many_users_are_refused(operator, users, monkeypatch):
    monkeypatch.setattr(user_actions, "_MAX_USERS", 2)
    page = operator.post(LIST, choose(users, post="yes"), follow=True)
    assert "Select 2 users at most." in words(page)
    assert left(users[0]) == 2


def test_store_that_fails_is_reported(operator, users, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise RuntimeError("a secret")

    monkeypatch.setattr(user_actions, "revoke_user_sessions", fail)
    page = operator.post(LIST, choose(users, post="yes"), follow=True)
    assert "The store of sessions does not answer." in words(page)
    assert "a secret" not in page.content.decode() + caplog.text


@pytest.mark.parametrize("may", [True, False])
def test_action_needs_the_permission(users, may):
    staff = UserFactory(is_staff=True)
    names = ["view_user", "change_user"] + (["sign_out_subject"] if may else [])
    staff.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(staff)
    assert (ACTION in client.get(LIST).content.decode()) is may
    client.post(LIST, choose(users, post="yes"))
    assert left(users[0]) == (0 if may else 2)


def test_other_admin_classes_get_it_by_inheritance(rf, admin_user):
    class Mine(SignOutUsers, admin.ModelAdmin):
        pass

    class Djangos(UserAdmin):
        pass

    request = rf.get(LIST)
    request.user = admin_user
    for kind in (Mine, Djangos):
        assert ACTION in kind(User, admin.site).get_actions(request)
    assert ACTION not in admin.ModelAdmin(User, admin.site).get_actions(request)


def test_it_is_added_once():
    before = list(UserAdmin.actions)
    user_actions.add_to_user_admin()
    assert list(UserAdmin.actions) == before
    assert before.count(user_actions.sign_out_users) == 1
