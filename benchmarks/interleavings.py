"""Acts in random order, then `recompute --check`: `python -m benchmarks.interleavings [--acts N]`.

People submit, vote, skip, take back; an owner adjudicates, hides, shows again, keeps people out and
lets them back in, and opens rounds against one model, one of two, or so many of both; an admin bans
and lifts bans. Workers come by the links of several campaigns, where one name is one person, so
that their visits are merged into one author, whose examples count once a visit is confirmed. What
is refused is part of it. The database is a fresh SQLite file, or with `--postgresql` a private one.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from tests.services import private_services

CAMPAIGNS, WORKERS = 20, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgresql", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if asked.postgresql:
            there = stack.enter_context(private_services())
            os.environ["DATABASE_URL"] = there["TEST_DATABASE_URL"]
        os.environ |= {
            "DADC_DATA": folder, "DADC_LIMITS": "off",
            "DJANGO_SETTINGS_MODULE": "dadc_server.settings",
        }  # fmt: skip
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        done = play(asked.acts, random.Random(asked.seed))
        from scoring.recount import check

        found = check()
        connection.close()
    print(f"{dict(sorted(done.items()))}")
    print(f"{found.examples} examples, {found.tallies} tallies, {found.differences} differences")
    raise SystemExit(bool(found.differences))


def play(acts_: int, rng: random.Random) -> Counter[str]:
    from accounts.models import User
    from annotate import rounds, services, submissions
    from annotate.models import Example
    from annotate.queries import Participant
    from core.errors import Refused
    from core.transactions import durable
    from crowd import entering
    from crowd import services as visits
    from crowd.campaign_file import CampaignFile
    from crowd.campaigns import load_campaign
    from crowd.models import Visit
    from crowd.platforms import Arrival
    from tests import acts, cast
    from validate.acts.ban import set_barred
    from validate.models import Lease

    owner, admin = cast.person("olive", "owner"), cast.person("ada", "admin")
    task = cast.text_task(validation={"policy": "two_plus_one", "sample": 0.3})
    task.owners.add(owner)
    models = [task.models.get(), cast.fixed_model(task, 1)]
    authors = [cast.person(f"author-{n}") for n in range(8)]
    judges = [cast.person(f"judge-{n}", "validator") for n in range(6)]
    numbers = iter(range(10**9))
    files = [
        CampaignFile.model_validate(
            {
                "slug": f"c-{n}", "task": task.slug, "platform": "hit", "places": WORKERS,
                "visit": {"examples": 2}, "consent": "I agree.",
                "return_to": "https://work.example.org",
                "pay": {"base": "1.00", "currency": "USD"},
            }
        )
        for n in range(CAMPAIGNS)
    ]  # fmt: skip
    campaigns = [load_campaign(file=file)[0] for file in files]

    def any_of(rows: Any) -> Any:
        """Of these, by this seed; None of none. A database that draws would sort them all."""
        count = rows.count()
        return rows.order_by("pk")[rng.randrange(count)] if count else None

    def some() -> Any:
        return any_of(Example.objects.all())

    def one_of(people: list[User]) -> User:
        """As a request reads them: whoever was banned since is refused."""
        return User.objects.get(pk=rng.choice(people).pk)

    def submit() -> None:
        send(Participant(user=one_of(authors)))

    def send(participant: Participant) -> None:
        submissions.submit(
            participant=participant, task_id=task.pk, client_id=uuid.uuid4(),
            label=rng.choice(["yes", "no"]),
            input={"text": f"text {next(numbers)} {rng.random()}"},
        )  # fmt: skip

    def visit() -> None:
        """The same name by another campaign's link is the same author."""
        campaign, name = rng.choice(campaigns), f"W{rng.randrange(WORKERS)}"
        arrival = Arrival(name, f"A{next(numbers)}", campaign.platform.realm(campaign.file))
        begun = Visit.objects.filter(worker__name=name).exists()
        entering.begin(campaign=campaign, arrival=arrival, consent=campaign.file.agreement)
        done["merged with an earlier visit"] += begun

    def work() -> None:
        here = any_of(Visit.objects.filter(state="open"))
        if here is not None:
            send(Participant(user=here.worker.user, session=here.session))

    def finish() -> None:
        here = any_of(Visit.objects.filter(state="open"))
        if here is not None and rng.random() < 0.7:
            visits.finish(visit=here)
        elif here is not None:
            visits.leave(visit=here, state="returned")

    def confirm() -> None:
        here = Visit.objects.filter(state__in=Visit.UNSETTLED, settled_at=None).first()
        if here is not None:
            confirmed = rng.random() < 0.7
            visits.settle(visit=here, confirmed=confirmed, actor=owner, reason="So it is. " * 20)

    def vote() -> None:
        judge = one_of(judges)
        lease = acts.next_item(validator=judge, task=task)
        if lease is not None:
            right = rng.random() < 0.7
            label = lease.example.label if right else rng.choice(["yes", "no"])
            acts.vote(validator=judge, lease_id=lease.pk, label=label)

    def skip() -> None:
        lease = any_of(Lease.objects.filter(ended_at=None))
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
        user = one_of([*authors, *judges])
        acts.set_banned(actor=admin, user=user, banned=rng.random() < 0.4, reason="x")

    def bar() -> None:
        user = one_of([*authors, *judges])
        set_barred(actor=owner, task=task, user=user, barred=rng.random() < 0.4, reason="x")

    def next_round() -> None:
        some = rng.sample(models, rng.choice([1, 2, 2]))
        needed = rng.choice([None, 1, 2]) if len(some) > 1 else None
        with durable():
            rounds.open_next_round(task=task, models=some, needed=needed, actor=owner)
        done[f"round that needs {needed}"] += 1

    weights: dict[Callable[[], None], int] = {
        submit: 22, vote: 40, skip: 5, retract: 6, adjudicate: 8, hide: 4, ban: 2,
        bar: 2, next_round: 1,
        visit: 8, work: 14, finish: 7, confirm: 6,
    }  # fmt: skip
    done: Counter[str] = Counter()
    for act in rng.choices(list(weights), weights=list(weights.values()), k=acts_):
        with suppress(Refused):
            act()
            done[act.__name__] += 1
    return done


if __name__ == "__main__":
    main()
