"""Inputs that nobody made and that a model gets wrong: ideas where to look, and no promise.

After Defuse (arXiv 2102.06162), written afresh. An autoencoder that is told the label learns what
clean inputs look like; its codes are moved a little, and kept is what they decode to where the
model reads it otherwise while three judges, each trained apart, all read the label. Without the
judges most of what is kept is no error. Knows arrays from 0 to 1 of any one shape of two sides;
whose they are, and how clean ones are redrawn, is their learner's affair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import Refused
from kinds import Kind, Prepared
from ml.artifacts import LoadedArtifact
from ml.backends.torch import module_of, one_torch_thread
from ml.learners import Base, learner_named
from ml.regions import alike

CLEAN: Final = 14_000  # inputs that are learned from, redrawn as often as that takes
LEAST: Final = 8  # inputs that make a region
MOST: Final = 20  # regions, the largest
CODES, HIDDEN, CODE_WEIGHT = 12, 400, 0.5
BATCH: Final = 64
EPOCHS, RATE = 10, 3e-3
JUDGES, JUDGE_EPOCHS, JUDGE_RATE = 3, 3, 6e-3  # right on 95 % of redrawn writers they left out
SURE: Final = 0.8  # each judge, of the label
TRIES: Final = 8  # moved codes of each clean input
REACH: Final = 0.8  # how far at most a code moves in each direction; clean ones have deviation 1
OF_EACH: Final = 5  # of one clean input, those that moved least

Array = NDArray[np.float32]
Places = NDArray[np.int64]
Model = Callable[[Tensor], Tensor]
"""From (n, …) inputs to (n, K) scores or probabilities."""
Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Made:
    """Made-up inputs as their kind reads them, each with its label, what the model answers (places
    among its labels), and the clean input that it was moved from."""

    inputs: Sequence[Prepared]
    labels: Places
    answers: Places
    origins: Places

    @property
    def features(self) -> Array:
        return np.stack([one.features for one in self.inputs])

    def take(self, rows: Sequence[int] | Places) -> Made:
        inputs = [self.inputs[row] for row in rows]
        chosen = np.asarray(rows, np.int64)
        return Made(inputs, self.labels[chosen], self.answers[chosen], self.origins[chosen])

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.labels.tolist(), self.answers.tolist(), strict=True))

    def regions(self) -> list[tuple[int, int]]:
        """The (label, answer) pairs of enough inputs, the largest first."""
        counts = Counter(self.pairs)
        enough = [pair for pair, count in counts.items() if count >= LEAST]
        return sorted(enough, key=lambda pair: (-counts[pair], pair))[:MOST]


def make_up(
    artifact: LoadedArtifact, base: Base, kind: Kind, *, seed: int, tell: Tell = lambda *_: None
) -> Made:
    """What this model gets wrong of inputs like the clean ones.

    The same seed gives the same on one build of torch.
    """
    redrawn: Any = learner_named(artifact.learner).redrawn  # type: ignore[attr-defined]
    copies = max(1, round(CLEAN / len(base.train)))
    tell(0.0, f"Redrawing {len(base.train):,} clean {kind.words.things}.")
    clean, origins = redrawn(base.train, copies=copies, seed=seed)
    places = {label: place for place, label in enumerate(artifact.labels)}
    of_items = np.array([places[item.label] for item in base.train])
    x, y = torch.from_numpy(clean), torch.from_numpy(of_items[origins])
    model, _ = module_of(artifact)
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = (x.shape[1:], len(places))
        maker = _maker(_Maker(*shape), x, y, _within(tell, "Learning to make.", 0.1, 0.4))
        judges = []
        for number in range(JUDGES):
            # Each leaves out others of the clean inputs.
            rows = torch.from_numpy(np.flatnonzero(origins % JUDGES != number))
            heard = _within(tell, f"Training judge {number + 1}.", 0.5 + 0.1 * number, 0.1)
            judges.append(_judge(*shape, x[rows], y[rows], heard))
        tries = []
        for turn in range(TRIES):
            tell(0.8 + 0.2 * turn / TRIES, f"Moving codes: {turn + 1} of {TRIES}.")
            tries.append(_moved(maker, model, judges, x, y, origins, kind))
    return _nearest(_joined([made for made, _ in tries]), np.concatenate([far for _, far in tries]))


def _within(tell: Tell, words: str, start: float, share: float) -> Callable[[float], None]:
    return lambda done: tell(start + share * done, words)


def is_read(judges: Sequence[Model], x: Tensor, y: Tensor) -> Tensor:
    """Whether each judge is sure of the label."""
    each = [torch.softmax(judge(x), 1).gather(1, y[:, None])[:, 0] >= SURE for judge in judges]
    return torch.stack(each).all(0)


class _Maker(nn.Module):
    """A conditional variational autoencoder: two layers in, two out."""

    def __init__(self, shape: torch.Size, labels: int) -> None:
        super().__init__()
        self.shape, self.labels, size = shape, labels, shape.numel()
        self.inside = nn.Sequential(
            nn.Linear(size + labels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * CODES)
        )
        self.outside = nn.Sequential(
            nn.Linear(CODES + labels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, size)
        )

    def codes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of each code."""
        told = torch.cat([x.flatten(1), F.one_hot(y, self.labels)], 1)
        mean, spread = self.inside(told).chunk(2, 1)
        return mean, spread

    def scores(self, codes: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.outside(torch.cat([codes, F.one_hot(y, self.labels)], 1))
        return found

    def decoded(self, codes: Tensor, y: Tensor) -> Tensor:
        return torch.sigmoid(self.scores(codes, y)).reshape(-1, *self.shape)


def _maker(maker: _Maker, x: Tensor, y: Tensor, tell: Callable[[float], None]) -> _Maker:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        mean, spread = maker.codes(x, y)
        codes = mean + torch.exp(spread / 2) * torch.randn_like(mean)
        lost = F.binary_cross_entropy_with_logits(
            maker.scores(codes, y), x.flatten(1), reduction="sum"
        )
        apart = -0.5 * (1 + spread - mean**2 - spread.exp()).sum()
        return (lost + CODE_WEIGHT * apart) / len(x)

    _fit(maker, loss, x, y, EPOCHS, RATE, tell)
    return maker


def _judge(
    shape: torch.Size, labels: int, x: Tensor, y: Tensor, tell: Callable[[float], None]
) -> nn.Module:
    """A convolutional net that is twice as wide as ours and has seen nothing of the model."""

    middle, spread = x.mean(), x.std()

    class Net(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = super().forward((x[:, None] - middle) / spread)  # type: ignore[no-untyped-call]
            return found

    net = Net(
        nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.LazyLinear(100), nn.ReLU(),
        nn.Linear(100, labels),
    )  # fmt: skip
    net(torch.zeros(1, *shape))
    _fit(net, lambda x, y: F.cross_entropy(net(x), y), x, y, JUDGE_EPOCHS, JUDGE_RATE, tell)
    return net


def _fit(
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    epochs: int,
    rate: float,
    tell: Callable[[float], None],
) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    steps = epochs * -(-len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    for epoch in range(epochs):
        tell(epoch / epochs)
        for rows in torch.split(torch.randperm(len(y)), BATCH):
            optimizer.zero_grad()
            loss(x[rows], y[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    net.eval()


def _moved(
    maker: _Maker, model: Model, judges: Sequence[Model], x: Tensor, y: Tensor, origins: Places,
    kind: Kind,
) -> tuple[Made, Array]:  # fmt: skip
    """One try of each clean input, as far as it is an error; and how far its code had moved."""
    kept, far = [], []
    with torch.inference_mode():
        for rows in torch.split(torch.arange(len(y)), 1_000):
            mean, _ = maker.codes(x[rows], y[rows])
            shift = REACH * (2 * torch.rand_like(mean) - 1)
            made = maker.decoded(mean + shift, y[rows])
            wrong = _wrong(model, judges, made, y[rows])
            # As it would be sent: eight bits a place, framed as the kind frames it.
            read = [(row, _read(kind, made[row].numpy())) for row in wrong.tolist()]
            found = [(row, one) for row, one in read if one is not None]
            if not found:
                continue
            here, inputs = torch.tensor([row for row, _ in found]), [one for _, one in found]
            sent, label = torch.from_numpy(np.stack([i.features for i in inputs])), y[rows][here]
            stays = _wrong(model, judges, sent, label)
            kept.append(
                Made(
                    [inputs[place] for place in stays.tolist()],
                    label[stays].numpy(),
                    model(sent[stays]).argmax(1).numpy(),
                    origins[rows[here[stays]].numpy()],
                )
            )
            far.append(shift[here[stays]].norm(dim=1).numpy())
    return _joined(kept), np.concatenate([*far, np.empty(0, np.float32)])


def _wrong(model: Model, judges: Sequence[Model], x: Tensor, y: Tensor) -> Tensor:
    """The rows that the model reads otherwise, and every judge as the label says."""
    wrong = torch.nonzero(model(x).argmax(1) != y)[:, 0]
    return wrong[is_read(judges, x[wrong], y[wrong])] if len(wrong) else wrong


def _read(kind: Kind, features: Array) -> Prepared | None:
    try:
        return kind.parse(kind.raw(features))
    except Refused:  # nothing to see in it
        return None


def _joined(parts: Sequence[Made]) -> Made:
    none = np.empty(0, np.int64)
    return Made(
        [one for part in parts for one in part.inputs],
        np.concatenate([none, *(part.labels for part in parts)]),
        np.concatenate([none, *(part.answers for part in parts)]),
        np.concatenate([none, *(part.origins for part in parts)]),
    )


def _nearest(made: Made, far: Array) -> Made:
    """Those that had moved least, a few of each clean input and pair, nearest first."""
    of_each, chosen, pairs = Counter[tuple[int, ...]](), [], made.pairs
    for row in np.argsort(far, kind="stable").tolist():
        key = (int(made.origins[row]), *pairs[row])
        if of_each[key] < OF_EACH:
            of_each[key] += 1
            chosen.append(row)
    return made.take(chosen)


def stability(one: Made, other: Made) -> float:
    """Adjusted Rand index: all that two seeds made, as the regions of each part it.

    What is in no region of a seed is together, as one group.
    """

    def parted(by: Made) -> list[int]:
        number = {pair: place for place, pair in enumerate(by.regions())}
        return [number.get(pair, -1) for pair in one.pairs + other.pairs]

    return alike(parted(one), parted(other))
