from __future__ import annotations

from django.db import migrations

import bff_sessions.fields


class Migration(migrations.Migration):
    """Adds a column with a default, so that older processes go on writing rows."""

    dependencies = [
        ("bff_sessions", "0010_permissions"),
    ]

    operations = [
        migrations.AddField(
            model_name="tokenrevocation",
            name="client_id",
            field=bff_sessions.fields.ExactCharField(
                db_default="", default="", editable=False, max_length=255
            ),
        ),
    ]
