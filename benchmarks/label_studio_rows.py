"""Tasks with three annotations each in Label Studio, by its own code: see `benchmarks.releases`.

`label_studio_rows.py TASKS` is run by the Python of its environment and prints the project's id.
It imports nothing of this project.
"""

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
from tasks.models import Annotation, Task  # noqa: E402
from users.models import User  # noqa: E402

STEP = 2_000
CONFIG = """<View><Text name="context" value="$context"/><Text name="text" value="$hypothesis"/>
<Choices name="answer" toName="text">
<Choice value="e"/><Choice value="n"/><Choice value="c"/></Choices></View>"""


def answer(label: str) -> list[dict]:
    value = {"choices": [label]}
    return [{"from_name": "answer", "to_name": "text", "type": "choices", "value": value}]


call_command("migrate", verbosity=0)
owner = User.objects.create_user(email="owner@example.org", password="owner")
organization = Organization.create_organization(created_by=owner, title="Benchmark")
owner.active_organization = organization
owner.save()
project = Project.objects.create(
    title="Pairs", created_by=owner, organization=organization, label_config=CONFIG
)
number = int(sys.argv[1])
for first in range(0, number, STEP):
    some = Task.objects.bulk_create(
        Task(
            project=project,
            data={
                "context": f"Passage {place % 997} says that it rained in Rome all day. " * 3,
                "hypothesis": f"On day {place} it was dry in Rome, as {place % 991} say.",
            },
            is_labeled=True,
            total_annotations=3,
        )
        for place in range(first, min(first + STEP, number))
    )
    Annotation.objects.bulk_create(
        Annotation(
            task=task,
            project=project,
            completed_by=owner,
            result=answer("e" if turn == 1 else "n"),
            lead_time=5.0 + turn,
        )
        for task in some
        for turn in range(3)
    )
print(project.pk)
