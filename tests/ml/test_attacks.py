"""Attacks that know a net's slopes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dadc_server.bootstrap import LIBRARY
from ml import artifacts
from ml.attacks import fgsm, pgd
from ml.learners import learner_named
from ml.learners.digits import _images
from ml.learners.digits.net import DigitNet, read_weights
from ml.learners.digits.training import fine_tune


@pytest.fixture
def line() -> nn.Linear:
    """Two labels, told apart by x - 2y + 0z: the loss of the first rises as x falls and y rises."""
    net = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 0.0]]))
    return net


def test_of_a_line_both_find_the_corner_that_is_worst(line: nn.Linear) -> None:
    x, first = torch.tensor([[0.5, 0.5, 0.5], [0.05, 0.95, 0.5]]), torch.tensor([0, 0])

    one = fgsm(line, x, first, reach=0.1)
    many = pgd(line, x, first, reach=0.1, step=0.03, steps=10)
    from_anywhere = pgd(
        line, x, first, reach=0.1, step=0.03, steps=10, lots=torch.Generator().manual_seed(0)
    )

    # No place moves further than .1, none leaves 0 to 1, and what says nothing stays.
    worst = torch.tensor([[0.4, 0.6, 0.5], [0.0, 1.0, 0.5]])
    assert torch.allclose(one, worst)
    assert torch.allclose(many, worst)
    assert torch.allclose(from_anywhere[:, :2], worst[:, :2])
    other = fgsm(line, x[:1], torch.tensor([1]), reach=0.1)
    assert torch.allclose(other, torch.tensor([[0.6, 0.4, 0.5]]))
    assert torch.equal(x[0], torch.tensor([0.5, 0.5, 0.5])), "what it was given is left alone"


def test_a_net_that_learns_from_attacks_loses_fewer_answers_to_them() -> None:
    base = learner_named("digits").load_base("sklearn")
    images, held_out = _images(base.train), _images(base.held_out)
    (file,) = (LIBRARY / "digits").glob(f"*{artifacts.SUFFIX}")
    net = read_weights(artifacts.load(file, file.stem))
    settings = {"seed": 0, "epochs": 1, "epoch_images": 1_000, "blend": 1.0}
    verified = images.take(np.arange(100))
    plain, _ = fine_tune(net, images, verified, **settings)
    harder, config = fine_tune(net, images, verified, attacked=0.5, **settings)

    assert (config["attacked"], config["attack_reach"], config["attack_steps"]) == (0.5, 0.1, 1)
    x, y = torch.from_numpy(held_out.x), torch.from_numpy(held_out.y)
    kept = [_kept(one, x, y) for one in (plain, harder)]
    assert kept[1] > kept[0] + 0.05, kept  # 66 and 75 %


def _kept(net: DigitNet, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share that is still read after one step."""

    def scores(images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = net(images[:, None])
        return found

    said = scores(fgsm(scores, x, y, reach=0.1)).argmax(1)
    return float((said == y).float().mean())
