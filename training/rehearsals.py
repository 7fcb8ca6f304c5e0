"""Rehearsals: a task's rounds played by scripted people before anybody is paid.

Each seed is played by a process of its own (training.rehearsal_world) in a folder that is thrown
away: nothing simulated can stand on a board, in a release or in a training. What is kept is one
document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from math import inf, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from django.conf import settings

from accounts.services import record_event
from annotate.config import parse_task_file
from annotate.models import ModelVersion, Task
from annotate.queries import open_target
from core.errors import Refused
from core.strict_yaml import NotYaml
from core.transactions import durable
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.learners import (
    BASE_SUFFIX,
    BadSource,
    Base,
    Learner,
    learner_named,
    name_in,
    read_base,
)
from scoring.plots import Plot
from training import on_ray
from training.models import Rehearsal
from training.queries import is_trainable, trainable_model
from training.rehearsal_file import RehearsalFile
from training.rehearsal_play import Listener, Turns, play

COUNTED: Final = (
    "days", "submissions", "refused", "looks", "fooled", "votes", "verified", "wrong", "cost",
    "quarantined",
)  # fmt: skip

ENDS: Final = ("promoted", "passed", "refused", "failed", "nothing to learn")


def rehearse(
    *, task: Task, file: RehearsalFile, at_once: int = 1, listener: Listener | None = None
) -> Rehearsal:
    """Play a rehearsal and keep its report; Refused says why it cannot be.

    A folder in the file is taken as it stands there: make it absolute. `listener` hears
    (fraction, sentence).
    """
    told, files = _told(task, file)
    worlds = _play_all(told, files, file.seeds, at_once, listener)
    with durable():
        rehearsal = Rehearsal.objects.create(
            task=task, file=file.model_dump(mode="json"), report=report_of(worlds)
        )
        record_event(actor=None, verb="rehearsed", subject=rehearsal, scope=task.slug)
    return rehearsal


def _told(task: Task, file: RehearsalFile) -> tuple[dict[str, Any], dict[str, bytes]]:
    """All that a world is made from, and the artifacts that this names."""
    assert task.config is not None
    if task.kind.altered is None or not is_trainable(task):
        raise Refused(
            "no_script", f"Nobody here is scripted for {task.kind.words.things}, or learns them."
        )
    model = trainable_model(open_target(task.pk))
    if model is None:
        raise Refused(
            "no_base_data",
            f"{task.slug} has no open round with a model that was trained here.",
            status=409,
        )
    stock = _stock(task, file, model)
    people = file.annotators
    a_day = min(people.a_day, task.config.file.daily or people.a_day)
    file = file.model_copy(update={"annotators": people.model_copy(update={"a_day": a_day})})
    named = ("name", "backend", "artifact", "sha256", "config")
    folder = Path(settings.ARTIFACT_DIR)
    names = (model.artifact, _base_of(model))
    files = {name: artifacts.fetched(folder / name).read_bytes() for name in names}
    sha256 = hashlib.sha256(stock).hexdigest()
    told = {
        "task": _task_of(task, file),
        "model": {name: getattr(model, name) for name in named},
        "file": file.model_dump(mode="json"),
        "stock": {"file": f"{sha256}{BASE_SUFFIX}", "sha256": sha256},
    }
    return told, {**files, told["stock"]["file"]: stock}


def _base_of(model: ModelVersion) -> str:
    return str(model.config["base"]["file"])


def _task_of(task: Task, file: RehearsalFile) -> dict[str, Any]:
    """The task's file as it is rehearsed: nothing waits for owners, gold, midnight or a date."""
    assert task.config is not None
    told = task.config.file.model_dump(mode="json")
    for section, changes in file.task.items():
        if not isinstance(told.get(section), dict):
            raise Refused("bad_file", f"task: a task file has no section {section}.")
        if "policy" in changes:  # another one has other parameters
            told[section].pop("parameters", None)
        told[section] |= changes
    told["daily"], told["rounds"] = None, {}
    told["retraining"] |= {"trigger": None, "promote": "automatic"}
    told["validation"] |= {"qualification": {"items": 0}}
    try:
        parse_task_file(told)
    except NotYaml as error:
        raise Refused("bad_file", f"task: {error}") from error
    return told


def _stock(task: Task, file: RehearsalFile, model: ModelVersion) -> bytes:
    """The real inputs that people begin from, and those of the exam, as one file.

    Whether there are any is found out here, and not in a world.
    """
    assert task.config is not None
    learner = learner_named(str(name_in(model.config)))
    try:
        base = _read_stock(learner, file, model)
    except (BadSource, ArtifactError, OSError) as error:
        raise Refused("bad_source", str(error)) from error
    labels = {item.label for item in [*base.train, *base.held_out]}
    if unknown := sorted(labels - set(task.config.file.label_values)):
        raise Refused(
            "bad_source",
            f"The source has labels that {task.slug} has not: {', '.join(unknown[:10])}. "
            "Name them in `labels`.",
        )
    if not base.train or not base.held_out:
        raise Refused("bad_source", "The source has nothing to send, or nothing to test with.")
    return learner.pack(base)


def _read_stock(learner: Learner, file: RehearsalFile, model: ModelVersion) -> Base:
    if file.source is None:
        return read_base(learner, model.config["base"], Path(settings.ARTIFACT_DIR))
    base = learner.load_base(file.source)
    train, held_out = (
        [replace(item, label=file.labels.get(item.label, item.label)) for item in items]
        for items in (base.train, base.held_out)
    )
    return Base(train, held_out, base.source)


# --- worlds ---------------------------------------------------------------------------------------
def _play_all(
    told: dict[str, Any],
    files: dict[str, bytes],
    seeds: int,
    at_once: int,
    listener: Listener | None,
) -> list[Turns]:
    done = [0.0] * seeds

    def hear(seed: int, fraction: float, words: str) -> None:
        done[seed] = fraction
        if listener is not None:
            listener(fmean(done), f"seed {seed + 1} of {seeds}, {words}")

    worlds = [{**told, "seed": seed} for seed in range(seeds)]
    if on_ray.is_asked():
        return on_ray.play_all(worlds, files, hear)
    with ThreadPoolExecutor(at_once) as pool:
        playing = [
            pool.submit(play, world, files, partial(hear, seed))
            for seed, world in enumerate(worlds)
        ]
        try:
            return [one.result() for one in playing]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# --- report ---------------------------------------------------------------------------------------
def report_of(worlds: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """What is kept of these: each round and the sum of all, over the seeds."""
    rounds = max(map(len, worlds))
    played = [[world[at] for world in worlds if len(world) > at] for at in range(rounds)]
    totals = [
        {name: sum(turn[name] for turn in world) for name in ("cost", "votes", "days", "verified")}
        for world in worlds
    ]
    return {
        "simulated": True,
        "seeds": len(worlds),
        "rounds": [_round(turns) for turns in played],
        "total": {name: spread([total[name] for total in totals], least=0) for name in totals[0]},
        "worlds": worlds,
    }


def _round(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One round over all seeds."""
    tested = [turn for turn in turns if turn["after"]]
    figures: dict[str, Any] = {
        name: spread([turn[name] for turn in turns], least=0) for name in COUNTED
    }
    rates = [turn["fooled"] / turn["submissions"] for turn in turns if turn["submissions"]]
    figures["fooling_rate"] = spread(rates, least=0, most=1)
    for name in ("clean", "altered"):
        figures[name] = spread([turn["before"][name] for turn in turns], least=0, most=1)
        gains = [turn["after"][name] - turn["before"][name] for turn in tested]
        figures[f"{name}_gain"] = spread(gains, least=-1, most=1)
    ended = [turn["status"] for turn in turns]
    return {
        **figures,
        "ends": {status: ended.count(status) for status in ENDS},
        "failed": sorted({name for turn in turns for name in turn["failed"]}),
    }


def spread(
    values: Sequence[float], *, least: float = -inf, most: float = inf
) -> dict[str, float | None]:
    """The mean over seeds and its 95 % interval by Student's t; no interval of a single seed.

    Of what cannot be below `least` or above `most` the interval ends there.
    """
    from scipy.special import stdtrit

    if not values:
        return {"mean": None, "low": None, "high": None}
    mean, low, high = fmean(values), None, None
    if (n := len(values)) > 1:
        reach = float(stdtrit(n - 1, 0.975)) * stdev(values) / sqrt(n)
        low, high = round(max(least, mean - reach), 6), round(min(most, mean + reach), 6)
    return {"mean": round(mean, 6), "low": low, "high": high}


def plot_of(rehearsal: Rehearsal) -> Plot:
    """How often people fooled, and what the models that they met got right, round by round."""
    rows = []
    for series, name in (
        ("fooling rate", "fooling_rate"),
        ("right on altered", "altered"),
        ("right on clean", "clean"),
    ):
        for number, told in enumerate(rehearsal.report["rounds"], start=1):
            value = told[name]
            if value["mean"] is not None:
                low, high = (value[end] for end in ("low", "high"))
                known = (value["mean"], *((low, high) if low is not None else 2 * (value["mean"],)))
                rows.append((series, f"round {number}", *(100 * share for share in known)))
    return Plot(
        "rounds", "Rehearsed rounds", "lines",
        ("series", "round", "%", "low", "high"), tuple(rows), y="%",
    )  # fmt: skip
