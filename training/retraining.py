"""One retraining from the frozen data to the gates: what a worker does for a claimed run."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from core.errors import Refused
from ml import artifacts
from ml.backends import Backend, open_model, source_of
from ml.learners import Base, Learner, learner_named, name_in, read_base, save
from training import regions, services, snapshots
from training.config import RetrainingSettings
from training.evaluation import Comparison, ask_both, paired
from training.gates import Breadth, GateSettings, judge
from training.models import Snapshot, Split, TrainingRun
from training.nearby import Distance, Nearby, nearby
from training.provenance import code_revision
from training.queries import learned_examples
from training.services import Superseded
from training.snapshots import FrozenItem, frozen_items, read_usual
from training.splits import capped

logger = logging.getLogger(__name__)

Listener = Callable[[float, str], None]

WRITE_EVERY = 0.5  # seconds between two progress rows: a page polls once a second
# Where the slow part, training, begins and ends on the bar.
TRAINING_BEGINS, TRAINING_ENDS = 0.05, 0.85
NEAR_OF_CLEAN = 3_000  # clean items beside the held-out ones: to find those near a learned item


def carry_out(run: TrainingRun, claim: uuid.UUID, listener: Listener | None = None) -> TrainingRun:
    """Do a claimed run from its beginning to its verdict; returns it as it ended.

    An error ends the run as failed with a sentence. A run that another process has taken up
    meanwhile is left to that one. `listener` hears (fraction, sentence) as the page does.
    """
    try:
        ended = _retrain(run, _Progress(run, claim, listener))
        regions.follow(ended.task)
        return ended
    except Superseded:
        logger.warning("%s goes on in another process", run)
    except (Refused, artifacts.ArtifactError) as error:
        return _failed(run, claim, str(error))
    except Exception as error:
        logger.exception("%s was stopped by an error", run)
        return _failed(run, claim, f"An error stopped it: {type(error).__name__}: {error}")
    run.refresh_from_db()
    return run


def _failed(run: TrainingRun, claim: uuid.UUID, reason: str) -> TrainingRun:
    try:
        return services.fail(run, claim, reason=reason)
    except Superseded:
        run.refresh_from_db()
        return run


class _Progress:
    """Tells the database and the listener how far a run is."""

    def __init__(self, run: TrainingRun, claim: uuid.UUID, listener: Listener | None) -> None:
        self.run, self.claim, self.listener = run, claim, listener
        self._written = float("-inf")

    def step(self, fraction: float, stage: str) -> None:
        """A new stage: always written."""
        self.run.progress, self.run.stage = fraction, stage[:200]
        services.report(self.run, self.claim, progress=fraction, stage=self.run.stage)
        self._written = time.monotonic()
        if self.listener is not None:
            self.listener(fraction, stage)

    def within(self, fraction: float, stage: str) -> None:
        """Progress inside a stage: written at most twice a second."""
        if time.monotonic() - self._written >= WRITE_EVERY:
            self.step(fraction, stage)
        elif self.listener is not None:
            self.listener(fraction, stage)


def _retrain(run: TrainingRun, progress: _Progress) -> TrainingRun:
    folder = Path(django_settings.ARTIFACT_DIR)
    settings = RetrainingSettings.model_validate(run.config)
    parent = artifacts.load(folder / run.parent.artifact, run.parent.sha256)
    learner = _learner_of(run)
    progress.step(0.0, "Freezing the verified foolings.")
    # A run that begins again after a crash keeps what it froze.
    snapshot = run.snapshot or snapshots.freeze(
        task=run.task, round_=run.round, settings=settings, run=run
    )
    things = run.task.kind.words.things
    progress.step(0.02, f"Reading the frozen {things} and the clean data.")
    data = _read(run, snapshot, read_base(learner, run.parent.config["base"], folder), parent)
    progress.step(TRAINING_BEGINS, what := _what_it_learns(data, things))

    def tell(fraction: float, sentence: str) -> None:
        at = TRAINING_BEGINS + fraction * (TRAINING_ENDS - TRAINING_BEGINS)
        progress.within(at, f"{what[:-1]}: {sentence[:1].lower()}{sentence[1:]}.")

    trained = learner.fine_tune(
        parent,
        data.base,
        data.train,
        seed=settings.seed,
        settings=settings.of_learner(learner),
        progress=tell,
    )
    progress.step(TRAINING_ENDS, "Saving the candidate.")
    made = save(trained, folder, run.parent.config["base"])
    made["config"]["retraining"] = run.config
    progress.step(0.9, "Testing the candidate and the current model.")
    current = open_model(run.parent.backend, source_of(vars(run.parent), folder))
    candidate = open_model(made["backend"], source_of(made, folder))
    test = _Test(run, data, current, candidate)
    progress.step(0.97, "Judging by the gates.")
    gates = judge(
        test.comparison.clean,
        test.comparison.earlier,
        test.comparison.new_round,
        verified=test.verified,
        shared_authors=data.authors_of_both,
        train=_breadth(data.train),
        held_out=_breadth(data.held_out),
        near=test.near(run.task.kind.distance, settings.gate_settings),
        settings=settings.gate_settings,
    )
    left_out = len(data.left_out) + test.left_out
    return services.conclude(
        run,
        progress.claim,
        candidate={
            **made,
            "provenance": _provenance(run, snapshot, data),
            "metrics": test.comparison.figures() | ({"left_out": left_out} if left_out else {}),
        },
        gates=gates,
    )


def _learner_of(run: TrainingRun) -> Learner:
    name = name_in(run.parent.config)
    if name is None:
        raise Refused("no_learner", f"{run.parent.name} names no learner of this server.")
    return learner_named(name)


@dataclass(frozen=True)
class _Data:
    train: list[FrozenItem]
    held_out: list[FrozenItem]
    base: Base
    left_out: list[str]
    """Names of frozen examples that cannot be read, whose label the model does not have, or that
    were more than one author's share."""

    @property
    def authors_of_both(self) -> set[str]:
        return {item.author for item in self.train} & {item.author for item in self.held_out}


def _read(
    run: TrainingRun, snapshot: Snapshot, base: Base, parent: artifacts.LoadedArtifact
) -> _Data:
    frozen, unread = frozen_items(snapshot, Split.TRAIN, run.task.kind)
    held_out, unread_too = frozen_items(snapshot, Split.HELD_OUT, run.task.kind)
    known = [item for item in frozen if not parent.labels or item.label in parent.labels]
    settings = RetrainingSettings.model_validate(run.config)
    kept = capped(
        [item.author for item in known],
        share=settings.author_share,
        seed=f"{run.task.slug}:{settings.seed}",
    )
    train = [known[place] for place in kept]
    unused = sorted({item.name for item in frozen} - {item.name for item in train})
    if not train:
        raise Refused(
            "nobody_trains", "No verified fooling is left of an author who may train a model."
        )
    return _Data(train, held_out, base, [*unread, *unread_too, *unused])


def _what_it_learns(data: _Data, things: str) -> str:
    authors = len({item.author for item in data.train})
    left_out = f" ({len(data.left_out):,} left out)" if data.left_out else ""
    return (
        f"Training on {len(data.train):,} verified foolings{left_out} by {authors} "
        f"{'person' if authors == 1 else 'people'} and {len(data.base.train):,} clean {things}."
    )


class _Test:
    """Both models' answers, and how many verified foolings are new to the current one.

    What the current model was promoted with is an earlier round's frozen test. All else is the new
    round's: foolings of the round just played, and those of earlier ones that were verified late.
    """

    def __init__(self, run: TrainingRun, data: _Data, current: Backend, candidate: Backend) -> None:
        learned = set(learned_examples(run.parent).values_list("example_id", flat=True))
        self._models, self._data, self._task = (current, candidate), data, run.task
        self._new = [item for item in data.train if item.example not in learned]
        self._clean = clean = ask_both(current, candidate, data.base.held_out)
        held_out = ask_both(current, candidate, data.held_out)
        earlier = [asked for asked in held_out if asked.item.example in learned]
        new = [asked for asked in held_out if asked.item.example not in learned]
        self.comparison = Comparison(
            clean=paired(clean),
            earlier={
                number: paired([asked for asked in earlier if asked.item.round == number])
                for number in {asked.item.round for asked in earlier}
            },
            new_round=paired(new),
        )
        self.verified = len(new) + len(self._new)
        asked = len(data.base.held_out) + len(data.held_out)
        self.left_out = asked - len(clean) - len(held_out)

    def near(self, distance: Distance | None, settings: GateSettings) -> list[Nearby]:
        """How sure both models are of clean items next to those that were learned now.

        Among them what people sent lately and the model read as its author did: base data is of
        other hands, and what is next to a fooling is most of all what people here make.
        """
        if distance is None:
            return []
        learned = ask_both(*self._models, self._new)
        usual = read_usual(self._task)
        more = ask_both(*self._models, [*self._data.base.train[:NEAR_OF_CLEAN], *usual])
        clean = [*self._clean, *more]
        return nearby(
            learned,
            clean,
            distance,
            nearest=settings.nearby_items,
            least=settings.nearby_learned,
        )


def _breadth(items: Sequence[FrozenItem]) -> Breadth:
    return Breadth(
        authors=len({item.author for item in items}),
        contents=len({item.prepared.key for item in items}),
    )


def _provenance(run: TrainingRun, snapshot: Snapshot, data: _Data) -> dict[str, Any]:
    return {
        "kind": "retrained",
        "training_run": str(run.uid),
        "parent": {"name": run.parent.name, "sha256": run.parent.sha256},
        "data": {
            "snapshot": snapshot.pk,
            "sha256": snapshot.sha256,
            "train": len(data.train),
            "held_out": len(data.held_out),
            "base_sha256": run.parent.config["base"]["sha256"],
            **({"left_out": data.left_out} if data.left_out else {}),
        },
        "code": code_revision(),
    }
