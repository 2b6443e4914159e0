import bff_sessions.fields
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("bff_sessions", "0006_list_order"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="sign_in_id",
            # Tickets of older sessions do not open any more. Their users must sign in again.
            field=bff_sessions.fields.ExactCharField(default="-", editable=False, max_length=32),
            preserve_default=False,
        ),
    ]
