import uuid

from django.db import migrations, models


def name_backends(apps, schema_editor):
    """Every model that has a file was made here, and is asked by ONNX Runtime."""
    apps.get_model("annotate", "ModelVersion").objects.exclude(artifact="").update(backend="onnx")


def give_ids(apps, schema_editor):
    contexts = apps.get_model("annotate", "Context").objects
    for context in contexts.filter(uid=None).only("pk").iterator():
        contexts.filter(pk=context.pk).update(uid=uuid.uuid4())


class Migration(migrations.Migration):
    dependencies = [("annotate", "0002_language_and_warning")]

    operations = [
        migrations.AddField(
            "modelversion",
            "backend",
            models.CharField(
                blank=True, default="", max_length=30,
                help_text="The way of asking it; empty: nobody can.",
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            "modelversion",
            "artifact",
            models.CharField(
                blank=True, max_length=200,
                help_text="Path below the artifact folder, where it has a file.",
            ),
        ),
        migrations.RunPython(name_backends, migrations.RunPython.noop, elidable=True),
        migrations.AddField("context", "uid", models.UUIDField(null=True, editable=False)),
        migrations.RunPython(give_ids, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(
            "context", "uid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
        ),
    ]
