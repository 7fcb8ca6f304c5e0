"""What spoke for an answer: by leaving words out, by moving numbers, and by real captum."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from dadc_server.bootstrap import LIBRARY
from kinds import Prepared, kind_named
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Source, open_model, source_of
from ml.why import along_the_path, by_differences, by_path

pytestmark = pytest.mark.once


def test_words_that_are_left_out_are_missed() -> None:
    moods = open_model("lexicon", Source(None, "", {"names": {"positive": "good"}}))
    one = kind_named("text").parse(
        {"text": "A wonderful\tday, but what a \U0001f600 dreadful end."}
    )
    why = moods.why(one, "good")
    assert (why.label, why.rather_than) == ("good", "negative")
    weights = {one.features["text"][piece.start : piece.end]: piece.weight for piece in why.pieces}
    assert weights["wonderful"] > 0.3
    assert weights["dreadful"] < -0.3
    assert weights["what"] == 0


def test_an_array_s_slopes_are_its_net_s_gradient() -> None:
    from ml.learners.digits.net import Probabilities, read_weights

    made = json.loads((LIBRARY / "digits" / "model.json").read_text())
    source = source_of(made, LIBRARY / "digits")
    served = open_model("onnx", source)
    noise = np.random.default_rng(0).random(served.shape).astype(np.float32)
    one = Prepared("noise", noise)
    (answer,) = served.answer([one])
    why = served.why(one, answer.label)
    net = Probabilities(read_weights(artifacts.load(source.file, source.sha256)))
    at = torch.from_numpy(one.features[None].copy()).requires_grad_()
    this, that = (served.labels.index(name) for name in (why.label, why.rather_than))
    odds = net(at).log()
    (odds[0, this] - odds[0, that]).backward()
    grid = np.array(why.grid)
    assert grid.shape == one.features.shape
    assert np.corrcoef(grid.ravel(), at.grad.numpy().ravel())[0, 1] > 0.99, "without a kink"
    with pytest.raises(ValueError, match="small arrays"):
        by_differences(served.itself, np.zeros((1, 2, 3), np.float32), answer.label)


def test_the_path_adds_up_to_the_difference_or_says_by_how_much_not() -> None:
    torch.manual_seed(0)
    embeddings = torch.nn.Embedding(9, 4)
    weights = torch.randn(4)
    ids, blank = torch.tensor([[1, 5, 7, 2]]), torch.tensor([[1, 0, 0, 2]])

    def linear(some: Any) -> Any:
        return (embeddings(some) @ weights).sum(dim=1)

    found, off = along_the_path(linear, embeddings, ids, blank)
    expected = ((embeddings(ids) - embeddings(blank)) @ weights)[0]
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)
    assert off < 1e-4
    bent = along_the_path(lambda some: torch.tanh(9 * linear(some)), embeddings, ids, blank)
    assert 1e-4 < bent[1] < 0.2, "fifty steps, and its sum is looked at"


def test_without_captum_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.why.find_spec", lambda name: None)
    with pytest.raises(ArtifactError, match="bin/serve --with captum"):
        by_path(None, None, None, fields=[], label="", rather_than="")  # type: ignore[arg-type]
