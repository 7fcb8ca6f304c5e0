from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0006_regions")]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="trials",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="What each recipe and seed came to, as it was trained.",
            ),
        ),
        migrations.AlterField(
            model_name="trainingrun",
            name="status",
            field=models.CharField(
                choices=[
                    ("queued", "waiting for a worker"),
                    ("running", "running"),
                    ("promoted", "promoted"),
                    ("passed", "passed the gates, not promoted by itself"),
                    ("refused", "a gate was not passed"),
                    ("failed", "stopped by an error"),
                    ("stopped", "stopped by an owner"),
                ],
                default="queued",
                max_length=10,
            ),
        ),
    ]
