"""Train the base digits model, measure it on real MNIST, and measure what foolings teach it.

    python -m benchmarks.digits_base --mnist DIR [--seed 0] [--threads 1] [--mixes]

DIR holds MNIST's IDX files, which are measured on and never trained on. `--mixes` also compares
ways of mixing 500 verified foolings into the training. Tables are Markdown, on stdout.
"""

import argparse
import sys
import time
from typing import Any

import numpy as np
import torch

from kinds import Prepared
from kinds.image.pixels import InputError, normalise
from kinds.image.warps import warp
from ml.backends.torch import TorchBackend
from ml.learners.digits import DIGITS
from ml.learners.digits.data import Images, load_idx, load_sklearn, split_clean
from ml.learners.digits.net import SHAPE, DigitNet, Probabilities
from ml.learners.digits.training import fine_tune, train_base
from ml.metrics import figures

FOOLINGS = 500
MIX_SEEDS = (0, 1, 2)


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    mnist = load_idx(arguments.mnist)
    train, held_out = split_clean(load_sklearn(), arguments.seed)
    wall, cpu = time.perf_counter(), time.process_time()
    base, _ = train_base(train, seed=arguments.seed, progress=show)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"Trained on {len(train)} images, seed {arguments.seed}, {arguments.threads} thread(s):")
    print(f"{wall:.0f} s, {cpu:.0f} s of processor time.\n")
    recall_table(base, held_out, mnist)
    if arguments.mixes:
        for served in (True, False):
            mixing_table(base, train, held_out, mnist, served=served)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", required=True, help="folder with MNIST's IDX files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mixes", action="store_true", help="also compare mixes of foolings")
    return parser.parse_args()


def show(fraction: float, sentence: str) -> None:
    print(f"\r{fraction:4.0%} {sentence}", end="\n" if fraction == 1 else "", file=sys.stderr)


def recall_table(base: DigitNet, held_out: Images, mnist: Images) -> None:
    rows = {
        f"held-out scikit-learn ({len(held_out)})": evaluate(base, held_out),
        f"MNIST ({len(mnist)})": evaluate(base, mnist),
        "MNIST as served": evaluate(base, framed(mnist)),
    }
    print("| data | all | " + " | ".join(map(str, range(10))) + " | ECE |")
    print("|---" * 13 + "|")
    for name, measured in rows.items():
        cells = [measured["accuracy"], *measured["per_class_recall"]]
        percents = " | ".join(f"{100 * cell:.1f}" for cell in cells)
        print(f"| {name} | {percents} | {measured['expected_calibration_error']:.3f} |")
    print()


def mixing_table(
    base: DigitNet, train: Images, held_out: Images, mnist: Images, *, served: bool
) -> None:
    """Compare mixes by accuracy on clean and warped images, mean over seeds of foolings."""
    settings = {
        "foolings only, all the way (negative control)": {"mix": "foolings_only", "blend": 1.0},
        "half and half, all the way": {"mix": "half", "blend": 1.0},
        "half and half, half the way (default)": {"mix": "half", "blend": 0.5},
        "union, half the way": {"mix": "union", "blend": 0.5},
    }
    measured: dict[str, list[list[float]]] = {"base": []} | {name: [] for name in settings}
    for seed in MIX_SEEDS:
        rng = np.random.default_rng(seed)
        foolings = find_foolings(base, train, rng, served)
        tests = (held_out, mnist, warped(repeat(held_out, 5), rng, served))
        measured["base"].append([evaluate(base, test)["accuracy"] for test in tests])
        for name, options in settings.items():
            net, _ = fine_tune(base, train, foolings, seed=seed, **options)
            measured[name].append([evaluate(net, test)["accuracy"] for test in tests])
    print(f"Warped {'and framed as drawings are served' if served else 'and left unframed'}:\n")
    print("| training | clean | MNIST | warped |")
    print("|---|---|---|---|")
    for name, runs in measured.items():
        print(f"| {name} | " + " | ".join(f"{100 * cell:.1f}" for cell in np.mean(runs, 0)) + " |")
    print()


def model(net: DigitNet) -> TorchBackend:
    return TorchBackend(Probabilities(net), DIGITS, SHAPE)


def evaluate(net: DigitNet, images: Images) -> dict[str, Any]:
    answers = model(net).answer([Prepared("", x) for x in images.x])
    return figures(answers, [str(y) for y in images.y], DIGITS)


def find_foolings(net: DigitNet, train: Images, rng: np.random.Generator, served: bool) -> Images:
    """Warp training images until enough of them are misread: what annotators would submit."""
    tried = warped(repeat(train, 4), rng, served)
    fooled = np.flatnonzero(model(net).probabilities(tried.x).argmax(axis=1) != tried.y)
    return tried.take(rng.permutation(fooled)[:FOOLINGS])


def warped(images: Images, rng: np.random.Generator, served: bool) -> Images:
    moved = Images(warp(images.x, rng), images.y, f"warped {images.source}")
    return framed(moved) if served else moved


def repeat(images: Images, times: int) -> Images:
    return images.take(np.tile(np.arange(len(images)), times))


def framed(images: Images) -> Images:
    x = images.x.copy()
    for row, image in enumerate(images.x):
        try:
            x[row] = normalise(image)
        except InputError:
            x[row] = image
    return Images(x, images.y, images.source)


if __name__ == "__main__":
    main()
