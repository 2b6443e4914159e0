from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("bff_sessions", "0005_device"),
    ]

    # Add the new index first, so that the subject always has an index.
    operations = [
        migrations.AddIndex(
            model_name="session",
            index=models.Index(
                fields=["subject_id", "partition", "created", "id"], name="bff_sessions_sign_ins"
            ),
        ),
        migrations.RemoveIndex(
            model_name="session",
            name="bff_sessions_subject",
        ),
    ]
