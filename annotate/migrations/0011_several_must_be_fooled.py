import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotate", "0010_chats"),
    ]

    operations = [
        migrations.AddField(
            model_name="round",
            name="needed",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Of its targets, all of which are asked, so many must be fooled; empty: one of them is chosen by lot for each context, or person, and kept.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="TargetAnswer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("prediction", models.JSONField()),
                ("probabilities", models.JSONField(null=True)),
                ("fooled", models.BooleanField()),
                (
                    "example",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="answers",
                        to="annotate.example",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="answers",
                        to="annotate.modelversion",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("example", "model"), name="one_answer_a_target")
                ],
            },
        ),
    ]
