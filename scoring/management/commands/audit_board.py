"""`manage.py audit_board TASK`: how far could somebody have moved their rank by cheating?"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from itertools import cycle, islice
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotate.command_line import SummaryCommand, task_named
from annotate.contents import content_of, copies
from annotate.models import Example, Task
from annotate.queries import kept_config
from kinds.answers import in_order
from kinds.likeness import Ruling
from scoring.board_attacks import FLOOD, Claim, Facts, audit
from scoring.queries import RANKED_FROM, author_board
from validate.decisions import ballots_of
from validate.models import Vote


class Command(SummaryCommand):
    help = (
        "Play attacks on a task's board against a copy of its votes: second accounts, colluding "
        "validators, repeats, floods. Changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--colluding", type=float, default=0.05, help="share of validators")
        parser.add_argument("--runs", type=int, default=3, help="of what is played by lot")
        parser.add_argument("--seed", type=int, default=0)
        super().add_arguments(parser)

    def handle(
        self, *_: Any, task: str, colluding: float, runs: int, seed: int, json: bool, **__: Any
    ) -> None:
        if not 0 < colluding <= 1 or runs < 1:
            raise CommandError("--colluding is a share up to 1, and --runs is 1 or more.")
        facts = facts_of(task_named(task))
        found = audit(facts, colluding=colluding, runs=runs, seed=seed)
        self.stdout.write(f"{'attack':<42} {'places gained':>15} {'without the rules':>19}")
        for one in found:
            with_, without = f"{one.mean:.1f}, {one.most} at most", f"{one.mean_without:.1f}"
            self.stdout.write(f"{one.attack:<42} {with_:>15} {without:>12}, {one.most_without}")
        worst = max((one.most for one in found), default=0)
        self.conclude(
            f"{len(facts.submitted)} authors, {len(facts.claims)} claims: "
            f"no attack lifts anybody by more than {worst} places."
            if found
            else f"Nobody on {task} has {RANKED_FROM} submissions, so nobody ranks.",
            {"task": task, "authors": len(facts.submitted), "claims": len(facts.claims),
             "most": worst, "attacks": [asdict(one) for one in found]},
            as_json=json,
        )  # fmt: skip


def facts_of(task: Task) -> Facts:
    """A copy of what the task's board is made of: three queries."""
    assert task.config is not None
    file = task.config.file
    settings = file.section("validation")
    cast: defaultdict[Example, list[Vote]] = defaultdict(list)
    votes = Vote.objects.counted().filter(example__task=task, example__fooled=True).order_by("id")
    shown = ("config_id", "label", "fooled", "prediction")
    of_example = [f"example__{name}" for name in shown]
    for vote in votes.select_related("example").only("validator_id", "label", "flag", *of_example):
        cast[vote.example].append(vote)
    people = {vote.validator_id for votes in cast.values() for vote in votes}
    ballots = {
        example.pk: ballots_of(votes, example, kept_config(example.config_id).file)
        for example, votes in cast.items()
    }
    claims = (
        Example.objects.usable()
        .filter(task=task, fooled=True, author__isnull=False)
        .order_by("id")
        .values_list("id", "author", "label")
    )
    submitted = {row.author_id: row.counts.submitted for row in author_board(task).rows}
    return Facts(
        submitted=submitted,
        claims=[
            Claim(author, in_order(label), tuple(ballots.get(pk, ())), pk)
            for pk, author, label in claims
            if author in submitted
        ],
        policy=settings.rule,
        labels=file.label_values or None,
        validators=max(len(people), 2),
        picked=settings.people_picked,
        share_cap=settings.share_cap,
        ranked_from=RANKED_FROM,
        again=_sent_again,
    )


def _sent_again(claim: Claim) -> list[Ruling]:
    """The server's own ruling on copies of an example: as it is, and texts in other dress."""
    first = Example.objects.select_related("task", "context").get(pk=claim.example)
    about = first.context.sha256 if first.context else ""
    rulings = []
    for raw in islice(cycle(_copies(first)), FLOOD - 1):
        content = content_of(first.task.kind, first.task.kind.parse(raw), about)
        new = Example(task=first.task, config=first.config, author=first.author, label=first.label)
        found = copies([(new, content)]).get(0)
        rulings.append(found.ruling if found else Ruling.DISTINCT)
    return rulings


def _copies(first: Example) -> list[Any]:
    whole: Any = first.whole_input
    if not first.task.kind.text_fields:
        return [whole]
    own = first.task.kind.text_fields[-1]
    words = whole[own]
    dressed = (words, words.upper(), f"{words} !", f"Well, {words}")
    return [{**whole, own: text} for text in dressed]
