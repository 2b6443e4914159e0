import bff_sessions.fields
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("bff_sessions", "0004_admin"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="user_agent",
            field=bff_sessions.fields.ExactCharField(
                max_length=255, null=True, verbose_name="user agent"
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="address",
            field=bff_sessions.fields.ExactCharField(
                max_length=45, null=True, verbose_name="address"
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="last_seen",
            field=bff_sessions.fields.UTCDateTimeField(null=True, verbose_name="last seen"),
        ),
    ]
