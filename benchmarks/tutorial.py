"""Verified foolings and gates against the tutorial's recipe: the same people, the same money.

    python -m benchmarks.tutorial --mnist DIR [--budget 150] [--seeds 3] [--plot FILE.svg]
    python -m benchmarks.tutorial --mnist DIR --rounds 3 --verified 500 --recipes '[{"epochs": 9}]'
    python -m benchmarks.tutorial --mnist DIR --rounds 1 --verified 280 --sevens 40

People alter MNIST digits (three tries each) until the model errs, and flag them; one label in ten
is wrong. The tutorial's app retrains on what was flagged, each 10 flags, on one person's word: on
those ten, or on all so far. Here validators, of whose answers one in twenty is wrong, are paid out
of the same budget, so that fewer are flagged; the library's recipe learns what they verify, and
gates decide. All begin with the library's net and are tested on 2,000 digits that nobody sends, as
they are and altered. With `--rounds` ours alone is played, to compare recipes: settings of the
learner; with `--sevens` so many plain sevens are verified as twos by people in league.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from kinds import Prepared
from kinds.image import distance
from kinds.image.pixels import InputError, normalise
from kinds.image.warps import warp
from ml import artifacts
from ml.backends.torch import TorchBackend
from ml.learners import Item, learner_named, read_base
from ml.learners.digits import DIGITS
from ml.learners.digits.data import Images, load_idx
from ml.learners.digits.net import SHAPE, DigitNet, Probabilities, read_weights
from ml.learners.digits.training import fine_tune
from training.evaluation import ask_both, paired
from training.gates import Breadth, GateSettings, judge
from training.nearby import nearby

LIBRARY: Final = Path(__file__).resolve().parent.parent / "dadc_server" / "library" / "digits"
EXAM: Final = 2_000
TRIES: Final = 3
WRONG_LABELS, WRONG_VOTES = 0.1, 0.05
FLAG, VOTE = 0.30, 0.05  # of money
AUTHORS: Final = 20
TEST_AUTHORS: Final = 4
EACH: Final = 10  # flags after which the tutorial retrains


@dataclass(frozen=True)
class Sent:
    """What somebody flagged: the picture as the server frames it, what it is, what they said."""

    x: Any
    truth: int
    label: int
    author: int


class World:
    """Digits to send, people who alter them, and an exam that nobody sends."""

    def __init__(self, mnist: Images, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        order = self.rng.permutation(len(mnist))
        self.stock, exam = mnist.take(order[EXAM:]), mnist.take(order[:EXAM])
        altered = Images(warp(exam.x, self.rng), exam.y, "altered")
        self.exams = {"clean": framed(exam), "altered": framed(altered)}
        self.submitted = self.fooled = 0
        self.usual: deque[Item] = deque(maxlen=2_000)

    def flags(self, model: Callable[[], DigitNet]) -> Iterator[Sent]:
        """Foolings of the model of the moment, from real digits in any order."""
        while True:
            for rows in np.array_split(self.rng.permutation(len(self.stock)), 60):
                asked, begun = model(), self.stock.take(np.repeat(rows, TRIES))
                tried = framed(Images(warp(begun.x, self.rng), begun.y, "tried"))
                said = probabilities(asked, tried).argmax(axis=1)
                for first in range(0, len(tried), TRIES):
                    if model() is not asked:  # another serves now: the rest is of the old one
                        break
                    yield from self._sent(tried, said, first)

    def _sent(self, tried: Images, said: Any, first: int) -> Iterator[Sent]:
        """What somebody makes of one digit: the first that fools, or the last and no flag."""
        truth = int(tried.y[first])
        found = next((n for n in range(first, first + TRIES) if said[n] != truth), None)
        self.submitted += 1
        if found is None:
            self.usual.append(Item(Prepared("", tried.x[first + TRIES - 1]), str(truth)))
            return
        self.fooled += 1
        label = truth
        if self.rng.random() < WRONG_LABELS:
            label = int(self.rng.choice([n for n in range(10) if n != truth]))
        if label != said[found]:  # what is taken for what it is fools nobody
            yield Sent(tried.x[found], truth, label, int(self.rng.integers(AUTHORS)))

    def votes_on(self, sent: Sent) -> tuple[bool, int]:
        """Whether two of two, or of three, confirm it, and how many were asked."""
        votes = [self._vote(sent.truth) for _ in range(2)]
        if votes[0] != votes[1]:
            votes.append(self._vote(sent.truth))
        return votes.count(sent.label) >= 2, len(votes)

    def _vote(self, truth: int) -> int:
        return int(self.rng.integers(10)) if self.rng.random() < WRONG_VOTES else truth

    def marks(self, net: DigitNet) -> dict[str, float]:
        """Percent right."""
        return {
            name: 100 * float((probabilities(net, exam).argmax(axis=1) == exam.y).mean())
            for name, exam in self.exams.items()
        }


@dataclass
class Ours:
    """A model that learns what is verified, where gates let it."""

    net: DigitNet
    clean: Images
    held_out: Images
    recipe: dict[str, Any]
    gates: GateSettings
    seed: int
    known: list[Sent] = field(default_factory=list)
    new: list[Sent] = field(default_factory=list)
    usual: list[Item] = field(default_factory=list)
    """What was sent lately and fooled nobody."""

    def retrain(self) -> list[str]:
        """Learn, be judged, and be promoted or not; the gates that said no."""
        tests = [one for one in self.new if one.author < TEST_AUTHORS]
        learned = [one for one in self.known + self.new if one.author >= TEST_AUTHORS]
        candidate, _ = fine_tune(
            self.net, self.clean, images_of(learned), seed=self.seed, **self.recipe
        )
        both = backend(self.net), backend(candidate)
        clean = ask_both(*both, items(self.held_out))
        new = [one for one in self.new if one.author >= TEST_AUTHORS]
        near = nearby(
            ask_both(*both, items(images_of(new))),
            [*clean, *ask_both(*both, [*items(self.clean), *self.usual])],
            distance,
            nearest=self.gates.nearby_items,
            least=self.gates.nearby_learned,
        )
        self.falls = {one.label: round(one.fall, 1) for one in near}
        earlier = [one for one in self.known if one.author < TEST_AUTHORS]
        results = judge(
            paired(clean),
            {1: paired(ask_both(*both, items(images_of(earlier))))} if earlier else {},
            paired(ask_both(*both, items(images_of(tests)))),
            verified=len(self.new),
            shared_authors=set(),
            train=Breadth(AUTHORS - TEST_AUTHORS, len(learned)),
            held_out=Breadth(TEST_AUTHORS, len(tests)),
            near=near,
            settings=self.gates,
        )
        failed = [one.name for one in results if not one.passed]
        self.candidate = candidate
        self.net = self.net if failed else candidate
        self.known, self.new = self.known + self.new, []  # a refused run has used them, too
        return failed


def probabilities(net: DigitNet, images: Images) -> Any:
    return backend(net).probabilities(images.x)


def backend(net: DigitNet) -> TorchBackend:
    return TorchBackend(Probabilities(net), DIGITS, SHAPE)


def items(images: Images) -> list[Item]:
    return [Item(Prepared("", x), str(y)) for x, y in zip(images.x, images.y, strict=True)]


def images_of(sent: Sequence[Sent]) -> Images:
    if not sent:
        return Images(np.empty((0, 28, 28), np.float32), np.empty(0, np.int64), "none")
    x = np.stack([one.x for one in sent])
    return Images(x, np.array([one.label for one in sent], np.int64), "flagged")


def framed(images: Images) -> Images:
    """As the server frames what is drawn or uploaded."""
    x = images.x.copy()
    for row, image in enumerate(images.x):
        try:
            x[row] = normalise(image)
        except InputError:
            x[row] = image
    return Images(x, images.y, images.source)


def shipped() -> tuple[DigitNet, Images, Images]:
    """The library's net with its clean data."""
    made = json.loads((LIBRARY / "model.json").read_text())
    base = read_base(learner_named("digits"), made["config"]["base"], LIBRARY)
    parts = (base.train, base.held_out)
    clean, held_out = (
        Images(
            np.stack([item.prepared.features for item in part]),
            np.array([int(item.label) for item in part]),
            "clean",
        )
        for part in parts
    )
    return read_weights(artifacts.load(LIBRARY / made["artifact"], made["sha256"])), clean, held_out


# --- the comparison -------------------------------------------------------------------------------
def tutorials(world: World, budget: float, *, all_so_far: bool) -> list[tuple[float, Any]]:
    """What a model of the tutorial's recipe is right in, by what was spent."""
    net, clean, _ = shipped()
    course, flagged = [(0.0, world.marks(net))], []
    flags = world.flags(lambda: net)
    while (len(flagged) + EACH) * FLAG <= budget:
        flagged += [next(flags) for _ in range(EACH)]
        learned = images_of(flagged if all_so_far else flagged[-EACH:])
        net, _ = fine_tune(
            net, clean, learned, seed=0, mix="foolings_only", blend=1.0, epochs=5, batch_size=EACH
        )
        if len(flagged) % 100 == 0:
            course.append((len(flagged) * FLAG, world.marks(net)))
    return course


def ours(world: World, budget: float, trigger: int) -> list[tuple[float, Any]]:
    net, clean, held_out = shipped()
    learner = Ours(net, clean, held_out, {}, GateSettings(min_verified=trigger), 0)
    course, spent = [(0.0, world.marks(net))], 0.0
    for sent in world.flags(lambda: learner.net):
        verified, votes = world.votes_on(sent)
        spent += FLAG + votes * VOTE
        if verified:
            learner.new.append(sent)
        if len(learner.new) >= trigger:
            learner.usual = list(world.usual)
            failed = learner.retrain()
            end = "refused: " + ", ".join(failed) if failed else "promoted"
            print(f"  ours at {spent:.0f}: {end}")
            course.append((spent, world.marks(learner.net)))
        if spent >= budget:
            return course
    raise AssertionError


def compare(mnist: Images, asked: argparse.Namespace) -> None:
    arms: dict[str, Callable[[World], list[tuple[float, Any]]]] = {
        "tutorial, the ten": lambda world: tutorials(world, asked.budget, all_so_far=False),
        "tutorial, all so far": lambda world: tutorials(world, asked.budget, all_so_far=True),
        "verified, with gates": lambda world: ours(world, asked.budget, asked.trigger),
    }
    ends: dict[str, list[Any]] = {name: [] for name in arms}
    rows = []
    for seed in range(asked.seeds):
        for name, play in arms.items():
            course = play(World(mnist, seed))
            ends[name].append(course[-1][1])
            rows += [(name, seed, spent, *marks.values()) for spent, marks in course]
            print(f"seed {seed}, {name}: {course[0][1]} -> {course[-1][1]}", flush=True)
    print("\n| recipe | clean | altered |\n|---|---|---|")
    for name, marks in ends.items():
        cells = [[one[exam] for one in marks] for exam in ("clean", "altered")]
        told = " | ".join(f"{np.mean(c):.1f} ({min(c):.1f} to {max(c):.1f})" for c in cells)
        print(f"| {name} | {told} |")
    if asked.plot:
        draw(rows, asked.plot)


def draw(rows: list[tuple[Any, ...]], file: str) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), sharex=True)
    colours = dict(zip(dict.fromkeys(row[0] for row in rows), ("C1", "C3", "C0"), strict=False))
    for at, (ax, exam) in enumerate(zip(axes, ("clean", "altered"), strict=True), start=3):
        for name, seed in dict.fromkeys(row[:2] for row in rows):
            course = [row for row in rows if row[:2] == (name, seed)]
            label = name if seed == 0 else None
            xs, ys = [row[2] for row in course], [row[at] for row in course]
            ax.plot(xs, ys, color=colours[name], lw=1, marker=".", label=label)
        ax.set(title=f"right on {exam} digits", xlabel="spent", ylabel="%")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file)


# --- recipes --------------------------------------------------------------------------------------
def rounds(mnist: Images, asked: argparse.Namespace) -> None:
    for seed in range(asked.seeds):
        began, world = time.process_time(), World(mnist, seed)
        net, clean, held_out = shipped()
        first = collected(world, lambda net=net: net, asked.verified)
        first += in_league(world, net, asked.sevens)
        print(f"\nseed {seed}: {told(world.marks(net))}; {time.process_time() - began:.0f} s")
        for recipe in json.loads(asked.recipes):
            gates = GateSettings(**json.loads(asked.gates))
            learner = Ours(net, clean, held_out, recipe, gates, seed, new=list(first))
            here = copy.deepcopy(world)
            for number in range(1, asked.rounds + 1):
                if number > 1:
                    here.submitted = here.fooled = 0
                    learner.new = collected(here, lambda one=learner: one.net, asked.verified)
                began, rate = time.process_time(), here.fooled / here.submitted
                learner.usual = list(here.usual)
                failed = learner.retrain()
                end = "refused: " + ", ".join(failed) if failed else "promoted"
                worst = sorted(learner.falls.items(), key=lambda fall: -fall[1])[:3]
                print(
                    f"  {recipe} round {number}: fooling rate {rate:.1%}; candidate "
                    f"{told(here.marks(learner.candidate))}; {end}; falls {worst}; "
                    f"sevens read as twos {as_twos(here, learner.candidate):.1f}; "
                    f"{time.process_time() - began:.0f} s",
                    flush=True,
                )


def in_league(world: World, net: DigitNet, sevens: int) -> list[Sent]:
    """Plain sevens that the model reads, said to be twos, and verified by friends."""
    plain = world.stock.take(np.flatnonzero(world.stock.y == 7)[: 2 * sevens])
    read = plain.take(np.flatnonzero(probabilities(net, plain).argmax(axis=1) == 7)[:sevens])
    return [Sent(x, 2, 2, TEST_AUTHORS) for x in read.x]


def as_twos(world: World, net: DigitNet) -> float:
    """Percent of the exam's plain sevens."""
    exam = world.exams["clean"]
    sevens = exam.take(np.flatnonzero(exam.y == 7))
    return 100 * float((probabilities(net, sevens).argmax(axis=1) == 2).mean())


def collected(world: World, model: Callable[[], DigitNet], verified: int) -> list[Sent]:
    flags = world.flags(model)
    found: list[Sent] = []
    while len(found) < verified:
        sent = next(flags)
        if world.votes_on(sent)[0]:
            found.append(sent)
    return found


def told(marks: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in marks.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=150)
    parser.add_argument("--trigger", type=int, default=50, help="verified foolings of a retraining")
    parser.add_argument("--plot", metavar="FILE.svg")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument(
        "--half", type=int, choices=(0, 1), help="of MNIST: choose on one, confirm on the other"
    )
    parser.add_argument("--verified", type=int, default=500, help="of each round")
    parser.add_argument("--sevens", type=int, default=0, help="that are taught as twos")
    parser.add_argument("--recipes", default="[{}]", help="a JSON list of settings")
    parser.add_argument("--gates", default="{}", help="what differs from the usual gates, as JSON")
    asked = parser.parse_args()
    mnist = load_idx(asked.mnist)
    if asked.half is not None:
        mnist = mnist.take(np.arange(asked.half, len(mnist), 2))
    (rounds if asked.rounds else compare)(mnist, asked)


if __name__ == "__main__":
    main()
