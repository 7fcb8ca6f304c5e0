"""What the browser's server knows, made by processes of its own: `python -m tests.browser.world …`.

`begin NAME=ROLE…` migrates, collects static files, opens the digits task and creates these people;
`next-round` opens a round with another model.
"""

from __future__ import annotations

import sys

import django


def begin(people: dict[str, str]) -> None:
    from django.core.management import call_command

    from tests import cast

    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False, ignore_patterns=["redoc"])
    task = cast.digits_task(
        net=True,
        instructions={
            "goal": "Make the model misread a digit, and tell us which digit it is.",
            "steps": ["Draw a digit.", "Say which one it is."],
            "pictures": [
                {"image": "img/digits/good-four.svg", "caption": "A four.", "good": True},
                {"image": "img/digits/bad-scribble.svg", "caption": "A scribble.", "good": False},
            ],
        },
    )
    for name, role in people.items():
        person = cast.person(name, role)
        if role == "owner":
            task.owners.add(person)


def next_round() -> None:
    from annotate import rounds
    from annotate.models import Task
    from core.transactions import durable
    from tests import cast

    task = Task.objects.get(slug="digits")
    model = cast.fixed_net(task, seed=task.models.count())
    with durable():
        rounds.open_next_round(task=task, models=[model])


if __name__ == "__main__":
    django.setup()
    from django.conf import settings

    settings.ARTIFACT_DIR.mkdir(exist_ok=True)
    command, *arguments = sys.argv[1:]
    if command == "begin":
        begin(dict(argument.split("=") for argument in arguments))
    elif command == "next-round":
        next_round()
    else:
        raise SystemExit(f"Unknown command {command}.")
