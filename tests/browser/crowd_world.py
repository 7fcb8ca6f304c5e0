"""Campaigns for the browser's server: `python -m tests.browser.crowd_world ORIGIN` prints links;
with `exchange` in its place there is a task of that name, for a campaign that comes by file."""

from __future__ import annotations

import json
import sys

import django


def begin(origin: str) -> dict[str, str]:
    from accounts.models import User
    from crowd.campaigns import links_of
    from tests import cast
    from tests.crowd import world

    olive = User.objects.get(username="olive")
    task = cast.text_task(slug="by-link", name="By link", validation={"sample": 1})
    task.owners.add(olive)
    check = [
        {"question": "What do you try?", "choices": ["To sleep", "To fool it"],
         "answer": "To fool it"}
    ]  # fmt: skip
    framed = world.campaign(
        task, slug="framed", frame=origin, return_to=origin, check=check, places=20
    )
    one = {"frame": origin, "visit": {"examples": 1}, "places": 3}
    ways = {
        "prolific": {"return_to": [], "codes": {"complete": "C1"}},
        "generic": {"return_to": f"{origin}/done", "parameters": {"worker": "pid"}},
        "connect": {"return_to": [f"{origin}/whole", f"{origin}/part"], "check": check},
    }
    links = {
        name: links_of(world.campaign(task, slug=name, platform=name, **one, **more))[0]
        for name, more in ways.items()
    }
    anna = User.objects.get(username="anna")
    for text in ("It rains in Rome.", "Nobody came to the fair."):
        cast.submission(task, anna, input={"text": text}, label="yes", fooled=False)
    judging = world.campaign(
        task, slug="invited", platform="panel", work="validate", places=2, return_to=[],
        pay={"base": "1.00", "per_validation": "0.10"}, visit={"examples": 1},
    )  # fmt: skip
    return {**links, "framed": links_of(framed)[0], "invited": links_of(judging)[0]}


def exchange() -> None:
    from accounts.models import User
    from tests import cast

    cast.digits_task(slug="exchange", name="Exchange").owners.add(
        User.objects.get(username="olive")
    )


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "exchange":
        exchange()
    else:
        print(json.dumps(begin(sys.argv[1])))
