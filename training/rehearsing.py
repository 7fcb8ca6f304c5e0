"""A rehearsal's scripted crowd at work, in a world of its own (training.rehearsal_world).

Everything goes through the services that people's acts go through; only time is made up. A day ends
when everybody has done what they do in a day, and in its night what waits is a day older. Who is
asked about what is decided by lot, as always: equal seeds give equal crowds, not equal days.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db.models import F

from accounts.models import User
from accounts.services import create_user
from annotate.config import parse_task_file
from annotate.inference import live_model
from annotate.models import Example, ModelVersion, Task
from annotate.queries import Participant, Target, open_target
from annotate.rounds import load_task, open_next_round, register_model
from annotate.submissions import submit
from core.errors import Refused
from core.transactions import durable
from ml.backends import open_model, source_of
from ml.learners import Base, Item
from training.evaluation import answers_of
from training.queries import waiting_foolings
from training.rehearsal_file import People, RehearsalFile
from training.retraining import carry_out
from training.services import begin_here
from validate.acts.lease import give_up, next_item
from validate.acts.vote import vote_and_go_on
from validate.models import Lease, QueueItem, Reliability
from validate.nightly import look_over

Listener = Callable[[float, str], None]
RETRAINING = 0.25  # of a turn, on the bar
NO_WORK = 20  # refusals in a row after which a day is over: this stock has nothing left to send


@dataclass
class Turn:
    """One round's collection and the retraining after it; accuracies are shares on the exam."""

    model: str
    days: int = 0
    submissions: int = 0
    refused: int = 0
    looks: int = 0
    fooled: int = 0
    votes: int = 0
    verified: int = 0
    wrong: int = 0
    cost: float = 0
    quarantined: int = 0
    status: str = "nothing to learn"
    failed: list[str] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


def make_task(told: dict[str, Any]) -> tuple[Task, ModelVersion]:
    """The rehearsed task and its model, under an open round."""
    task, _ = load_task(file=parse_task_file(told["task"]))
    with durable():
        model = register_model(task=task, **told["model"])
        open_next_round(task=task, models=[model], reason="A rehearsal.")
    return task, model


class Person(NamedTuple):
    user: User
    part: str


class Crowd:
    """Scripted people of one task, with the stock of real inputs that they begin from."""

    def __init__(
        self, task: Task, file: RehearsalFile, base: Base, *, seed: int, tell: Listener
    ) -> None:
        self.task, self.file, self.kind = task, file, task.kind
        self.rng, self._tell = np.random.default_rng(seed), tell
        self.annotators = self._people("annotator", file.annotators, seed)
        self.validators = self._people("validator", file.validators, seed)
        assert task.config is not None
        self.labels = task.config.file.label_values
        self.stock = self._stock(base.train)
        self.truth: dict[int, Any] = {}
        self.league: set[int] = set()
        self._spent = 0.0  # in the turns before
        self._counted: set[int] = set()  # foolings of earlier turns
        self._exam = self._examined(base.held_out)
        self._right: dict[str, dict[str, float]] = {}

    def play(self) -> list[Turn]:
        turns: list[Turn] = []
        while len(turns) < self.file.rounds and not self._is_spent():
            turns.append(self._turn(len(turns)))
            self._spent += turns[-1].cost
        return turns

    # --- people -----------------------------------------------------------------------------------
    def _people(self, role: str, who: People, seed: int) -> list[Person]:

        people = []
        spammers, colluders = round(who.people * who.spammers), round(who.people * who.colluders)
        for number in range(who.people):
            user = create_user(username=f"simulated-{role}-{number}", role=role)
            # Its side in trainings follows from its name, but for the first two who fool.
            User.objects.filter(pk=user.pk).update(pseudonym=f"p-simulated-{seed}-{role}-{number}")
            part = "colluder" if number < spammers + colluders else "honest"
            people.append(Person(user, "spammer" if number < spammers else part))
        return people

    def _stock(self, items: Sequence[Item]) -> Iterator[Item]:
        """Real inputs in any order, each once before any comes again."""
        while True:
            for place in self.rng.permutation(len(items)):
                yield items[int(place)]

    # --- a round ----------------------------------------------------------------------------------
    def _turn(self, number: int) -> Turn:

        target = open_target(self.task.pk)
        assert target is not None
        turn = Turn(target.models[0].name, before=self._accuracies(target.models[0]))
        while turn.days < self.file.days:
            turn.days += 1
            self._send_all(turn, target)
            self._vote_on_all(turn)
            self._pass_night()
            waiting = waiting_foolings(self.task.pk).exclude(pk__in=self._counted)
            new = dict(waiting.values_list("pk", "label"))
            turn.verified = len(new)
            turn.wrong = sum(label != self.truth[pk] for pk, label in new.items())
            turn.cost = self._cost_of(turn)
            share = (1 - RETRAINING) * min(1.0, turn.verified / self.file.foolings)
            self._say(
                number + share, f"round {number + 1}, day {turn.days}: {turn.verified} verified"
            )
            if turn.verified >= self.file.foolings or self._is_spent(turn):
                break
        self._counted |= new.keys()
        turn.quarantined = Reliability.objects.exclude(quarantined_at=None).count()
        self._retrain(turn, number)
        return turn

    def _say(self, turns: float, words: str) -> None:
        self._tell(turns / self.file.rounds, words)

    def _cost_of(self, turn: Turn) -> float:
        pay = self.file.pay
        return float(
            pay.submission * turn.submissions + pay.fooling * turn.verified + pay.vote * turn.votes
        )

    def _is_spent(self, turn: Turn | None = None) -> bool:
        """Whether what was to be paid is paid, with this turn's work so far."""
        spent = self._spent + (self._cost_of(turn) if turn else 0)
        return self.file.budget is not None and spent >= self.file.budget

    # --- annotators -------------------------------------------------------------------------------
    def _send_all(self, turn: Turn, target: Target) -> None:
        """Everybody's day, until enough for the round is verified or under way."""

        there = waiting_foolings(self.task.pk).count()
        there += QueueItem.objects.filter(task=self.task, priority=0, withdrawn=False).count()
        refused = 0
        for place in self.rng.permutation(len(self.annotators) * self.file.annotators.a_day):
            if there >= self.file.foolings or refused >= NO_WORK or self._is_spent(turn):
                return
            sent = self._send(self.annotators[int(place) % len(self.annotators)], turn, target)
            there += sent is not None and sent.fooled
            refused = 0 if sent else refused + 1

    def _send(self, person: Person, turn: Turn, target: Target) -> Example | None:

        item, label, in_league = next(self.stock), None, False
        features = item.prepared.features
        if person.part == "spammer":
            label = self._any_label()
        elif person.part == "colluder" and self.rng.random() < self.file.annotators.wrong:
            label, in_league = self._another(item.label), True
        probes = turn.looks
        try:
            if label is None:
                label = item.label
                features = self._altered(item, turn, target, alone=target.is_alone(person.user))
                if self.rng.random() < self.file.annotators.errors:
                    label = self._another(label)
            example = submit(
                participant=Participant(user=person.user),
                task_id=self.task.pk,
                client_id=uuid.uuid4(),
                input=self.kind.raw(features),
                label=label,
                probes=turn.looks - probes,
                target=target,
            ).example
        except Refused:
            turn.refused += 1
            return None
        turn.submissions += 1
        turn.fooled += example.fooled
        self.truth[example.pk] = item.label
        if in_league:
            self.league.add(example.pk)
        return example

    def _altered(self, item: Item, turn: Turn, target: Target, *, alone: bool) -> Any:
        """An input on which the model is wrong, as far as one is found."""

        assert self.kind.altered is not None
        model = live_model(target.models[0], self.kind)
        features = item.prepared.features
        for _ in range(self.file.annotators.tries):
            features = self.kind.altered(item.prepared.features, self.rng)
            if alone:
                break
            turn.looks += 1
            said = model.predict_one(self.kind.parse(self.kind.raw(features)))
            if said.label != item.label:
                break
        return features

    def _any_label(self) -> str:
        return self.labels[int(self.rng.integers(len(self.labels)))]

    def _another(self, label: str) -> str:
        others = [other for other in self.labels if other != label]
        return others[int(self.rng.integers(len(others)))]

    # --- validators -------------------------------------------------------------------------------
    def _vote_on_all(self, turn: Turn) -> None:
        """Everybody's day in any order, until nothing waits for any of them."""

        held: dict[int, Lease] = {}
        left = dict.fromkeys(range(len(self.validators)), self.file.validators.a_day)
        while left and not self._is_spent(turn):
            place = list(left)[int(self.rng.integers(len(left)))]
            person = self.validators[place]
            lease, following = held.pop(place, None), None
            with suppress(Refused):  # quarantined, or told to rest
                lease = lease or next_item(validator=person.user, task=self.task)
                if lease is not None:
                    label = self._answer(person, lease.example)
                    answered = vote_and_go_on(validator=person.user, lease_id=lease.pk, label=label)
                    following = answered.following
                    turn.votes += 1
            left[place] -= 1
            if lease is None or not left[place]:
                del left[place]
            elif following is not None:
                held[place] = following
        for person in self.validators:
            give_up(validator=person.user, task=self.task)

    def _answer(self, person: Person, example: Example) -> Any:
        if person.part == "spammer":
            return self._any_label()
        if person.part == "colluder" and example.pk in self.league:
            return example.label
        truth = self.truth[example.pk]
        wrong = self.rng.random() < self.file.validators.errors
        return self._another(truth) if wrong else truth

    def _pass_night(self) -> None:
        """What the worker does at night, and what waits is a day older."""

        QueueItem.objects.filter(task=self.task).update(
            open_from=F("open_from") - timedelta(days=1)
        )
        look_over(self.task)

    # --- the model --------------------------------------------------------------------------------
    def _retrain(self, turn: Turn, number: int) -> None:

        begun = number + 1 - RETRAINING

        def tell(fraction: float, words: str) -> None:
            self._say(begun + fraction * RETRAINING, f"round {number + 1}: {words}")

        with suppress(Refused):
            run = carry_out(*begin_here(task=self.task), tell)
            turn.status = run.status
            turn.failed = [gate["name"] for gate in run.gates if not gate["passed"]]
            if run.candidate is not None:
                turn.after = self._accuracies(run.candidate)
            elif run.reason:
                turn.failed = [run.reason]

    def _examined(self, items: Sequence[Item]) -> dict[str, list[Item]]:
        """The exam as it is and as annotators would alter it, read as a submission is."""

        assert self.kind.altered is not None
        chosen = [items[int(place)] for place in self.rng.permutation(len(items))[: self.file.exam]]
        exam: dict[str, list[Item]] = {"clean": [], "altered": []}
        for item in chosen:
            real = item.prepared.features
            with suppress(Refused):  # what the slimmest pen leaves of a hairline
                for name, features in (
                    ("clean", real), ("altered", self.kind.altered(real, self.rng))
                ):  # fmt: skip
                    prepared = self.kind.parse(self.kind.raw(features))
                    exam[name].append(Item(prepared, item.label))
        return exam

    def _accuracies(self, model: ModelVersion) -> dict[str, float]:

        if model.name not in self._right:
            backend = open_model(model.backend, source_of(vars(model), Path(settings.ARTIFACT_DIR)))
            self._right[model.name] = {
                name: float(
                    np.mean(
                        [
                            answer is not None and answer.label == item.label
                            for answer, item in zip(answers_of(backend, items), items, strict=True)
                        ]
                    )
                )
                for name, items in self._exam.items()
            }
        return self._right[model.name]
