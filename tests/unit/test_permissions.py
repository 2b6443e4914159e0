"""The permissions of the app: those that are documented, and no more."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db

DOCUMENTED = ["end_session", "sign_out_subject", "view_session"]
migration = import_module("bff_sessions.migrations.0010_permissions")


def ours():
    found = Permission.objects.filter(content_type__app_label="bff_sessions")
    return sorted(found.values_list("codename", flat=True))


def delete_unused():
    with connection.schema_editor() as editor:
        migration.delete_unused(apps, editor)


def test_permissions_are_those_that_are_documented():
    assert ours() == DOCUMENTED


@pytest.mark.django_db(transaction=True)
def test_migration_deletes_unused_permissions_of_older_databases():
    user, group = UserFactory(), Group.objects.create(name="operators")
    own = Permission.objects.create(
        codename="audit_session",
        content_type=ContentType.objects.get(app_label="bff_sessions", model="session"),
    )
    for model, verbs in migration.UNUSED.items():
        kind, _is_new = ContentType.objects.get_or_create(app_label="bff_sessions", model=model)
        for verb in verbs:
            unused = Permission.objects.create(codename=f"{verb}_{model}", content_type=kind)
            user.user_permissions.add(unused)
            group.permissions.add(unused)
    assert len(ours()) == len(DOCUMENTED) + 12
    delete_unused()
    assert ours() == sorted([*DOCUMENTED, "audit_session"])
    own.delete()
    delete_unused()  # Nothing is left to do.
    assert ours() == DOCUMENTED


def test_migration_needs_no_django_contrib_auth():
    class Apps:
        def get_model(self, *names):
            raise LookupError

    migration.delete_unused(Apps(), None)


@pytest.mark.django_db(transaction=True)
def test_migration_leaves_out_a_database_without_permissions(settings):
    class OnlySessions:
        def allow_migrate(self, db, app_label, **hints):
            return app_label == "bff_sessions"

    settings.DATABASE_ROUTERS = [OnlySessions()]
    with CaptureQueriesContext(connection) as statements:
        delete_unused()
    assert not any("auth_permission" in each["sql"] for each in statements)
