"""The models in the loop go with a release: their files where this machine has them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import Q

from annotate.models import ModelVersion, Task
from ml import artifacts
from ml.artifacts import ArtifactError
from releases.models import PersonalFind
from training.models import SnapshotItem, Split

LARGEST: Final = 1 << 30
# How one of these is reached may be nobody else's business.
ELSEWHERE: Final = frozenset({"chat", "open_inference"})
PRIVATE: Final = frozenset({"base", "retraining"})

RUN_IT: Final = """```python
import numpy as np
import onnxruntime

labels = {labels}
session = onnxruntime.InferenceSession("model.onnx")
batch = np.zeros({shape}, dtype=np.float32)  # yours, read as kinds/{kind} does
(probabilities,) = session.run(None, {{session.get_inputs()[0].name: batch}})
print([labels[row.argmax()] for row in probabilities])
```"""


NOT_GIVEN: Final = "Its owners keep its file."
TAUGHT: Final = "It learned from what was withdrawn since: its file stays here."


def put_models(
    task: Task, names: Collection[str], folder: Path, *, files: bool = True
) -> dict[str, dict[str, Any]]:
    """Copy the `files` of these models below `folder`; returns what the release says of each.

    None of a model that learned from what was withdrawn since, or comes from one that did.
    """
    found, tainted = {}, _taught_what_is_gone(task)
    for model in ModelVersion.objects.filter(task=task, name__in=names).order_by("number"):
        said: dict[str, Any] = {
            "number": model.number,
            "backend": model.backend,
            "sha256": model.sha256,
            "created_at": model.created_at.isoformat(),
            "metrics": model.metrics,
        }
        if model.backend and model.backend not in ELSEWHERE:
            config = {name: v for name, v in model.config.items() if name not in PRIVATE}
            said["config"] = config
            if (file := _file_of(model)) and (not files or model.pk in tainted):
                said["withheld"] = TAUGHT if model.pk in tainted else NOT_GIVEN
            elif file:
                said["file"] = _put(model, file, said, folder / str(model.number))
        found[model.name] = said
    return found


def _taught_what_is_gone(task: Task) -> set[int]:
    kept_back = Q(example__personal_find__decision=PersonalFind.Decision.LEAVE_OUT)
    gone = SnapshotItem.objects.filter(
        Q(example__retracted_at__isnull=False) | Q(example__hidden_at__isnull=False) | kept_back,
        snapshot__task=task,
        split=Split.TRAIN,
    )
    tainted = set(gone.values_list("snapshot__runs__candidate", flat=True))
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


def _put(model: ModelVersion, file: Path, said: dict[str, Any], home: Path) -> str:
    """The file, its card, and beside it the ONNX graph where it has one within."""
    home.mkdir(parents=True)
    shutil.copyfile(file, home / file.name)
    text = json.dumps({"name": model.name, **said}, indent=1, ensure_ascii=False)
    (home / "model.json").write_text(text + "\n")
    (home / "README.md").write_text(_card(model, file, home))
    return f"models/{model.number}/{file.name}"


def _card(model: ModelVersion, file: Path, home: Path) -> str:
    run = "`manage.py replay` of DADC Server opens it."
    labels = model.config.get("labels", ())
    graph: bytes | None = file.read_bytes() if file.suffix == ".onnx" else None
    if file.suffix == artifacts.SUFFIX:
        try:
            opened = artifacts.load(file, model.sha256)
        except ArtifactError:
            return f"# {model.name}\n\nIts file is damaged.\n"
        labels, graph = opened.labels, opened.members.get(artifacts.ONNX)
    if graph is not None:
        (home / "model.onnx").write_bytes(graph)
        run = RUN_IT.format(labels=list(labels), kind=model.task.input_kind, shape=_shape(graph))
    metrics = json.dumps(model.metrics, indent=1, ensure_ascii=False)
    parent = f" It was trained from `{model.parent.name}`." if model.parent else ""
    return f"# {model.name}\n\nBackend `{model.backend}`, SHA-256 `{model.sha256}`.{parent}\n\n" + (
        f"{run}\n\nMetrics, with those of each earlier round where it was retrained:\n\n"
        f"```json\n{metrics}\n```\n"
    )


def _shape(graph: bytes) -> tuple[int, ...]:
    """The shape of a batch of one."""
    import onnxruntime

    taken = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).get_inputs()[0]
    return tuple(side if isinstance(side, int) else 1 for side in taken.shape)
