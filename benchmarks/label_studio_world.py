"""Label Studio's people and tasks, made by its own code: run by the Python of its environment.

`label_studio_world.py USERS` reads one base64 PNG a line and prints JSON: the project's id and a
token for each user. It imports nothing of this project.
"""

import json
import os
import sys
from pathlib import Path

import label_studio

sys.path.insert(0, str(Path(label_studio.__file__).parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from organizations.models import Organization  # noqa: E402
from projects.models import Project  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402
from tasks.models import Task  # noqa: E402
from users.models import User  # noqa: E402

CONFIG = """<View><Image name="image" value="$image"/><Choices name="digit" toName="image">
{}</Choices></View>""".format("".join(f'<Choice value="{digit}"/>' for digit in range(10)))

call_command("migrate", verbosity=0)
owner = User.objects.create_user(email="owner@example.org", password="owner")
organization = Organization.create_organization(created_by=owner, title="Benchmark")
owner.active_organization = organization
owner.save()
tokens = []
for number in range(int(sys.argv[1])):
    user = User.objects.create_user(email=f"v{number}@example.org", password="validator")
    organization.add_user(user)
    user.active_organization = organization
    user.save()
    tokens.append(Token.objects.get_or_create(user=user)[0].key)
if hasattr(organization, "jwt"):
    organization.jwt.legacy_api_tokens_enabled = True
    organization.jwt.save()
project = Project.objects.create(
    title="Digits", created_by=owner, organization=organization, label_config=CONFIG
)
Task.objects.bulk_create(
    [
        Task(project=project, data={"image": f"data:image/png;base64,{line.strip()}"}, overlap=1)
        for line in sys.stdin
    ],
    batch_size=500,
)
print(json.dumps({"project": project.pk, "tokens": tokens}))
