import bff_sessions.fields
from django.db import migrations


class Migration(migrations.Migration):
    """Changes names for people only: no SQL."""

    dependencies = [
        ("bff_sessions", "0008_take_over_ban"),
    ]

    operations = [
        migrations.AlterField(
            model_name="session",
            name="session_id",
            field=bff_sessions.fields.ExactCharField(
                max_length=255, null=True, verbose_name="session ID"
            ),
        ),
        migrations.AlterModelOptions(
            name="takeoverban",
            options={
                "default_permissions": (),
                "verbose_name": "take-over ban",
                "verbose_name_plural": "take-over bans",
            },
        ),
    ]
