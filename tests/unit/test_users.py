"""Sessions end when Django's user becomes inactive, is deleted or changes the password."""

import logging
import pickle
from traceback import walk_tb

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth import authenticate, get_user_model, login
from django.contrib.auth.hashers import PBKDF2PasswordHasher, get_hasher, make_password
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core import serializers
from django.db import OperationalError, connection, transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from bff_sessions import conf, users
from bff_sessions.contract import ANY, Actor, EndReason
from bff_sessions.models import Session
from bff_sessions.revocation import arevoke_user_sessions, revoke_user_sessions
from bff_sessions.signals import sessions_ended
from tests.support.factories import SessionFactory, UserFactory
from tests.support.middleware import DJANGOS, OURS

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"
EVERYTHING = ["deactivated", "deleted", "password_changed"]


def save_in_view(request):
    """Change the password without update_session_auth_hash()."""
    request.user.set_password("another of alice's")
    request.user.save()
    return HttpResponse("saved")


def sign_in_view(request):
    login(request, authenticate(request, **request.POST.dict()))
    return HttpResponse("signed in")


urlpatterns = [
    path("save", save_in_view),
    path("sign-in", sign_in_view),
    path("", include("django.contrib.auth.urls")),
    path("bff/", include("bff_sessions.urls")),
]


@pytest.fixture
def alice():
    user = UserFactory(username="alice", password=make_password(PASSWORD))
    SessionFactory.create_batch(2, user_id=str(user.pk), subject_id=str(user.pk), issuer=None)
    # Sessions that are not hers.
    SessionFactory(user_id=str(user.pk), partition="other")
    SessionFactory(user_id=str(UserFactory().pk))
    SessionFactory(subject_id=str(user.pk), user_id=None)
    return User.objects.get(pk=user.pk)


def sessions_of(user_id):
    return Session.objects.filter(user_id=str(user_id), partition="default").count()


def has_ended(user_id):
    assert Session.objects.count() >= 3
    return sessions_of(user_id) == 0


@pytest.fixture
def ends():
    """Reason, actor and request of each session that ends."""
    ends = []

    def receiver(sessions, **kwargs):
        ends.extend((session.reason, session.actor) for session in sessions)

    sessions_ended.connect(receiver)
    yield ends
    sessions_ended.disconnect(receiver)


# Deactivated


def save(user):
    user.save()


def save_that_field(user):
    user.save(update_fields=["is_active"])


def asave(user):
    async_to_sync(user.asave)()


def save_proxy(user):
    copy = User.objects.only("username").get(pk=user.pk)
    copy.is_active = False
    copy.save()


def save_pickled(user):
    pickle.loads(pickle.dumps(user)).save()


def save_unloaded(user):
    User(pk=user.pk, username="alice", is_active=False).save()


def save_fixture(user):
    (found,) = serializers.deserialize("json", serializers.serialize("json", [user]))
    found.save()


def save_twice(user):
    user.save(update_fields=["first_name"])
    user.save()


SAVES = [save, save_that_field, asave, save_proxy, save_pickled, save_unloaded, save_fixture]


@pytest.mark.parametrize("how", [*SAVES, save_twice], ids=lambda how: how.__name__)
def test_deactivation_ends_the_sessions_at_once(alice, ends, how):
    alice.is_active = False
    how(alice)
    assert has_ended(alice.pk)
    assert ends == [(EndReason.USER_DEACTIVATED, None)] * 2


def test_deactivation_in_the_admin_ends_the_sessions(alice, admin_client, ends):
    url = f"/admin/auth/user/{alice.pk}/change/"
    form = admin_client.get(url).context["adminform"].form
    values = {name: form.initial.get(name) or "" for name in form.fields}
    dates = {"date_joined_0": "2026-01-01", "date_joined_1": "10:00:00"}
    post = {**values, **dates, "username": "alice", "is_active": "", "groups": []}
    assert admin_client.post(url, {**post, "user_permissions": []}).status_code == 302
    assert not User.objects.get(pk=alice.pk).is_active
    assert has_ended(alice.pk)
    operator = User.objects.get(username="admin")
    assert ends == [(EndReason.USER_DEACTIVATED, Actor.of_user(operator))] * 2


def test_what_is_not_saved_ends_nothing(alice):
    alice.is_active = False
    alice.save(update_fields=["first_name"])
    assert sessions_of(alice.pk) == 2


def test_rollback_ends_nothing_and_a_second_try_does(alice):
    alice.is_active = False
    with transaction.atomic():
        alice.save()
        assert sessions_of(alice.pk) == 2
        transaction.set_rollback(True)
    assert sessions_of(alice.pk) == 2
    alice.save()
    assert has_ended(alice.pk)


def test_sessions_end_after_the_commit(alice):
    with transaction.atomic():
        alice.is_active = False
        alice.save()
        assert sessions_of(alice.pk) == 2
    assert has_ended(alice.pk)


def test_new_user_who_is_inactive_costs_no_statement(django_assert_num_queries):
    with django_assert_num_queries(1):
        User(username="new", is_active=False).save()


# What changes nothing costs nothing

UNCHANGED = {
    "all fields": lambda user: user.save(),
    "another field": lambda user: user.save(update_fields=["first_name"]),
    "these fields": lambda user: user.save(update_fields=["is_active", "password"]),
}


@pytest.mark.parametrize("how", UNCHANGED.values(), ids=UNCHANGED)
def test_save_that_changes_nothing_of_it_costs_no_statement(alice, how, django_assert_num_queries):
    user = User.objects.get(pk=alice.pk)
    with django_assert_num_queries(1):
        how(user)
    # And again, with what the first save has left.
    with django_assert_num_queries(1):
        how(user)
    assert sessions_of(alice.pk) == 2


def test_save_of_other_fields_of_an_inactive_user_ends_nothing(alice, django_assert_num_queries):
    User.objects.update(is_active=False)
    user = User.objects.get(pk=alice.pk)
    with django_assert_num_queries(1):
        user.save(update_fields=["first_name"])
    assert sessions_of(alice.pk) == 2


def refresh(user):
    user.refresh_from_db()
    user.is_active = False


@pytest.mark.parametrize("how", [refresh, lambda user: None], ids=["refreshed", "out of date"])
def test_user_who_was_inactive_when_loaded_is_deactivated_again(alice, how):
    User.objects.update(is_active=False)
    user = User.objects.get(pk=alice.pk)
    User.objects.update(is_active=True)
    how(user)
    user.save()
    assert has_ended(alice.pk)


def test_user_activated_again_in_the_transaction_is_deactivated_later(alice):
    with transaction.atomic():
        alice.is_active = False
        alice.save()
        alice.is_active = True
        alice.save()
    SessionFactory(user_id=str(alice.pk), subject_id=str(alice.pk), issuer=None)
    alice.is_active = False
    alice.save()
    assert has_ended(alice.pk)


def test_deferred_fields_are_not_loaded(alice, django_assert_num_queries):
    with django_assert_num_queries(2):
        user = User.objects.only("first_name").get(pk=alice.pk)
        user.first_name = "Alice"
        user.save()
    assert user.get_deferred_fields() >= {"is_active", "password"}


def test_bulk_delete_of_other_models_reads_nothing(alice, admin_user):
    LogEntry.objects.create(user=admin_user, action_flag=1, object_repr="x")
    with CaptureQueriesContext(connection) as queries:
        LogEntry.objects.all().delete()
    assert not any(query["sql"].startswith("SELECT") for query in queries)


# Deleted


@pytest.mark.parametrize(
    "how",
    [
        lambda user: user.delete(),
        lambda user: async_to_sync(user.adelete)(),
        lambda user: User.objects.filter(pk=user.pk).delete(),
    ],
    ids=["delete", "adelete", "queryset"],
)
def test_deleting_the_user_ends_the_sessions(alice, ends, how):
    key = alice.pk
    how(alice)
    assert has_ended(key)
    assert ends == [(EndReason.USER_DEACTIVATED, None)] * 2


# A new password


def set_password(user):
    user.set_password("another of alice's")
    user.save()


def assign(user):
    user.password = make_password("another of alice's")
    user.save()


def assign_that_field(user):
    user.password = make_password("another of alice's")
    user.save(update_fields=["password"])


def lock(user):
    user.set_unusable_password()
    user.save(update_fields=["password"])


CHANGES = [set_password, assign, assign_that_field, lock]


@pytest.mark.parametrize("how", CHANGES, ids=lambda how: how.__name__)
def test_new_password_ends_the_sessions(alice, ends, how):
    how(alice)
    assert has_ended(alice.pk)
    assert ends == [(EndReason.SECURITY_EVENT, None)] * 2


def test_new_password_of_a_user_whose_password_was_not_loaded_ends_the_sessions(alice):
    set_password(User.objects.defer("password").get(pk=alice.pk))
    assert has_ended(alice.pk)


def change_elsewhere(user, password):
    User.objects.filter(pk=user.pk).update(password=password)
    SessionFactory(user_id=str(user.pk), subject_id=str(user.pk), issuer=None)


def test_password_that_was_read_again_is_not_new(alice, ends, django_assert_num_queries):
    change_elsewhere(alice, make_password("another of alice's"))
    alice.refresh_from_db()
    alice.save()
    assert sessions_of(alice.pk) == 3
    assert not ends
    with django_assert_num_queries(1):
        alice.save()


@pytest.mark.parametrize("how", CHANGES, ids=lambda how: how.__name__)
def test_new_password_after_one_that_was_read_again_ends_the_sessions(alice, how):
    change_elsewhere(alice, make_password("a third one of alice's"))
    alice.refresh_from_db()
    how(alice)
    assert has_ended(alice.pk)


def test_error_before_a_save_shows_no_password(alice):
    def fail(*args):
        raise OperationalError

    alice.password = make_password("another of alice's")
    with connection.execute_wrapper(fail), pytest.raises(OperationalError) as caught:
        alice.save()
    # Before the assertion: from Python 3.13 on, the variables of a frame are live.
    shown = repr([dict(frame.f_locals) for frame, _line in walk_tb(caught.tb)])
    assert alice.password not in shown


def test_new_password_is_saved_again_after_a_rollback(alice):
    with transaction.atomic():
        assign(alice)
        alice.save()
        transaction.set_rollback(True)
    assert sessions_of(alice.pk) == 2
    alice.save()
    assert has_ended(alice.pk)


MALFORMED = f"{get_hasher().algorithm}$truncated"


@pytest.mark.parametrize(
    ("old", "new"),
    [(MALFORMED, make_password("new")), (make_password("old"), MALFORMED)],
    ids=["before", "after"],  # Each process makes other hashes.
)
def test_malformed_password_hash_does_not_fail_the_save(alice, old, new):
    User.objects.filter(pk=alice.pk).update(password=old)
    user = User.objects.get(pk=alice.pk)
    user.password = new
    user.save()
    assert has_ended(alice.pk)


@pytest.mark.parametrize("encoded", [None, "", MALFORMED])
def test_hash_that_django_cannot_read_is_not_weak(encoded):
    assert not users._is_weak(encoded)


class OldHasher(PBKDF2PasswordHasher):
    iterations = 1000


PBKDF2 = "django.contrib.auth.hashers.PBKDF2PasswordHasher"


@pytest.fixture
def weakly_hashed(alice, settings):
    """Alice, whose password was hashed with fewer iterations than are usual now."""
    settings.PASSWORD_HASHERS = [PBKDF2]
    alice.password = OldHasher().encode(PASSWORD, "salt" * 8)
    User.objects.filter(pk=alice.pk).update(password=alice.password)
    return User.objects.get(pk=alice.pk)


@pytest.mark.parametrize("is_async", [False, True])
def test_hash_upgrade_is_no_change(weakly_hashed, is_async):
    user, before = weakly_hashed, weakly_hashed.password
    check = async_to_sync(user.acheck_password) if is_async else user.check_password
    assert check(PASSWORD)
    assert User.objects.get(pk=user.pk).password != before
    assert sessions_of(user.pk) == 2


def test_sign_in_that_upgrades_the_hash_ends_nothing(weakly_hashed, settings):
    settings.ROOT_URLCONF = __name__
    before = weakly_hashed.password
    form = {"username": "alice", "password": PASSWORD}
    assert Client().post("/sign-in", form).status_code == 200
    assert User.objects.get(pk=weakly_hashed.pk).password != before
    assert sessions_of(weakly_hashed.pk) == 3


@pytest.mark.parametrize("how", [set_password, assign, lock], ids=lambda how: how.__name__)
def test_new_password_in_place_of_a_weak_hash_is_a_change(weakly_hashed, how):
    how(weakly_hashed)
    assert has_ended(weakly_hashed.pk)


# The session that changes the password


@pytest.fixture(params=[Client, AsyncClient], ids=["wsgi", "asgi"])
def browser(request, alice, settings):
    settings.ROOT_URLCONF = __name__
    settings.LOGIN_URL = "/login/"

    class Browser:
        client = request.param()

        def call(self, method, *args, **kwargs):
            verb = getattr(self.client, method)
            if isinstance(self.client, AsyncClient):
                verb = async_to_sync(verb)
            return verb(*args, **kwargs)

        def is_signed_in(self):
            return self.call("get", "/bff/user", headers={"X-CSRF": "1"}).status_code == 200

    browser = Browser()
    browser.client.force_login(alice)
    return browser


NEW = "another battery horse"
FORM = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}


@pytest.mark.parametrize("is_atomic", [False, True])
def test_session_that_changes_the_password_lives_on(browser, alice, ends, is_atomic, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    assert sessions_of(alice.pk) == 3
    response = browser.call("post", "/password_change/", FORM)
    assert (response.status_code, response["Location"]) == (302, "/password_change/done/")
    assert sessions_of(alice.pk) == 1
    assert browser.is_signed_in()
    assert ends == [(EndReason.SECURITY_EVENT, Actor.of_user(alice))] * 2


def test_session_that_does_not_keep_itself_ends_as_in_django(browser, alice):
    assert browser.call("get", "/save").content == b"saved"
    assert sessions_of(alice.pk) == 1
    assert not browser.is_signed_in()


def test_operator_who_sets_a_password_ends_every_session_of_the_user(alice, admin_client):
    url = f"/admin/auth/user/{alice.pk}/password/"
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    assert admin_client.post(url, form).status_code == 302
    assert has_ended(alice.pk)
    assert admin_client.get(url).status_code == 200


def test_after_a_request_no_session_is_spared(browser, alice):
    browser.is_signed_in()
    set_password(alice)
    assert has_ended(alice.pk)


def test_with_djangos_middleware_a_new_password_ends_sessions_as_in_django(
    browser, alice, settings
):
    settings.MIDDLEWARE = [DJANGOS if name == OURS else name for name in settings.MIDDLEWARE]
    assert browser.call("post", "/password_change/", FORM).status_code == 302
    assert sessions_of(alice.pk) == 3
    assert browser.is_signed_in()
    alice.is_active = False
    alice.save()
    assert has_ended(alice.pk)


# The setting

HOW = {
    "deactivated": lambda user: User(pk=user.pk, username="alice", is_active=False).save(),
    "deleted": lambda user: User.objects.get(pk=user.pk).delete(),
    "password_changed": lambda user: set_password(user),
}


@pytest.mark.parametrize("change", EVERYTHING)
def test_each_change_can_be_switched_off(alice, settings, change):
    assert conf.END_WITH_USER == EVERYTHING
    settings.BFF_SESSIONS = {"END_WITH_USER": [name for name in EVERYTHING if name != change]}
    key = alice.pk
    HOW[change](alice)
    assert sessions_of(key) == 2


def test_new_password_of_a_deactivated_user_counts_where_only_that_does(alice, settings):
    settings.BFF_SESSIONS = {"END_WITH_USER": ["password_changed"]}
    alice.is_active = False
    set_password(alice)
    assert has_ended(alice.pk)


# Faults


def test_store_that_fails_is_reported_and_the_user_is_saved(alice, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise RuntimeError("a secret")

    monkeypatch.setattr("bff_sessions.users.revoke_sessions", fail)
    alice.is_active = False
    alice.save()
    assert not User.objects.get(pk=alice.pk).is_active
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bff_sessions.revocation", logging.ERROR)
    assert f"user {alice.pk} " in record.getMessage()
    assert "RuntimeError" in record.getMessage()
    assert "a secret" not in caplog.text


# By hand


@pytest.mark.parametrize(
    "revoke", [revoke_user_sessions, async_to_sync(arevoke_user_sessions)], ids=["sync", "async"]
)
def test_revoke_user_sessions_after_a_bulk_update(alice, ends, revoke):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert sessions_of(alice.pk) == 2
    actor = Actor.of_user(alice)
    assert revoke(alice, reason=EndReason.USER_DEACTIVATED, actor=actor) == 2
    assert has_ended(alice.pk)
    assert ends == [(EndReason.USER_DEACTIVATED, actor)] * 2
    assert revoke(alice, partition="other") == 1
    SessionFactory.create_batch(3, user_id=str(alice.pk))
    SessionFactory(user_id=str(alice.pk), partition="third")
    assert revoke(alice, partition=ANY) == 4


def test_revoke_user_sessions_refuses_another_model(alice):
    with pytest.raises(TypeError, match="instance of the user model"):
        revoke_user_sessions(Group(pk=alice.pk))
    assert sessions_of(alice.pk) == 2


def test_revoke_user_sessions_needs_a_user():
    for wrong in (None, 1, "alice", AnonymousUser()):
        with pytest.raises(TypeError, match="must be an instance of the user model"):
            revoke_user_sessions(wrong)
    with pytest.raises(ValueError, match="primary key"):
        revoke_user_sessions(User())


# Other user models


@pytest.fixture
def install(settings):
    """Installs an app with user models, and creates their tables."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.support.accounts"]
    models = [m for m in apps.get_app_config("accounts").get_models() if not m._meta.proxy]
    with connection.constraint_checks_disabled(), connection.schema_editor() as editor:
        for model in models:
            editor.create_model(model)

    def install(user_model):
        settings.AUTH_USER_MODEL = user_model

    yield install
    settings.AUTH_USER_MODEL = "auth.User"
    with connection.constraint_checks_disabled(), connection.schema_editor() as editor:
        for model in reversed(models):
            editor.delete_model(model)


def model(name):
    return apps.get_model("accounts", name)


def start_for(user_id):
    SessionFactory.create_batch(2, user_id=str(user_id))
    SessionFactory.create_batch(3, user_id="another")


@pytest.mark.parametrize("name", ["Employee", "Colleague"])
@pytest.mark.parametrize("change", EVERYTHING)
def test_child_or_proxy_of_the_user_model_ends_sessions_of_the_user(install, name, change):
    UserFactory.create_batch(3)  # So that the keys differ.
    created = model(name).objects.create(username="eve", password=make_password(PASSWORD))
    user = model(name).objects.get(username="eve")
    assert user.pk != user.id or name == "Colleague"
    key = created.id
    start_for(key)
    if change == "deactivated":
        user.is_active = False
        user.save()
    elif change == "deleted":
        user.delete()
    else:
        set_password(user)
    assert has_ended(key)


@pytest.mark.parametrize("name", ["Member", "Plain"])
@pytest.mark.parametrize("change", EVERYTHING)
def test_swapped_user_model_ends_sessions(install, name, change):
    install(f"accounts.{name}")
    assert get_user_model() is model(name)
    user = model(name).objects.create(name="eve", password=make_password(PASSWORD))
    user, key = model(name).objects.get(name="eve"), user.pk
    start_for(key)
    if change == "deactivated":
        user.is_active = False
        user.save()
    elif change == "deleted":
        user.delete()
    else:
        set_password(user)
    assert has_ended(key)
    assert revoke_user_sessions(model(name)(pk=key)) == 0


def test_user_model_without_a_password_is_saved(install):
    install("accounts.Passwordless")
    user = model("Passwordless")(name="eve")
    for _ in range(3):
        user.set_unusable_password()  # Another one each time.
        user.save()
    assert model("Passwordless").objects.get(name="eve").pk == user.pk


def test_parent_of_a_swapped_user_model_ends_sessions(install):
    install("accounts.Member")
    key = model("Member").objects.create(name="eve").pk
    start_for(key)
    person = model("Person").objects.get(pk=key)
    person.is_active = False
    person.save()
    assert has_ended(key)


def test_new_user_with_a_key_of_its_own_costs_one_statement(install, django_assert_num_queries):
    install("accounts.Plain")
    with django_assert_num_queries(1):
        model("Plain")(name="eve", is_active=False).save()
