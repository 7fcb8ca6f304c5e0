"""One retraining from the frozen data to the gates: what a worker does for a claimed run."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings as django_settings

from core.errors import Refused
from ml import artifacts
from ml.backends import Source, open_model
from ml.digits import Images
from training import base_data, services, snapshots
from training.config import RetrainingSettings
from training.evaluation import Comparison, pair
from training.gates import judge
from training.models import Snapshot, Split, TrainingRun
from training.provenance import code_revision
from training.queries import learned_examples
from training.services import Candidate, Superseded
from training.snapshots import FrozenImages, frozen_images

logger = logging.getLogger(__name__)

Listener = Callable[[float, str], None]

WRITE_EVERY = 0.5  # seconds between two progress rows: a page polls once a second
# Where the slow part, training, begins and ends on the bar.
TRAINING_BEGINS, TRAINING_ENDS = 0.05, 0.85


def carry_out(run: TrainingRun, claim: uuid.UUID, listener: Listener | None = None) -> TrainingRun:
    """Do a claimed run from its beginning to its verdict; returns it as it ended.

    An error ends the run as failed with a sentence. A run that another process has taken up
    meanwhile is left to that one. `listener` hears (fraction, sentence) as the page does.
    """
    try:
        return _retrain(run, _Progress(run, claim, listener))
    except Superseded:
        logger.warning("%s goes on in another process", run)
    except (Refused, base_data.BaseDataError, artifacts.ArtifactError) as error:
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
    progress.step(0.0, "Freezing the verified foolings.")
    # A run that begins again after a crash keeps what it froze.
    snapshot = run.snapshot or snapshots.freeze(
        task=run.task, round_=run.round, settings=settings, run=run
    )
    progress.step(0.02, "Reading the frozen drawings and the clean data.")
    data = _Data(
        train=frozen_images(snapshot, Split.TRAIN),
        held_out=frozen_images(snapshot, Split.HELD_OUT),
        base=base_data.read(run.parent.config["base"], folder),
    )
    if not len(data.train):
        raise Refused(
            "nobody_trains", "No verified fooling is left of an author who may train a model."
        )
    parent = artifacts.load(folder / run.parent.artifact, run.parent.sha256)
    trained = _train(parent, data, settings, progress)
    progress.step(TRAINING_ENDS, "Saving the candidate.")
    saved = artifacts.save(
        trained.net, net_name=parent.net_name, folder=folder, labels=parent.labels
    )
    progress.step(0.9, "Testing the candidate and the current model.")
    comparison, verified = _compare(run, data, saved, folder)
    progress.step(0.97, "Judging by the gates.")
    gates = judge(
        comparison.clean,
        comparison.earlier,
        comparison.new_round,
        verified=verified,
        shared_authors=set(data.train.authors) & set(data.held_out.authors),
        settings=settings.gate_settings,
    )
    return services.conclude(
        run,
        progress.claim,
        candidate=Candidate(
            artifact=saved,
            config={
                **trained.config,
                "net": parent.net_name,
                "labels": list(parent.labels),
                "base": run.parent.config["base"],
                "retraining": run.config,
            },
            provenance=_provenance(run, snapshot, data),
            metrics=comparison.figures(),
        ),
        gates=gates,
    )


@dataclass(frozen=True)
class _Data:
    train: FrozenImages
    held_out: FrozenImages
    base: base_data.BaseData


def _train(
    parent: artifacts.LoadedArtifact,
    data: _Data,
    settings: RetrainingSettings,
    progress: _Progress,
) -> Any:
    """Fine-tune the parent's net; imports torch, which only a worker needs."""
    from ml.training import fine_tune

    place = {label: index for index, label in enumerate(parent.labels)}
    known = np.array([label in place for label in data.train.labels], dtype=bool)
    verified = data.train.where(known)
    authors = len(set(verified.authors))
    what = (
        f"Training on {len(verified):,} verified foolings by {authors} "
        f"{'person' if authors == 1 else 'people'} and {len(data.base.train):,} clean drawings"
    )

    def tell(fraction: float, sentence: str) -> None:
        at = TRAINING_BEGINS + fraction * (TRAINING_ENDS - TRAINING_BEGINS)
        progress.within(at, f"{what}: {sentence[:1].lower()}{sentence[1:]}.")

    progress.step(TRAINING_BEGINS, f"{what}.")
    return fine_tune(
        parent.net(),
        data.base.train,
        Images(
            verified.x,
            np.array([place[label] for label in verified.labels], dtype=np.int64),
            "verified foolings",
        ),
        seed=settings.seed,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        mix=settings.mix,
        epoch_images=settings.epoch_images,
        blend=settings.blend,
        progress=tell,
    )


def _compare(
    run: TrainingRun, data: _Data, saved: artifacts.Artifact, folder: Path
) -> tuple[Comparison, int]:
    """Test both models; also returns how many verified foolings are new to the current one.

    What the current model was promoted with is an earlier round's frozen test. All else is the new
    round's: foolings of the round just played, and those of earlier ones that were verified late.
    """
    current = open_model("onnx", Source(folder / run.parent.artifact, run.parent.sha256, {}))
    candidate = open_model("onnx", Source(saved.path, saved.sha256, {}))
    learned = set(learned_examples(run.parent).values_list("example_id", flat=True))
    held_out = data.held_out
    old = np.array([example in learned for example in held_out.examples.tolist()], dtype=bool)
    new = held_out.where(~old)
    earlier = held_out.where(old)
    clean = data.base.held_out
    comparison = Comparison(
        clean=pair(current, candidate, clean.x, np.array(candidate.labels)[clean.y]),
        earlier={
            number: pair(current, candidate, part.x, part.labels)
            for number in np.unique(earlier.rounds).tolist()
            for part in [earlier.where(earlier.rounds == number)]
        },
        new_round=pair(current, candidate, new.x, new.labels),
    )
    newly_trained = sum(example not in learned for example in data.train.examples.tolist())
    return comparison, len(new) + newly_trained


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
        },
        "code": code_revision(),
    }
