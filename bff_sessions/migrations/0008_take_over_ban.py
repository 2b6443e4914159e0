import bff_sessions.fields
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("bff_sessions", "0007_sign_in"),
    ]

    operations = [
        migrations.CreateModel(
            name="TakeOverBan",
            fields=[
                (
                    "digest",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=64, primary_key=True, serialize=False
                    ),
                ),
                ("created", bff_sessions.fields.UTCDateTimeField(editable=False, null=True)),
                (
                    "partition",
                    bff_sessions.fields.ExactCharField(editable=False, max_length=100),
                ),
            ],
            options={
                "verbose_name": "ban from moving here",
                "verbose_name_plural": "bans from moving here",
                "default_permissions": (),
            },
        ),
    ]
