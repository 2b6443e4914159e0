from django.db import migrations, models

import bff_sessions.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "moment",
                    bff_sessions.fields.UTCDateTimeField(editable=False, verbose_name="time"),
                ),
                (
                    "what",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=10, verbose_name="event"
                    ),
                ),
                (
                    "reason",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=32, null=True, verbose_name="reason"
                    ),
                ),
                (
                    "actor_kind",
                    bff_sessions.fields.ExactCharField(editable=False, max_length=10, null=True),
                ),
                (
                    "actor_id",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=255, null=True, verbose_name="by"
                    ),
                ),
                ("public_id", bff_sessions.fields.ExactCharField(editable=False, max_length=32)),
                (
                    "partition",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=100, verbose_name="partition"
                    ),
                ),
                (
                    "issuer",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=255, null=True, verbose_name="issuer"
                    ),
                ),
                (
                    "subject_id",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=255, verbose_name="subject"
                    ),
                ),
                (
                    "user_id",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=255, null=True, verbose_name="user"
                    ),
                ),
                (
                    "user_agent",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=255, null=True, verbose_name="user agent"
                    ),
                ),
                (
                    "address",
                    bff_sessions.fields.ExactCharField(
                        editable=False, max_length=45, null=True, verbose_name="address"
                    ),
                ),
            ],
            options={
                "verbose_name": "event of a session",
                "verbose_name_plural": "events of sessions",
                "default_permissions": ["view"],
                "indexes": [
                    models.Index(
                        fields=["subject_id", "moment", "id"], name="bff_sessions_history_subject"
                    ),
                    models.Index(
                        fields=["user_id", "moment", "id"], name="bff_sessions_history_user"
                    ),
                    models.Index(fields=["moment", "id"], name="bff_sessions_history_moment"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("public_id", "what"), name="bff_sessions_history_once"
                    )
                ],
            },
        ),
    ]
