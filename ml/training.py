"""Training the digits model: the base model from clean images, the next one from foolings."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from ml.digits import Images
from ml.images import InputError, normalise
from ml.metrics import accuracy, expected_calibration_error, per_class_recall
from ml.nets import NETS
from ml.warps import Augmentation, augment

Progress = Callable[[float, str], None]
Mix = Literal["half", "union", "foolings_only"]
Batches = Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]

EVALUATION_BATCH: Final = 512


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained net in evaluation mode, all that is needed to train it again, and its figures."""

    net: nn.Module
    config: dict[str, Any]
    metrics: dict[str, Any]


def train_base(
    images: Images,
    *,
    seed: int,
    epochs: int = 16,
    copies: int = 9,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    how: Augmentation | None = None,
    held_out: Images | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train the digits net from scratch on fresh augmentations: `copies` of each image an epoch.

    AdamW under a one-cycle schedule. The same seed, torch build and thread count give the same
    weights bit by bit. `progress` hears (fraction, sentence) after every epoch and may raise to
    cancel. `metrics` are those of `held_out`, or empty without it.
    """
    how = how or Augmentation()
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = NETS["digits"]()
        optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.01)
        steps = epochs * -(-copies * len(images) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps)
        for epoch in range(epochs):
            x, y = redraw(images, copies, rng, how)
            loss = _epoch(net, optimizer, _shuffled(x, y, batch_size, rng), schedule)
            _report(progress, epoch, epochs, loss)
    net.eval()
    config = {
        "net": "digits",
        "kind": "base",
        "source": images.source,
        "images": len(images),
        "seed": seed,
        "epochs": epochs,
        "copies": copies,
        "batch_size": batch_size,
        "optimizer": "AdamW",
        "learning_rate": learning_rate,
        "augmentation": asdict(how),
        **_platform(),
    }
    return TrainResult(net, config, evaluate(net, held_out) if held_out else {})


def fine_tune(
    net: nn.Module,
    clean: Images,
    verified: Images,
    *,
    seed: int,
    epochs: int = 5,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    momentum: float = 0.5,
    mix: Mix = "half",
    held_out: Images | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Continue training a copy of `net` with verified foolings; the given net is left alone.

    `half` fills each batch half with clean and half with verified images, an epoch being one
    pass over the clean ones; `union` shuffles both at their natural ratio; `foolings_only` is the
    negative control that forgets. Reproducible and cancelled as `train_base`.
    """
    if len(verified) == 0:
        raise ValueError("There are no verified examples to train on.")
    tuned = copy.deepcopy(net)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        optimizer = torch.optim.SGD(tuned.parameters(), lr=learning_rate, momentum=momentum)
        for epoch in range(epochs):
            loss = _epoch(tuned, optimizer, _mixed(clean, verified, batch_size, mix, rng))
            _report(progress, epoch, epochs, loss)
    tuned.eval()
    config = {
        "net": "digits",
        "kind": "fine_tune",
        "source": clean.source,
        "clean_images": len(clean),
        "verified_images": len(verified),
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": "SGD",
        "learning_rate": learning_rate,
        "momentum": momentum,
        "mix": mix,
        **_platform(),
    }
    return TrainResult(tuned, config, evaluate(tuned, held_out) if held_out else {})


def predict(net: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute class probabilities, (n, 28, 28) to (n, 10), with the net in evaluation mode."""
    net.eval()
    with torch.inference_mode():
        batches = torch.split(torch.from_numpy(x)[:, None], EVALUATION_BATCH)
        found = [net(batch).exp() for batch in batches]
    return torch.cat(found).numpy() if found else np.empty((0, 10), dtype=np.float32)


def evaluate(net: nn.Module, images: Images) -> dict[str, Any]:
    """Measure a net on labelled images: accuracy, recall per digit, calibration error."""
    probs = predict(net, images.x)
    predicted = probs.argmax(axis=1)
    return {
        "items": len(images),
        "accuracy": accuracy(predicted, images.y),
        "per_class_recall": per_class_recall(predicted, images.y).tolist(),
        "expected_calibration_error": expected_calibration_error(probs, images.y),
    }


def redraw(
    images: Images, copies: int, rng: np.random.Generator, how: Augmentation
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Augment every image `copies` times and frame the results as the server frames drawings."""
    framed: list[NDArray[np.float32]] = []
    labels: list[np.int64] = []
    for _ in range(copies):
        for drawn, label in zip(augment(images.x, rng, how), images.y, strict=True):
            try:
                framed.append(normalise(drawn))
            except InputError:  # the thinnest pen on the thinnest stroke can leave nothing
                continue
            labels.append(label)
    return np.stack(framed), np.array(labels, dtype=np.int64)


def _epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> float:
    net.train()
    losses = []
    for x, y in batches:
        loss = F.nll_loss(net(torch.from_numpy(x)[:, None]), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _shuffled(
    x: NDArray[np.float32], y: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> Batches:
    order = rng.permutation(len(y))
    for start in range(0, len(y), batch_size):
        rows = order[start : start + batch_size]
        yield x[rows], y[rows]


def _mixed(
    clean: Images, verified: Images, batch_size: int, mix: Mix, rng: np.random.Generator
) -> Batches:
    if mix == "foolings_only":
        yield from _shuffled(verified.x, verified.y, batch_size, rng)
    elif mix == "union":
        x, y = np.concatenate([clean.x, verified.x]), np.concatenate([clean.y, verified.y])
        yield from _shuffled(x, y, batch_size, rng)
    else:
        for x, y in _shuffled(clean.x, clean.y, batch_size // 2, rng):
            rows = rng.integers(len(verified), size=len(y))
            yield np.concatenate([x, verified.x[rows]]), np.concatenate([y, verified.y[rows]])


def _report(progress: Progress | None, epoch: int, epochs: int, loss: float) -> None:
    if progress is not None:
        progress((epoch + 1) / epochs, f"Epoch {epoch + 1} of {epochs}, loss {loss:.3f}")


def _platform() -> dict[str, Any]:
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}
