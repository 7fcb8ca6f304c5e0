"""Acts in random order, then `recompute --check`: `python -m benchmarks.interleavings [--acts N]`.

People submit, vote, skip, take back; an owner adjudicates, hides, shows again; an admin bans and
lifts bans. What is refused is part of it. The database is a fresh SQLite file.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DADC_DATA": folder, "DADC_LIMITS": "off",
            "DJANGO_SETTINGS_MODULE": "dadc_server.settings",
        }  # fmt: skip
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        done = play(asked.acts, random.Random(asked.seed))
        from scoring.recount import check

        found = check()
    print(f"{dict(sorted(done.items()))}")
    print(f"{found.examples} examples, {found.tallies} tallies, {found.differences} differences")
    raise SystemExit(bool(found.differences))


def play(acts_: int, rng: random.Random) -> Counter[str]:
    from accounts.models import User
    from annotate import services
    from annotate.models import Example
    from annotate.queries import Participant
    from core.errors import Refused
    from tests import acts, cast
    from validate.models import Lease

    owner, admin = cast.person("olive", "owner"), cast.person("ada", "admin")
    task = cast.text_task(validation={"policy": "two_plus_one", "sample": 0.3})
    task.owners.add(owner)
    authors = [cast.person(f"author-{n}") for n in range(8)]
    judges = [cast.person(f"judge-{n}", "validator") for n in range(6)]
    numbers = iter(range(10**9))

    def some() -> Any:
        return Example.objects.order_by("?").first()

    def submit() -> None:
        cast.submission(
            task, rng.choice(authors), fooled=False, label=rng.choice(["yes", "no"]),
            input={"text": f"text {next(numbers)} {rng.random()}"},
        )  # fmt: skip

    def vote() -> None:
        judge = rng.choice(judges)
        lease = acts.next_item(validator=judge, task=task)
        if lease is not None:
            right = rng.random() < 0.7
            label = lease.example.label if right else rng.choice(["yes", "no"])
            acts.vote(validator=judge, lease_id=lease.pk, label=label)

    def skip() -> None:
        lease = Lease.objects.filter(ended_at=None).order_by("?").first()
        if lease is not None:
            acts.release(validator=lease.validator, lease_id=lease.pk)

    def retract() -> None:
        if (one := some()) is not None:
            services.retract(participant=Participant(user=one.author), uid=one.uid)

    def adjudicate() -> None:
        if (one := some()) is not None:
            status = rng.choice(["verified", "rejected", "open"])
            acts.adjudicate(actor=owner, example_id=one.pk, status=status, reason="So it is.")

    def hide() -> None:
        if (one := some()) is not None:
            acts.set_hidden(actor=owner, example_id=one.pk, hidden=rng.random() < 0.6, reason="x")

    def ban() -> None:
        user = User.objects.get(pk=rng.choice([*authors, *judges]).pk)
        acts.set_banned(actor=admin, user=user, banned=rng.random() < 0.4, reason="x")

    weights: dict[Callable[[], None], int] = {
        submit: 30, vote: 45, skip: 5, retract: 6, adjudicate: 8, hide: 4, ban: 2,
    }  # fmt: skip
    done: Counter[str] = Counter()
    for act in rng.choices(list(weights), weights=list(weights.values()), k=acts_):
        with suppress(Refused):
            act()
            done[act.__name__] += 1
    return done


if __name__ == "__main__":
    main()
