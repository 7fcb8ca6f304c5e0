"""One retraining from the frozen data to the gates: what a worker does for a claimed run.

Each recipe of the task is tried with each seed. What a trial came to is kept as soon as it is
there, so that a run whose process was killed goes on with the next one.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from core.errors import Refused
from core.outages import is_outage
from ml import artifacts
from ml.backends import Backend, open_model, source_of
from ml.learners import (
    Base,
    Checkpoint,
    Item,
    Trained,
    learner_named,
    name_in,
    read_base,
    save,
)
from training import generated, regions, services, snapshots
from training.clean import choose_clean, digest_of_clean, filled
from training.config import RetrainingSettings
from training.evaluation import Comparison, accuracies, ask_both, flips_of, paired
from training.gates import Breadth, GateResult, GateSettings, judge
from training.models import Snapshot, Split, TrainingRun
from training.nearby import Distance, Nearby, Usual, nearby
from training.progress import Listener, Progress
from training.provenance import code_revision
from training.queries import learned_examples
from training.services import Superseded
from training.snapshots import FrozenItem, frozen_items, read_usual
from training.splits import capped, share_of
from training.trials import candidate_of, tidy

logger = logging.getLogger(__name__)

# Where the slow part, its trials, begins and ends on the bar.
TRAINING_BEGINS, TRIALS_END = 0.05, 0.98
NEAR_OF_CLEAN = 3_000  # clean items beside the held-out ones: to find those near a learned item


def carry_out(run: TrainingRun, claim: uuid.UUID, listener: Listener | None = None) -> TrainingRun:
    """Do a claimed run from its beginning to its verdict; returns it as it ended.

    An error ends the run as failed with a sentence. A run that another process has taken up
    meanwhile is left to that one. `listener` hears (fraction, sentence) as the page does.
    """
    try:
        ended = _retrain(run, Progress(run, claim, listener))
        regions.follow(ended.task)
        generated.follow(ended.task)
        return ended
    except Superseded:
        logger.warning("%s is not this process's any more", run)
    except (Refused, artifacts.ArtifactError) as error:
        return _failed(run, claim, str(error))
    except Exception as error:
        if is_outage(error):  # whoever takes the run up goes on with what is kept
            raise
        logger.exception("%s was stopped by an error", run)
        return _failed(run, claim, f"An error stopped it: {type(error).__name__}: {error}")
    run.refresh_from_db()
    tidy(run, late=True)
    return run


def _failed(run: TrainingRun, claim: uuid.UUID, reason: str) -> TrainingRun:
    try:
        return services.fail(run, claim, reason=reason)
    except Superseded:
        run.refresh_from_db()
        return run


def _retrain(run: TrainingRun, progress: Progress) -> TrainingRun:
    folder = Path(django_settings.ARTIFACT_DIR)
    settings = RetrainingSettings.model_validate(run.config)
    parent = artifacts.load(folder / run.parent.artifact, run.parent.sha256)
    learner = _learner_of(run)
    progress.step(0.0, "Freezing the verified foolings.")
    # A run that begins again after a crash keeps what it froze.
    snapshot = run.snapshot or snapshots.freeze(
        task=run.task,
        round_=run.round,
        settings=settings,
        run=run,
        generated=generated.to_learn_from(run.task) if settings.uses_generated else (),
    )
    things = run.task.kind.words.things
    reading = f"Reading the frozen {things} and the clean data."
    progress.step(0.02, reading)
    if "usual" not in run.metrics:  # as long as it lasts, each of its trainings is judged by these
        near = run.task.kind.distance is not None
        run.metrics = {"usual": snapshots.choose_usual(run.task) if near else []}
        progress.step(0.02, reading, metrics=run.metrics)
    base = read_base(learner_named(learner), run.parent.config["base"], folder)
    if "clean_of_people" not in run.metrics:
        run.metrics = {**run.metrics, "clean_of_people": choose_clean(run.task, settings, base)}
        progress.step(0.02, reading, metrics=run.metrics)
    base = filled(run.task, base, run.metrics["clean_of_people"], parent.labels)
    data = _read(run, snapshot, base, parent)
    named = settings.trials()
    trials = [
        _Trial(run, name, recipe, data, parent, learner, number, len(named), progress)
        for number, (name, recipe) in enumerate(named)
    ]
    done = list(takewhile(lambda one: (folder / one["made"]["artifact"]).exists(), run.trials))
    for trial in trials[len(done) :]:
        done.append(trial.carry_out())
        progress.step(trial.at(1), "Keeping what it came to.", trials=done)
        trial.checkpoint.forget()
    best = max(done, key=_merit)
    return services.conclude(
        run,
        progress.claim,
        candidate=candidate_of(best, _provenance(run, snapshot, data)),
        gates=[GateResult(**gate) for gate in best["gates"]],
    )


def _merit(trial: Mapping[str, Any]) -> tuple[bool, float, float]:
    """What puts a trial before others: its gates, what it gains on the round, and on clean data."""

    def gain(of: Mapping[str, Any]) -> float:
        return of["now"] - of["before"] if of["items"] else 0.0

    passes = all(gate["passed"] for gate in trial["gates"])
    return passes, gain(trial["figures"]["new_round"]), gain(trial["figures"]["clean"])


@dataclass
class _Trial:
    """One recipe with one seed: trained, saved, loaded by its path, and judged."""

    run: TrainingRun
    name: str
    recipe: RetrainingSettings
    data: _Data
    parent: artifacts.LoadedArtifact
    learner_name: str
    number: int
    of: int
    progress: Progress

    def at(self, fraction: float) -> float:
        """How far the run is when this trial is so far."""
        share = (self.number + fraction) / self.of
        return TRAINING_BEGINS + share * (TRIALS_END - TRAINING_BEGINS)

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(Path(django_settings.ARTIFACT_DIR) / f"{self.run.uid}-{self.number}.part")

    def _taught(self) -> list[FrozenItem]:
        replay, seed = self.recipe.replay, str(self.recipe.seed)
        return [
            item
            for item in self.data.train
            if item.example not in self.data.known or share_of(seed, item.name) < replay
        ] or self.data.train

    @property
    def made_up(self) -> list[Item]:
        """What it learns of generated regions."""
        settings = self.recipe.of_learner(learner_named(self.learner_name))
        return self.data.generated if settings.get("generated") else []

    def carry_out(self) -> dict[str, Any]:
        folder, base = Path(django_settings.ARTIFACT_DIR), self.run.parent.config["base"]
        which = ""
        if self.of > 1:
            which = f"{self.number + 1} of {self.of} ({self.name or 'seed'} {self.recipe.seed}): "
        made = save(self._train(which), folder, base)
        made["config"]["retraining"] = self.recipe.model_dump(mode="json")
        self._say(0.9, which, "Testing the candidate and the current model.")
        current = open_model(self.run.parent.backend, source_of(vars(self.run.parent), folder))
        test = _Test(
            self.run, self.data, current, open_model(made["backend"], source_of(made, folder))
        )
        self._say(0.97, which, "Judging by the gates.")
        return {
            "recipe": self.name,
            "seed": self.recipe.seed,
            "made": made,
            "figures": test.figures(),
            "gates": [asdict(gate) for gate in self._judge(test)],
            "flips": test.flips(),
            "unanswered": test.unanswered,
            "generated": len(self.made_up),
        }

    def _say(self, fraction: float, which: str, sentence: str) -> None:
        self.progress.step(self.at(fraction), which + sentence)

    def _train(self, which: str) -> Trained:
        learner, taught = learner_named(self.learner_name), self._taught()
        what = which + _what_it_learns(self.data, taught, self.run.task.kind.words.things)
        self._say(0, "", what)

        def tell(fraction: float, sentence: str) -> None:
            said = f"{what[:-1]}: {sentence[:1].lower()}{sentence[1:]}."
            self.progress.within(self.at(0.85 * fraction), said)

        if self.recipe.start == "scratch":
            everything = replace(self.data.base, train=[*self.data.base.train, *taught])
            return learner.train(
                everything, labels=self.parent.labels, seed=self.recipe.seed, progress=tell
            )
        settings: Mapping[str, Any] = self.recipe.of_learner(learner)
        also = {"generated": self.made_up} if self.made_up else {}
        return learner.fine_tune(
            self.parent,
            self.data.base,
            taught,
            seed=self.recipe.seed,
            settings=settings,
            progress=tell,
            checkpoint=self.checkpoint,
            **also,
        )

    def _judge(self, test: _Test) -> list[GateResult]:
        gates = self.recipe.gate_settings
        return judge(
            test.comparison.clean,
            test.comparison.earlier,
            test.comparison.new_round,
            verified=test.verified,
            shared_authors=self.data.authors_of_both,
            train=_breadth(self.data.train),
            held_out=_breadth(self.data.held_out),
            near=test.near(self.run.task.kind.distance, gates, self.made_up),
            settings=gates,
            of=self.of,
        )


def _learner_of(run: TrainingRun) -> str:
    name = name_in(run.parent.config)
    if name is None:
        raise Refused("no_learner", f"{run.parent.name} names no learner of this server.")
    return name


@dataclass(frozen=True)
class _Data:
    verified: list[FrozenItem]
    """All that may be learned from, before what is over one author's share is left out."""
    train: list[FrozenItem]
    held_out: list[FrozenItem]
    known: set[int]
    """Examples that the current model learned from, or was tested with."""
    base: Base
    left_out: dict[str, list[str]]
    """Why, and the names of these frozen examples: that cannot be read, whose label the model does
    not have, or that are more than one author's share."""
    generated: list[Item]
    """Of confirmed regions, for recipes that take them; and what of these only tests."""
    generated_held_out: list[Item]
    usual: list[Usual]
    """What people sent lately and the model read as they did: clean, and next to foolings."""

    @property
    def authors_of_both(self) -> set[str]:
        return {item.author for item in self.train} & {item.author for item in self.held_out}


def _read(
    run: TrainingRun, snapshot: Snapshot, base: Base, parent: artifacts.LoadedArtifact
) -> _Data:
    frozen, unread = frozen_items(snapshot, Split.TRAIN, run.task.kind)
    held_out, unread_too = frozen_items(snapshot, Split.HELD_OUT, run.task.kind)
    known = [item for item in frozen if _has_labels_of(item, parent)]
    settings = RetrainingSettings.model_validate(run.config)
    kept = capped(
        [item.author for item in known],
        share=settings.author_share,
        seed=f"{run.task.slug}:{settings.seed}",
    )
    train = [known[place] for place in kept]
    names = {item.name for item in known}
    if not any(item.fooled for item in train):
        raise Refused(
            "nobody_trains", "No verified fooling is left of an author who may train a model."
        )
    known_before = set(learned_examples(run.parent).values_list("example_id", flat=True))
    left_out = {
        "unreadable": [*unread, *unread_too],
        "unknown_label": [item.name for item in frozen if item.name not in names],
        "author_share": sorted(names - {item.name for item in train}),
    }
    made_up = generated.frozen(snapshot, run.task.kind)
    usual = read_usual(run.task, run.metrics["usual"])
    verified = [item for item in known if item.fooled]
    return _Data(verified, train, held_out, known_before, base, left_out, *made_up, usual)


def _has_labels_of(item: FrozenItem, parent: artifacts.LoadedArtifact) -> bool:
    return not parent.labels or {item.label, *(item.shares or ())} <= {*parent.labels}


def _what_it_learns(data: _Data, taught: Sequence[FrozenItem], things: str) -> str:
    authors = len({item.author for item in taught})
    count = sum(map(len, data.left_out.values()))
    left_out = f" ({count:,} left out)" if count else ""
    foolings = sum(item.fooled for item in taught)
    others = f" and {len(taught) - foolings:,} other examples" if foolings < len(taught) else ""
    return (
        f"Training on {foolings:,} verified foolings{others}{left_out} by {authors} "
        f"{'person' if authors == 1 else 'people'} and {len(data.base.train):,} clean {things}."
    )


class _Test:
    """Both models' answers, and how many verified foolings are new to the current one.

    What the current model was promoted with is an earlier round's frozen test. All else is the new
    round's: foolings of the round just played, and those of earlier ones that were verified late.
    """

    def __init__(self, run: TrainingRun, data: _Data, current: Backend, candidate: Backend) -> None:
        learned = data.known
        self._models, self._data = (current, candidate), data
        self._new = [item for item in data.train if item.example not in learned]
        self._clean = clean = ask_both(current, candidate, data.base.held_out)
        held_out = ask_both(current, candidate, data.held_out)
        self._earlier = earlier = [one for one in held_out if one.item.example in learned]
        self._met_now = new = [one for one in held_out if one.item.example not in learned]
        free = run.task.kind.answers.free
        self.comparison = Comparison(
            clean=paired(clean, free=free),
            earlier={
                number: paired([one for one in earlier if one.item.round == number], free=free)
                for number in {one.item.round for one in earlier}
            },
            new_round=paired(new, free=free),
        )
        self.verified = len(new) + sum(item.example not in learned for item in data.verified)
        answered = {id(one.item) for one in clean} | {id(one.item) for one in held_out}
        self._places = {id(item): place for place, item in enumerate(data.base.held_out)}
        self.unanswered: dict[str, list[str | int]] = {
            "unanswered": [item.name for item in data.held_out if id(item) not in answered],
            "unanswered_clean": [n for item, n in self._places.items() if item not in answered],
        }

    def flips(self) -> dict[str, Any]:
        """What changed from right to wrong or back: of people the examples' names, of clean data
        their places."""
        return {
            "new_round": flips_of(self._met_now, lambda item: item.name),
            "earlier_rounds": flips_of(self._earlier, lambda item: item.name),
            "clean": flips_of(
                self._clean, lambda item: getattr(item, "name", self._places[id(item)])
            ),
        }

    def figures(self) -> dict[str, Any]:
        """The comparison's, and how many generated inputs each model reads: no gate asks that."""
        figures = self.comparison.figures()
        if self._data.generated_held_out:
            figures["generated"] = accuracies(
                paired(ask_both(*self._models, self._data.generated_held_out))
            )
        return figures

    def near(
        self, distance: Distance | None, settings: GateSettings, made_up: Sequence[Item]
    ) -> list[Nearby]:
        """How sure both models are of clean items next to those that were learned now.

        What people sent and what was `made_up` apart: neither takes the places of the other among
        those that are compared.

        Among them what people sent lately and the model read as its author did: base data is of
        other hands, and what is next to a fooling is most of all what people here make.
        """
        if distance is None:
            return []
        others = [*self._data.base.train[:NEAR_OF_CLEAN], *self._data.usual]
        more = ask_both(*self._models, others)
        clean = [*self._clean, *more]
        return [
            one
            for learned in (self._new, made_up)
            for one in nearby(
                ask_both(*self._models, learned),
                clean,
                distance,
                nearest=settings.nearby_items,
                least=settings.nearby_learned,
            )
        ]


def _breadth(frozen: Sequence[FrozenItem]) -> Breadth:
    items = [item for item in frozen if item.fooled]
    return Breadth(
        authors=len({item.author for item in items}),
        contents=len({item.prepared.key for item in items}),
    )


def _told(clean: dict[str, list[int]]) -> dict[str, Any]:
    return {side: len(keys) for side, keys in clean.items()} | {"sha256": digest_of_clean(clean)}


def _provenance(run: TrainingRun, snapshot: Snapshot, data: _Data) -> dict[str, Any]:
    return {
        "kind": "retrained",
        "training_run": str(run.uid),
        "parent": {"name": run.parent.name, "sha256": run.parent.sha256},
        "data": {
            "snapshot": snapshot.pk,
            "sha256": snapshot.sha256,
            "train": len(data.train),
            **({"also": others} if (others := sum(not one.fooled for one in data.train)) else {}),
            "held_out": len(data.held_out),
            "base_sha256": run.parent.config["base"]["sha256"],
            "left_out": data.left_out,
            **(
                {"clean_of_people": _told(chosen)}
                if (chosen := run.metrics["clean_of_people"])
                else {}
            ),
        },
        "code": code_revision(),
    }
