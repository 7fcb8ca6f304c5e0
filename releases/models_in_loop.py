"""The models in the loop go with a release: their files where this machine has them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import Q, QuerySet
from safetensors.numpy import save_file

from annotate.models import Example, ModelVersion, Task
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.learners import learner_named
from releases.folders import sha256_of
from releases.model_card import BY_ITS_GRAPH, ITS_FOLDER, ITS_WEIGHTS, card
from releases.models import PersonalFind
from training.board import Field, compare_in
from training.models import SnapshotItem, Split, TrainingRun
from training.queries import clean_of_people
from training.versions import shown_versions

GRAPH, WEIGHTS = "model.onnx", "model.safetensors"
LARGEST: Final = 1 << 30
# How one of these is reached may be nobody else's business.
ELSEWHERE: Final = frozenset({"chat", "open_inference"})
PRIVATE: Final = frozenset({"base", "retraining"})

NOT_GIVEN: Final = "Its owners keep its file."
DAMAGED: Final = "Its file is not the one that was registered any more."
TAUGHT: Final = "It learned from what was withdrawn since: its file stays here."


def put_models(
    task: Task,
    names: Collection[str],
    folder: Path,
    rounds: Sequence[Mapping[str, Any]],
    *,
    files: bool = True,
) -> dict[str, dict[str, Any]]:
    """Copy the `files` of these models below `folder`; returns what the release says of each.

    None of a model that learned from what was withdrawn since, or comes from one that did. One
    without a file has its card, with what it met in the `rounds` as the release counts them.
    """
    found, tainted = {}, taught_what_is_gone(task)
    models = ModelVersion.objects.filter(task=task, name__in=names).order_by("number")
    evaluated = _evaluated(task, models)
    for model in models:
        said: dict[str, Any] = {
            "number": model.number,
            "backend": model.backend,
            "sha256": model.sha256,
            "created_at": model.created_at.isoformat(),
            "metrics": model.metrics,
            "evaluated": evaluated.get(model.number, []),
        }
        if model.backend and model.backend not in ELSEWHERE:
            config = {name: v for name, v in model.config.items() if name not in PRIVATE}
            said["config"] = config
            if (file := _file_of(model)) and (not files or model.pk in tainted):
                said["withheld"] = TAUGHT if model.pk in tainted else NOT_GIVEN
            elif file and sha256_of(file) != model.sha256:
                said["withheld"] = DAMAGED
            elif file or not model.artifact:
                _put(model, file, said, folder / str(model.number), rounds)
        found[model.name] = said
    return found


def _evaluated(task: Task, models: QuerySet[ModelVersion]) -> dict[int, list[dict[str, Any]]]:
    """What each model, by its number, came to on clean data and on each round's foolings."""
    field = Field(list(models.exclude(backend="").prefetch_related("rounds")), shown_versions(task))
    return {
        row.number: [
            {
                "on": cell.data,
                "count": cell.accuracy.count,
                "of": cell.accuracy.of,
                "low": round(cell.accuracy.interval.low, 6),
                "high": round(cell.accuracy.interval.high, 6),
                "f1": cell.f1,
                "own": cell.own,
            }
            for cell in row.cells
            if cell.accuracy is not None
        ]
        for row in compare_in(field).rows
    }


def taught_what_is_gone(task: Task) -> set[int]:
    """The keys of its models that learned from it, or come from one that did."""
    kept_back = Q(personal_find__decision=PersonalFind.Decision.LEAVE_OUT)
    gone = Example.objects.filter(
        Q(retracted_at__isnull=False) | Q(hidden_at__isnull=False) | kept_back, task=task
    )
    items = SnapshotItem.objects.filter(example__in=gone, snapshot__task=task, split=Split.TRAIN)
    tainted = set(items.values_list("snapshot__runs__candidate", flat=True))
    if clean := clean_of_people(TrainingRun.objects.filter(task=task)):
        keys = set(gone.values_list("pk", flat=True))
        tainted |= {model for model, sides in clean if not keys.isdisjoint(sides[Split.TRAIN])}
    for pk, parent in task.models.order_by("number").values_list("pk", "parent"):
        if parent is not None and parent in tainted:
            tainted.add(pk)
    return tainted


def _file_of(model: ModelVersion) -> Path | None:
    if not model.artifact:
        return None
    path = artifacts.fetched(Path(settings.ARTIFACT_DIR) / model.artifact)
    fits = path.is_file() and path.stat().st_size <= LARGEST
    return path if fits else None


def _put(
    model: ModelVersion,
    file: Path | None,
    said: dict[str, Any],
    home: Path,
    rounds: Sequence[Mapping[str, Any]],
) -> None:
    """Its card, its file where it has one, and what others can read of that."""
    home.mkdir(parents=True)
    ways: list[str] = []
    if file is not None:
        said["file"] = f"models/{model.number}/{file.name}"
        shutil.copyfile(file, home / file.name)
        ways = _readable(model, file, home)
    (home / "model.json").write_text(text_of(model.name, said))
    parent = model.parent.name if model.parent else ""
    kind = model.task.input_kind
    text = card(model.name, said, kind=kind, parent=parent, rounds=rounds, ways=ways)
    (home / "README.md").write_text(text)


def text_of(name: str, said: Mapping[str, Any]) -> str:
    """What model.json says of a model: what release.json does."""
    return json.dumps({"name": name, **said}, indent=1, ensure_ascii=False) + "\n"


def _readable(model: ModelVersion, file: Path, home: Path) -> list[str]:
    """Put graph and weights beside the file, as others read them; returns lines that run these."""
    if file.suffix == artifacts.SUFFIX:
        try:
            opened = artifacts.load(file, model.sha256)
            weights = learner_named(opened.learner).weights(opened)
        except ArtifactError as error:
            return [f"{error}"]
        save_file(dict(weights), home / WEIGHTS)
        ways = [ITS_WEIGHTS.format(weights=WEIGHTS)]
        if graph := opened.members.get(artifacts.ONNX):
            (home / GRAPH).write_bytes(graph)
            ways.append(_by_graph(model, GRAPH, graph, opened.labels))
        return ways
    if file.suffix == ".onnx":
        return [_by_graph(model, file.name, file.read_bytes(), model.config.get("labels", ()))]
    return [ITS_FOLDER.format(file=file.name)] if file.suffix == ".folder" else []


def _by_graph(model: ModelVersion, name: str, graph: bytes, labels: Sequence[str]) -> str:
    kind, shape = model.task.input_kind, _shape(graph)
    return BY_ITS_GRAPH.format(graph=name, labels=list(labels), kind=kind, shape=shape)


def _shape(graph: bytes) -> tuple[int, ...]:
    """The shape of a batch of one."""
    import onnxruntime

    taken = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).get_inputs()[0]
    return tuple(side if isinstance(side, int) else 1 for side in taken.shape)
