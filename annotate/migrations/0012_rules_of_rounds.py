from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("annotate", "0011_several_must_be_fooled")]

    operations = [
        migrations.AddField(
            model_name="round",
            name="opens_at",
            field=models.DateTimeField(blank=True, help_text="When a draft opens.", null=True),
        ),
        migrations.AddField(
            model_name="round",
            name="closes_at",
            field=models.DateTimeField(
                blank=True,
                help_text="From then on it takes nothing, closed already or not.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="round",
            name="rules",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="Quotas and retraction, as a task file's `rounds`.",
            ),
        ),
        migrations.AddConstraint(
            model_name="round",
            constraint=models.UniqueConstraint(
                condition=Q(status="draft"), fields=("task",), name="one_scheduled_round_per_task"
            ),
        ),
        migrations.AddConstraint(
            model_name="round",
            constraint=models.CheckConstraint(
                condition=~Q(status="draft") | Q(opens_at__isnull=False),
                name="a_draft_has_its_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="round",
            constraint=models.CheckConstraint(
                condition=Q(opens_at__isnull=True)
                | Q(closes_at__isnull=True)
                | Q(closes_at__gt=F("opens_at")),
                name="a_round_opens_before_it_closes",
            ),
        ),
    ]
