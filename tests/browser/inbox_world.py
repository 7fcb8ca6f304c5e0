"""Cases for the owner of the browser's server: `python -m tests.browser.inbox_world`.

A task for each test, so that none meets what another has decided.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from annotate.models import Task

ITEMS = {"inbox-keys": 4, "inbox-bulk": 3, "inbox-looks": 4}


def main() -> None:
    from accounts.models import User
    from annotate.context_files import Row
    from annotate.contexts import load_contexts
    from annotate.models import Example, Task
    from tests import cast
    from validate.models import Review

    anna, bert, olive, vera, wim = (
        User.objects.get(username=name) for name in ("anna", "bert", "olive", "vera", "wim")
    )
    xena = cast.person("xena", "validator")
    for slug, items in ITEMS.items():
        task = cast.digits_task(
            olive, net=True, slug=slug, name=slug.replace("-", " ").capitalize()
        )
        for seed in range(6):  # what is settled, to be compared with
            label = cast.DIGITS[seed % 2]
            if label != cast.prediction(task, cast.drawing(100 + seed)):
                cast.submission(task, bert, 100 + seed, label=label)
                cast.answer(vera, task)
                cast.answer(wim, task)
        for seed in range(items):
            why = "A long tail looks like a nine." * (seed == 0)
            example = cast.submission(task, anna, seed, label="0", explanation=why)
            others = [digit for digit in cast.DIGITS if digit != example.label]
            if seed == 1:
                cast.answer(vera, task, flag="spam")
                cast.answer(wim, task, flag="unreadable")
                continue
            cast.answer(vera, task, example.label)
            cast.answer(wim, task, others[0])
            cast.answer(xena, task, others[1])
    pairs = cast.text_task(slug="inbox-pairs", input="text_pair")
    pairs.owners.add(olive)
    rows = [Row(number, {"text": f"It rained for {number} days."}) for number in (2, 3)]
    load_contexts(task=pairs, rows=rows, source="weather")
    rehearsed(Task.objects.get(slug="inbox-looks"))
    judged(Task.objects.get(slug="inbox-looks"), vera.pk)
    measured(Task.objects.get(slug="inbox-looks"))
    tried(Task.objects.get(slug="inbox-looks"))
    looks = Example.objects.filter(task__slug="inbox-looks", status="verified").first()
    if looks is not None:
        reason = "Weighing who mixes up which labels, it is 4 with 93%; the verdict has 6%."
        region_of(looks.task)
        Review.objects.create(example=looks, task=looks.task, kind="audit", reason=reason)


def tried(task: Task) -> None:
    """A run of two recipes with two seeds, and a round that is open until a day."""
    from datetime import UTC, datetime

    from django.utils import timezone

    from annotate.models import Round
    from tests import cast
    from training.models import TrainingRun

    rules = {"submissions_each": 100, "retraction": "while_open"}
    Round.objects.filter(task=task).update(closes_at=datetime(2999, 3, 1, tzinfo=UTC), rules=rules)
    now, candidate = timezone.now(), cast.fixed_model(task, seed=7)
    gate = {"threshold": 2.0, "bound": None, "n": 10, "b": None, "c": None}
    nearby = {**gate, "name": "nearby", "passed": False, "value": 3.8, "sentence": "Less sure."}
    TrainingRun.objects.create(
        task=task,
        round=Round.objects.get(task=task),
        parent=candidate,
        candidate=candidate,
        status=TrainingRun.Status.REFUSED,
        stage=f"{candidate.name} did not pass: nearby.",
        started_at=now,
        finished_at=now,
        gates=[nearby],
        trials=[
            {
                "recipe": recipe,
                "seed": seed,
                "made": {"sha256": candidate.sha256 if (recipe, seed) == ("usual", 1) else ""},
                "figures": {
                    "clean": {"items": 359, "before": 0.991, "now": 0.986},
                    "new_round": {"items": 60, "before": 0.0, "now": 0.45 + seed / 20},
                },
                "gates": [nearby],
            }
            for recipe in ("usual", "patient")
            for seed in range(2)
        ],
    )


def rehearsed(task: Task) -> None:
    """What a rehearsal of two rounds leaves."""
    from training.models import Rehearsal
    from training.rehearsal_file import RehearsalFile
    from training.rehearsals import report_of
    from training.rehearsing import Turn

    worlds = [
        [asdict(Turn("digits-1", 4, 190 + seed, 0, 400, 70, 160, 60, 1, 26.5, 0, end, failed,
                     {"clean": 0.9, "altered": 0.8}, {"clean": 0.92, "altered": 0.85 + seed / 50}))
         for end, failed in (("promoted", []), ("refused", ["nearby", "negative flips"]))]
        for seed in range(2)
    ]  # fmt: skip
    Rehearsal.objects.create(
        task=task, file=RehearsalFile().model_dump(mode="json"), report=report_of(worlds)
    )


def judged(task: Task, validator: int) -> None:
    """What a judge leaves that was tested and then admitted."""
    from accounts.imported import person_of_a_log
    from tests import cast
    from validate.models import Judge, JudgeAnswer

    model = cast.fixed_model(task, seed=2)
    voter = person_of_a_log("judge inbox-looks")
    judge = Judge.objects.create(task=task, model=model, standing="admitted", voter=voter)
    beside = {"person": validator, "items": 64, "advantage": 0.93, "p": 0.0012, "won": True}
    told = {"epsilon": 0.1, "items": 64, "left_out": 1, "winning_rate": 1.0, "advantage": 0.93}
    report = {**told, "people": [beside], "right": 58, "of": 64}
    judge.tests.create(passed=True, report=report)
    JudgeAnswer.objects.bulk_create(
        JudgeAnswer(
            judge=judge, example=one, asked=model, target=one.model, label=one.label, turned=False
        )
        for one in task.examples.all()
    )


def measured(task: Task) -> None:
    """What an evaluation leaves of the task's first model."""
    from training.models import Evaluation

    sets = {
        "threshold": 0.2,
        "held": [93, 100],
        "size": 1.2,
        "by_label": {"3": [8, 10], "4": [9, 9]},
    }
    figures = {
        "unanswered": 1,
        "expected_calibration_error": 0.041,
        "slices": {"label": {"3": [6, 10], "4": [99, 100]}, "source": {"wiki": [90, 100]}},
        "selective": [[180, 200], [168, 180], [155, 160], [138, 140], [100, 100]],
        "sets": sets,
        "sets_from": "clean",
    }
    stress = {"about": "robustness", "low": 0.7, "high": 0.9, "by_change": {"fog": [61, 100]}}
    model = task.models.get(number=1)
    kept = {"task": task, "model": model, "data_sha256": "0" * 64, "run": "0" * 32}
    Evaluation.objects.create(data="clean", items=200, right=180, figures=figures, **kept)
    Evaluation.objects.create(
        data="stress corruptions", items=100, right=61, figures=stress, **kept
    )


def region_of(task: Task) -> None:
    """What looks for regions leave, of fewer foolings than they take: of real ones, and made up."""
    from django.utils import timezone

    from tests import cast
    from training.models import Discovery, LaterAnswer, Region, RegionExample
    from training.queries import verified_foolings

    first, *more = verified_foolings(task.pk)
    look = Discovery.objects.create(
        task=task,
        model=first.model,
        status=Discovery.Status.DONE,
        space="the model’s last layer",
        stability=0.9,
        finished_at=timezone.now(),
    )
    region = Region.objects.create(
        discovery=look, number=1, label=first.label, answer=first.prediction
    )
    for place, example in enumerate([first, *more]):
        RegionExample.objects.create(
            region=region, example=example, member=place < 3, near=place > 0, place=place
        )
    later = cast.fixed_model(task, seed=1)
    LaterAnswer.objects.create(example=first, model=later, erred=False)
    made = Discovery.objects.create(
        task=task, model=first.model, status=Discovery.Status.DONE, generated=True,
        stability=0.7, finished_at=timezone.now(),
    )  # fmt: skip
    told = {str(later.number): {"learned": [2, 12], "held_out": [3, 12]}}
    confirmed = Region.objects.create(discovery=made, number=1, label="6", answer="0", later=told)
    for place in range(24):
        confirmed.inputs.create(
            input=cast.drawing(7_000 + place), held_out=place >= 12, place=place
        )


if __name__ == "__main__":
    django.setup()
    main()
