"""Models that serve no more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0007_context_leases")]

    operations = [
        migrations.AddField(
            model_name="modelversion",
            name="retired_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Since then it can be no target; the rest is never changed.",
                null=True,
            ),
        ),
    ]
