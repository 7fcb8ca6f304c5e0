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
    return _stepped(net, inputs, labels, inputs, step=reach, reach=reach)[0]


def pgd(
    net: Net,
    inputs: Tensor,
    labels: Tensor,
    *,
    reach: float,
    step: float,
    steps: int,
    lots: Generator | None = None,
    until_misread: bool = False,
) -> Tensor:
    """Small steps of that kind, each brought back within `reach`; with `lots` from somewhere in it.

    `lots` decide where it begins, so that the same ones give the same. With `until_misread` an
    input goes no further than to where the net reads it otherwise: all that some ask, in less time.
    """
    import torch

    found = inputs.clone()
    if lots is not None:
        shift = torch.rand(inputs.shape, generator=lots, dtype=inputs.dtype) * 2 - 1
        found = (inputs + reach * shift).clamp(0, 1)
    todo = torch.arange(len(inputs))
    for _ in range(steps):
        moved, read = _stepped(net, found[todo], labels[todo], inputs[todo], step=step, reach=reach)
        if until_misread:
            todo, moved = todo[read], moved[read]
        if not len(todo):
            break
        found[todo] = moved
    return found


def _stepped(
    net: Net, now: Tensor, labels: Tensor, first: Tensor, *, step: float, reach: float
) -> tuple[Tensor, Tensor]:
    """Where it leads, and whether the net still reads what it began with as labelled."""
    import torch
    from torch.nn import functional as F

    now = now.detach().requires_grad_()
    scores = net(now)
    loss = F.cross_entropy(scores, labels, reduction="sum")
    (slope,) = torch.autograd.grad(loss, now)
    moved = now.detach() + step * slope.sign()
    moved = torch.minimum(torch.maximum(moved, first - reach), first + reach).clamp(0, 1)
    return moved, scores.argmax(1) == labels
