"""Each recipe of docs/models.md runs as it is written, and each backend has one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Task
from annotate.registry import ModelFile, Registered, read_model_file, register
from ml.backends import NAMES
from ml.learners import learner_named
from ml.learners import save as save_model
from tests import cast

pytestmark = pytest.mark.once

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
RECIPES = [
    read_model_file(recipe)
    for recipe in re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
]
MOODS = ["negative", "positive"]
REMOTE = {"open_inference", "chat"}  # tests/outages/test_remote_models.py


def test_no_backend_lacks_a_recipe() -> None:
    assert {recipe.backend for recipe in RECIPES} == set(NAMES)


def a_graph(path: Path) -> None:
    """Of three probabilities, from an array of two sides."""
    import torch

    from ml.learners.digits.export import export_onnx

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 28, 3))
    path.write_bytes(export_onnx(net))


def numbers(path: Path) -> None:
    """As the recipe's own lines write them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression())
    pipeline.fit(["a wonderful day", "a dreadful day", "wonderful", "dreadful"], MOODS[::-1] * 2)
    lines = re.search(r"^### sklearn.*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert lines
    exec(lines[1].replace('"model.json"', repr(str(path))), {"pipeline": pipeline})


def task_for(recipe: ModelFile, owner: User) -> Task:
    """A task whose people would want it."""
    kind, labels = "text", MOODS
    if recipe.backend in ("onnx", "torch"):
        kind, labels = "image", ["a", "b", "c"] if recipe.backend == "onnx" else cast.DIGITS
    elif recipe.backend == "overlap":
        kind, labels = "text_pair", ["entailment", "neutral", "contradiction"]
    elif recipe.parent:
        labels = ["bad", "good"]
    slug = f"for-{recipe.name}".lower()
    file: dict[str, Any] = {"slug": slug, "name": slug, "input": kind, "labels": labels}
    return rounds.load_task(file=parse_task_file(file), actor=owner)[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "recipe",
    [one for one in RECIPES if one.backend not in REMOTE],
    ids=lambda one: f"{one.backend}-{one.name}",
)
def test_a_recipe_runs_as_written(recipe: ModelFile, owner: User, tmp_path: Path) -> None:
    task = task_for(recipe, owner)
    done = registered(recipe, task, owner, tmp_path)
    assert done.check["labels"] == [*done.check["labels"]]
    assert cast.prediction(task, task.kind.probes[0]) in {
        label.value
        for label in task.config.file.labels  # type: ignore[union-attr]
    }


def registered(recipe: ModelFile, task: Task, owner: User, tmp_path: Path) -> Registered:
    """The recipe's file made, and the model it names registered; it opens a round."""
    if recipe.backend == "onnx":
        a_graph(tmp_path / str(recipe.path))
    elif recipe.backend == "torch":
        made = json.loads((cast.SHIPPED / "model.json").read_text())
        shutil.copy(cast.SHIPPED / made["artifact"], tmp_path / str(recipe.path))
    elif recipe.backend == "sklearn":
        numbers(tmp_path / str(recipe.path))
    elif recipe.backend == "transformers":
        from tests.ml.test_transformers import save

        (tmp_path / str(recipe.path)).parent.mkdir()
        save(tmp_path / str(recipe.path), id2label=dict(enumerate(("NEGATIVE", "POSITIVE"))))
    elif recipe.backend == "vectors":
        (tmp_path / "train.tsv").write_text("It was lovely.\tpositive\nIt was awful.\tnegative\n")
        (tmp_path / "dev.tsv").write_text("Lovely.\tpositive\n")
        learner = learner_named("vectors")
        trained = learner.train(learner.load_base(str(tmp_path)), labels=MOODS, seed=0)
        made = save_model(trained, tmp_path)
        (tmp_path / made["artifact"]).rename(tmp_path / str(recipe.path))
    if recipe.parent:
        register(task=task, file=ModelFile(name=recipe.parent, backend="null"), actor=owner)
    return register(task=task, file=recipe, folder=tmp_path, actor=owner, open_round=True)
