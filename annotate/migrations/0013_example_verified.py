from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0012_rules_of_rounds")]

    operations = [
        migrations.AddIndex(
            model_name="example",
            index=models.Index(
                models.F("round"),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("status", "verified")),
                name="example_verified",
            ),
        ),
        migrations.CreateModel(
            name="RoundVisit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("round", models.ForeignKey(db_index=False, on_delete=models.CASCADE, related_name="+", to="annotate.round")),
                ("session", models.ForeignKey(on_delete=models.CASCADE, related_name="+", to="accounts.worksession")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("round", "session"), name="visit_once_a_round")],
            },
        ),
    ]
