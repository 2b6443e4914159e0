from typing import Any

from django.db import migrations, router

# Django creates missing permissions after each `migrate`, and never deletes them.
UNUSED = {
    "logout": ["add", "change", "delete", "view"],
    "tokenrevocation": ["add", "change", "delete", "view"],
    # Session had them before 0004.
    "session": ["add", "change", "delete"],
}


def delete_unused(apps: Any, schema_editor: Any) -> None:
    """Delete the permissions that Django has created for models without a page."""
    try:
        permission = apps.get_model("auth", "Permission")
    except LookupError:
        return  # A new database, or a project without django.contrib.auth.
    alias = schema_editor.connection.alias
    if not router.allow_migrate_model(alias, permission):
        return  # Another database has the permissions. They do no harm there.
    permissions = permission.objects.using(alias)
    for model, verbs in UNUSED.items():
        permissions.filter(
            content_type__app_label="bff_sessions",
            content_type__model=model,
            codename__in=[f"{verb}_{model}" for verb in verbs],
        ).delete()


class Migration(migrations.Migration):
    """Removes permissions that allow nothing: no SQL but theirs."""

    dependencies = [
        ("bff_sessions", "0009_verbose_names"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="logout",
            options={
                "default_permissions": (),
                "verbose_name": "logout",
                "verbose_name_plural": "logouts",
            },
        ),
        migrations.AlterModelOptions(
            name="tokenrevocation",
            options={
                "default_permissions": (),
                "verbose_name": "token revocation",
                "verbose_name_plural": "token revocations",
            },
        ),
        migrations.RunPython(delete_unused, migrations.RunPython.noop, elidable=True),
    ]
