"""Inputs changed by whoever knows a net's gradients: no place by more than `reach`, none below 0 or
above 1.

FGSM: Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples" (2015). PGD:
Madry et al., "Towards deep learning models resistant to adversarial attacks" (2018). What
`benchmarks.attacks` compares them with is a kept library's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Net = Callable[[Tensor], Tensor]


def fgsm(net: Net, inputs: Tensor, labels: Tensor, *, reach: float) -> Tensor:
    """One step of `reach` in every place, the way that the right label's loss rises.

    `net` takes (n, …) float32 from 0 to 1 to (n, K) scores or log-probabilities; `labels` are (n,)
    places among the K.
    """
    return _stepped(net, inputs, labels, inputs, step=reach, reach=reach)


def pgd(
    net: Net,
    inputs: Tensor,
    labels: Tensor,
    *,
    reach: float,
    step: float,
    steps: int,
    lots: Generator | None = None,
) -> Tensor:
    """Small steps of that kind, each brought back within `reach`; with `lots` from somewhere in it.

    `lots` decide where it begins, so that the same ones give the same.
    """
    import torch

    found = inputs
    if lots is not None:
        shift = torch.rand(inputs.shape, generator=lots, dtype=inputs.dtype) * 2 - 1
        found = (inputs + reach * shift).clamp(0, 1)
    for _ in range(steps):
        found = _stepped(net, found, labels, inputs, step=step, reach=reach)
    return found


def _stepped(
    net: Net, now: Tensor, labels: Tensor, first: Tensor, *, step: float, reach: float
) -> Tensor:
    import torch
    from torch.nn import functional as F

    now = now.detach().requires_grad_()
    loss = F.cross_entropy(net(now), labels, reduction="sum")
    (slope,) = torch.autograd.grad(loss, now)
    moved = now.detach() + step * slope.sign()
    return torch.minimum(torch.maximum(moved, first - reach), first + reach).clamp(0, 1)
