from django.db import migrations


def count_latest(apps, schema_editor):
    """Fill the two counters of those who have answered, as `reliability.recount_latest` does."""
    Vote = apps.get_model("validate", "Vote")
    Reliability = apps.get_model("validate", "Reliability")
    for row in Reliability.objects.filter(answered__gt=0, answered_at__isnull=False).iterator():
        votes = Vote.objects.filter(
            validator=row.validator_id, example__task=row.task_id, lease__isnull=False
        )
        purposes = votes.order_by("-id").values_list("purpose", flat=True)
        row.recent_gold = list(purposes[: row.answered % 25]).count("gold")
        day = row.answered_at.replace(hour=0, minute=0, second=0, microsecond=0)
        row.answered_today = votes.filter(created_at__gte=day).count()
        row.save(update_fields=["recent_gold", "answered_today"])


class Migration(migrations.Migration):
    dependencies = [("validate", "0004_progress_counters")]
    operations = [migrations.RunPython(count_latest, migrations.RunPython.noop, elidable=True)]
