"""One retraining from the frozen data to the gates: what a worker does for a claimed run.

Each recipe of the task is tried with each seed. What a trial came to is kept as soon as it is
there, so that a run whose process was killed goes on with the next one.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from core.errors import Refused
from core.outages import is_outage
from ml import artifacts, store
from ml.learners import Base, Checkpoint, learner_named, name_in, read_base
from training import generated, on_ray, regions, services, snapshots
from training.clean import choose_clean, digest_of_clean, filled
from training.config import RetrainingSettings
from training.gates import GateResult
from training.models import Snapshot, Split, TrainingRun
from training.progress import Listener, Progress
from training.provenance import code_revision
from training.queries import learned_examples
from training.recipe import FrozenItem, Lesson, try_elsewhere, try_recipe
from training.services import Superseded
from training.snapshots import frozen_items, read_usual
from training.splits import capped
from training.trials import candidate_of, tidy

logger = logging.getLogger(__name__)

# Where the slow part, its trials, begins and ends on the bar.
TRAINING_BEGINS, TRIALS_END = 0.05, 0.98


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
    lesson = _read(run, snapshot, base, parent)
    best = max(_tried(run, lesson, progress), key=_merit)
    return services.conclude(
        run,
        progress.claim,
        candidate=candidate_of(best, _provenance(run, snapshot, lesson)),
        gates=[GateResult(**gate) for gate in best["gates"]],
    )


def _tried(run: TrainingRun, lesson: Lesson, progress: Progress) -> list[dict[str, Any]]:
    """What each recipe comes to with each seed, in their order, whoever is done first.

    Tried on the cluster that this server knows of, else here, one after the other.
    """
    folder, of = Path(django_settings.ARTIFACT_DIR), len(lesson.trials)
    done: dict[int, dict[str, Any]] = {}
    kept = {(one["recipe"], one["seed"]): one for one in run.trials}
    for number, (name, recipe) in enumerate(lesson.trials):
        one = kept.get((name, recipe["seed"]))
        if one is not None and store.has(folder / one["made"]["artifact"]):
            done[number] = one

    def keep(number: int, tried: dict[str, Any]) -> None:
        done[number] = tried
        in_order = [one for _, one in sorted(done.items())]
        progress.step(_at(len(done) / of), "Keeping what it came to.", trials=in_order)

    if on_ray.is_asked() and len(done) < of:
        try:
            _try_on_ray(run, lesson, [n for n in range(of) if n not in done], progress, keep)
        except on_ray.Unreachable as lost:
            logger.warning("%s is trained here: %s", run, lost)
    for number in range(of):
        if number not in done:
            checkpoint = Checkpoint(folder / f"{run.uid}-{number}.part")

            def tell(fraction: float, words: str, is_new: bool, number: int = number) -> None:
                say = progress.step if is_new else progress.within
                say(_at((number + fraction) / of), words)

            keep(number, try_recipe(lesson, number, folder, tell=tell, checkpoint=checkpoint))
            checkpoint.forget()
    return [done[number] for number in range(of)]


def _try_on_ray(
    run: TrainingRun,
    lesson: Lesson,
    numbers: Sequence[int],
    progress: Progress,
    keep: Callable[[int, dict[str, Any]], None],
) -> None:
    folder, of = Path(django_settings.ARTIFACT_DIR), len(lesson.trials)
    current = artifacts.checked_bytes(folder / run.parent.artifact, run.parent.sha256)
    told = lesson, {run.parent.artifact: current}
    at = {number: 1.0 for number in range(of) if number not in numbers}

    def hear(place: int, fraction: float, words: str) -> None:
        at[numbers[place]] = fraction
        progress.within(_at(sum(at.values()) / of), words)

    with closing(on_ray.each(try_elsewhere, numbers, told, hear)) as ended:
        for place, (tried, data) in ended:
            made = tried["made"]["artifact"]
            if artifacts.keep(data, folder, Path(made).suffix).name != made:
                raise artifacts.ArtifactError(f"What a machine made came as another file: {made}.")
            at[numbers[place]] = 1.0
            keep(numbers[place], tried)


def _at(fraction: float) -> float:
    """How far a run is when so much is tried."""
    return TRAINING_BEGINS + fraction * (TRIALS_END - TRAINING_BEGINS)


def _merit(trial: Mapping[str, Any]) -> tuple[bool, float, float]:
    """What puts a trial before others: its gates, what it gains on the round, and on clean data."""

    def gain(of: Mapping[str, Any]) -> float:
        return of["now"] - of["before"] if of["items"] else 0.0

    passes = all(gate["passed"] for gate in trial["gates"])
    return passes, gain(trial["figures"]["new_round"]), gain(trial["figures"]["clean"])


def _learner_of(run: TrainingRun) -> str:
    name = name_in(run.parent.config)
    if name is None:
        raise Refused("no_learner", f"{run.parent.name} names no learner of this server.")
    return name


def _read(
    run: TrainingRun, snapshot: Snapshot, base: Base, parent: artifacts.LoadedArtifact
) -> Lesson:
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
    known_before = frozenset(learned_examples(run.parent).values_list("example_id", flat=True))
    left_out = {
        "unreadable": [*unread, *unread_too],
        "unknown_label": [item.name for item in frozen if item.name not in names],
        "author_share": sorted(names - {item.name for item in train}),
    }
    made_up = generated.frozen(snapshot, run.task.kind)
    usual = read_usual(run.task, run.metrics["usual"])
    return Lesson(
        run.task.input_kind,
        parent.learner,
        {name: getattr(run.parent, name) for name in ("backend", "artifact", "sha256", "config")},
        [(name, recipe.model_dump(mode="json")) for name, recipe in settings.trials()],
        [item for item in known if item.fooled],
        train,
        held_out,
        known_before,
        base,
        left_out,
        *made_up,
        usual,
    )


def _has_labels_of(item: FrozenItem, parent: artifacts.LoadedArtifact) -> bool:
    return not parent.labels or {item.label, *(item.shares or ())} <= {*parent.labels}


def _told(clean: dict[str, list[int]]) -> dict[str, Any]:
    return {side: len(keys) for side, keys in clean.items()} | {"sha256": digest_of_clean(clean)}


def _provenance(run: TrainingRun, snapshot: Snapshot, data: Lesson) -> dict[str, Any]:
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
