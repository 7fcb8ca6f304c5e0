from django.db import migrations, models

from core.looks import name_seen_as


def fill(apps, _):
    User = apps.get_model("accounts", "User")
    some = []
    for user in User.objects.only("username").iterator(2_000):
        user.looks = name_seen_as(user.username)
        some.append(user)
        if len(some) == 2_000:
            User.objects.bulk_update(some, ["looks"])
            some = []
    User.objects.bulk_update(some, ["looks"])


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0003_preferences"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="looks",
            field=models.CharField(
                default="", editable=False, help_text="What the name looks like: see core.looks.", max_length=300
            ),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(fields=["looks"], name="user_looks"),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
