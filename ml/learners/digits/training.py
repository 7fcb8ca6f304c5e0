"""Training the net: the first model from clean images, the next one from foolings."""

import copy
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from kinds.image.pixels import InputError, normalise
from ml.attacks import fgsm, pgd
from ml.learners import Checkpoint, Progress
from ml.learners.digits.augmentation import Augmentation, augment
from ml.learners.digits.data import Images
from ml.learners.digits.net import DigitNet
from ml.repeatable import repeatable

Mix = Literal["half", "union", "foolings_only"]
Batches = Iterator[tuple[NDArray[np.float32], NDArray[Any]]]
Also = Callable[[nn.Module, int], Tensor]

EPOCH_IMAGES: Final = 13_000
AUGMENTED_AT_ONCE: Final = 128  # stays in the processor's cache: twice as fast as all at once


Made = tuple[DigitNet, dict[str, Any]]  # in evaluation mode; all that it takes to make it again


def train_base(
    images: Images,
    *,
    seed: int,
    epochs: int = 12,
    copies: int | None = None,
    batch_size: int = 128,
    learning_rate: float = 8e-3,
    how: Augmentation | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> Made:
    """Train the digits net from scratch on fresh augmentations: `copies` of each image an epoch.

    By default as many copies as make an epoch of about 13,000 images, and at least one. AdamW
    under a one-cycle schedule. Uses one thread; the same seed and torch build give the same
    weights bit by bit. `progress` hears (fraction, sentence) after every epoch and may raise to
    cancel; what goes on from a `checkpoint` gives the same.
    """
    how = how or Augmentation()
    copies = copies or max(1, round(EPOCH_IMAGES / len(images)))
    rng = np.random.default_rng(seed)
    with repeatable(seed):
        net = DigitNet()
        optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.01)
        steps = epochs * -(-copies * len(images) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps)
        course = _Course(net, optimizer, rng, checkpoint, schedule)
        for epoch in range(course.resume(), epochs):
            x, y = redraw(images, copies, rng, how)
            loss = _epoch(net, optimizer, _shuffled(x, y, batch_size, rng), schedule)
            course.end_epoch(epoch)
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
        "torch": torch.__version__,
    }
    return net, config


def fine_tune(
    net: DigitNet,
    clean: Images,
    verified: Images,
    *,
    seed: int,
    epochs: int = 5,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    momentum: float = 0.5,
    mix: Mix = "half",
    blend: float = 0.5,
    epoch_images: int = 4_300,
    attacked: float = 0,
    attack_reach: float = 0.1,
    attack_steps: int = 1,
    patience: int | None = None,
    generated: float = 0,
    made_up: Images | None = None,
    how: Augmentation | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> Made:
    """Continue training a copy of `net` with verified foolings; the given net is left alone.

    `half` fills each batch half with clean and half with verified images; `union` shuffles both
    at their natural ratio; `foolings_only` is the negative control that forgets. An epoch takes
    `epoch_images` fresh augmentations of clean images. The result lies the share `blend` of the
    way from the old weights to the tuned ones (Wortsman et al., "Robust fine-tuning of zero-shot
    models", 2022), which keeps most of the gain and forgets much less than all the way, 1. The
    share `attacked` of each batch is learned as an attack on the net of that moment leaves it.
    With `patience` a tenth of both is held back, and the weights of the epoch that does best there
    are taken, once so many epochs were no better. To each batch's loss that on as many `made_up`
    images is added, `generated` times (Defuse, arXiv 2102.06162). Reproducible and cancelled as
    `train_base`; what goes on from a `checkpoint` gives the same.
    """
    if len(verified) == 0:
        raise ValueError("There are no verified examples to train on.")
    how = how or Augmentation()
    tuned = copy.deepcopy(net)
    rng = np.random.default_rng(seed)
    with repeatable(seed):
        optimizer = torch.optim.SGD(tuned.parameters(), lr=learning_rate, momentum=momentum)
        course, back = _Course(tuned, optimizer, rng, checkpoint), None
        if patience is not None:
            verified, back_of_verified = _hold_back(verified, seed)
            clean, back_of_clean = _hold_back(clean, seed)
            back = [back_of_verified, back_of_clean]
        for epoch in range(course.resume(), epochs):
            if patience is not None and course.since >= patience:
                break
            batches = _mixed(clean, verified, batch_size, mix, epoch_images, rng, how)
            if attacked:
                attack = Attack(attack_reach, attack_steps, torch.Generator().manual_seed(seed))
                batches = _attacked(tuned, batches, attacked, attack)
            loss = _epoch(tuned, optimizer, batches, also=_beside(made_up, generated, rng))
            course.end_epoch(epoch, back)
            _report(progress, epoch, epochs, loss)
        course.take_best()
        with torch.no_grad():
            for weight, old in zip(tuned.parameters(), net.parameters(), strict=True):
                weight.lerp_(old, 1 - blend)
    tuned.eval()
    config = {
        "net": "digits",
        "kind": "fine_tune",
        "source": clean.source,
        "clean_images": len(clean),
        "verified_images": len(verified),
        "seed": seed,
        "epochs": epochs,
        "patience": patience,
        "epoch_images": epoch_images,
        "batch_size": batch_size,
        "optimizer": "SGD",
        "learning_rate": learning_rate,
        "momentum": momentum,
        "mix": mix,
        "blend": blend,
        "attacked": attacked,
        "attack_reach": attack_reach,
        "attack_steps": attack_steps,
        "generated": generated,
        "made_up_images": len(made_up) if made_up is not None else 0,
        "augmentation": asdict(how),
        "torch": torch.__version__,
    }
    return tuned, config


def redraw(
    images: Images, copies: int, rng: np.random.Generator, how: Augmentation | None = None
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Augment every image `copies` times and frame the results as the server frames drawings."""
    x, rows = redrawn(images, copies, rng, how)
    return x, images.y[rows]


def redrawn(
    images: Images, copies: int, rng: np.random.Generator, how: Augmentation | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The same, with the row that each was made from."""
    framed: list[NDArray[np.float32]] = []
    found: list[int] = []
    rows = np.tile(np.arange(len(images)), copies)
    for start in range(0, len(rows), AUGMENTED_AT_ONCE):
        part = rows[start : start + AUGMENTED_AT_ONCE]
        for drawn, row in zip(augment(images.take(part).x, rng, how), part, strict=True):
            try:
                framed.append(normalise(drawn))
            except InputError:  # the thinnest pen on the thinnest stroke can leave nothing
                continue
            found.append(row)
    return np.stack(framed), np.array(found, dtype=np.int64)


def _epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    also: Also | None = None,
) -> float:
    net.train()
    losses = []
    for x, y in batches:
        loss = _lost(net(torch.from_numpy(x)[:, None]), torch.from_numpy(y))
        if also is not None:
            loss = loss + also(net, len(y))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def _lost(said: Tensor, y: Tensor) -> Tensor:
    """The mean loss of log-probabilities, on labels or on shares of them."""
    return F.nll_loss(said, y) if y.dim() == 1 else -(y * said).sum(1).mean()


def _beside(made_up: Images | None, weight: float, rng: np.random.Generator) -> Also | None:
    """The weighed loss on so many images of these, chosen by lot."""
    if made_up is None or not len(made_up) or not weight:
        return None

    def loss(net: nn.Module, many: int) -> Tensor:
        some = made_up.take(rng.integers(len(made_up), size=many))
        said = net(torch.from_numpy(some.x)[:, None])
        return weight * F.nll_loss(said, torch.from_numpy(some.y))

    return loss


def _shuffled(
    x: NDArray[np.float32], y: NDArray[Any], batch_size: int, rng: np.random.Generator
) -> Batches:
    order = rng.permutation(len(y))
    for start in range(0, len(y), batch_size):
        rows = order[start : start + batch_size]
        yield x[rows], y[rows]


def _mixed(
    clean: Images,
    verified: Images,
    batch_size: int,
    mix: Mix,
    epoch_images: int,
    rng: np.random.Generator,
    how: Augmentation,
) -> Batches:
    if mix == "foolings_only":
        yield from _shuffled(verified.x, verified.y, batch_size, rng)
        return
    # The clean images as they are would teach the net that nobody writes otherwise.
    clean_x, clean_y = redraw(clean.take(_rows(len(clean), epoch_images, rng)), 1, rng, how)
    if verified.y.ndim == 2:  # as shares, too
        clean_y = np.eye(verified.y.shape[1], dtype=np.float32)[clean_y]
    if mix == "half":
        for x, y in _shuffled(clean_x, clean_y, batch_size // 2, rng):
            rows = rng.integers(len(verified), size=len(y))
            yield np.concatenate([x, verified.x[rows]]), np.concatenate([y, verified.y[rows]])
    elif mix == "union":
        share = max(1, round(epoch_images * len(verified) / len(clean)))
        rows = _rows(len(verified), share, rng)
        x = np.concatenate([clean_x, verified.x[rows]])
        yield from _shuffled(x, np.concatenate([clean_y, verified.y[rows]]), batch_size, rng)
    else:
        raise ValueError(f"There is no mix {mix!r}: half, union or foolings_only.")


class _Course:
    """How far a training is, kept after each epoch, and the best weights so far."""

    def __init__(
        self,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
        checkpoint: Checkpoint | None,
        schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    ) -> None:
        self._net, self._optimizer, self._rng, self._checkpoint = net, optimizer, rng, checkpoint
        self._schedule = schedule
        self.since, self._least = 0, float("inf")
        self._best: dict[str, Any] | None = None

    def resume(self) -> int:
        """The epoch to go on with."""
        kept = self._checkpoint and self._checkpoint.read()
        if not kept:
            return 0
        state = torch.load(io.BytesIO(kept), weights_only=True)
        self._net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["lots"])
        self._rng.bit_generator.state = json.loads(state["rng"])
        if self._schedule is not None:
            self._schedule.load_state_dict(state["schedule"])
        self.since, self._least, self._best = state["since"], state["least"], state["best"]
        return int(state["epochs"])

    def end_epoch(self, epoch: int, back: Sequence[Images] | None = None) -> None:
        if back is not None:
            loss = _loss(self._net, back)
            self.since = 0 if loss < self._least else self.since + 1
            if not self.since:
                self._least, self._best = loss, copy.deepcopy(self._net.state_dict())
        if self._checkpoint is None:
            return
        stream = io.BytesIO()
        torch.save(
            {
                "epochs": epoch + 1,
                "net": self._net.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "lots": torch.get_rng_state(),
                "rng": json.dumps(self._rng.bit_generator.state),
                "since": self.since,
                "least": self._least,
                "best": self._best,
                "schedule": self._schedule and self._schedule.state_dict(),
            },
            stream,
        )
        self._checkpoint.keep(stream.getvalue())

    def take_best(self) -> None:
        if self._best is not None:
            self._net.load_state_dict(self._best)


def _hold_back(images: Images, seed: int) -> tuple[Images, Images]:
    """Nine tenths and one, of one image all and none."""
    order = np.random.default_rng([seed, 1]).permutation(len(images))
    many = len(images) // 10
    return images.take(order[many:]), images.take(order[:many])


def _loss(net: nn.Module, back: Sequence[Images]) -> float:
    """The mean of the losses on each of these as they are."""
    net.eval()
    with torch.no_grad():
        losses = [
            _lost(net(torch.from_numpy(one.x)[:, None]), torch.from_numpy(one.y)).item()
            for one in back
            if len(one)
        ]
    return float(np.mean(losses))


@dataclass(frozen=True)
class Attack:
    reach: float
    steps: int
    lots: torch.Generator

    def on(self, net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """What it makes of images, (n, 28, 28), for the net as it would serve."""
        net.eval()

        def scores(images: Tensor) -> Tensor:
            found: Tensor = net(images[:, None])
            return found

        if self.steps == 1:
            return fgsm(scores, x, y, reach=self.reach)
        step = 2.5 * self.reach / self.steps  # Madry's: far enough to go all the way and back
        return pgd(scores, x, y, reach=self.reach, step=step, steps=self.steps, lots=self.lots)


def _attacked(net: nn.Module, batches: Batches, share: float, attack: Attack) -> Batches:
    """The batches, of each of which every so many images are attacked as their turn comes."""
    for x, y in batches:
        here = np.linspace(0, len(y) - 1, round(share * len(y)), dtype=np.int64)
        if len(here):
            x, likeliest = x.copy(), y if y.ndim == 1 else y.argmax(axis=1)
            labels = torch.from_numpy(likeliest[here])
            x[here] = attack.on(net, torch.from_numpy(x[here]), labels).numpy()
            net.train()
        yield x, y


def _rows(available: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose rows as evenly as can be: nothing comes again before everything came once."""
    rounds = [rng.permutation(available) for _ in range(-(-wanted // available))]
    return np.concatenate(rounds)[:wanted]


def _report(progress: Progress | None, epoch: int, epochs: int, loss: float) -> None:
    if progress is not None:
        progress((epoch + 1) / epochs, f"Epoch {epoch + 1} of {epochs}, loss {loss:.3f}")
