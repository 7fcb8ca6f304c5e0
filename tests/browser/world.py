"""What the browser's server knows, made by processes of its own: `python -m tests.browser.world …`.

`begin NAME=ROLE…` opens the digits task, creates these people and prints a session of each;
`next-round` opens a round with another model.
"""

from __future__ import annotations

import json
import sys

import django


def begin(people: dict[str, str]) -> dict[str, str]:
    """The people's session keys, by their names; all have one password, which is hashed once."""
    from django.conf import settings
    from django.contrib.auth.hashers import make_password
    from django.test import Client

    from accounts.services import create_user
    from tests import cast

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
    sessions, password = {}, make_password(cast.PASSWORD)
    for name, role in people.items():
        person = create_user(username=name, role=role)
        person.password = password
        person.save()
        if role == "owner":
            task.owners.add(person)
        client = Client()
        client.force_login(person)
        sessions[name] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return sessions


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
        print(json.dumps(begin(dict(argument.split("=") for argument in arguments))))
    elif command == "next-round":
        next_round()
    else:
        raise SystemExit(f"Unknown command {command}.")
