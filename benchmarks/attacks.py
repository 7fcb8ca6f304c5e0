"""Attacks on the digits net: `python -m benchmarks.attacks --mnist DIR [--images 10000]`.

Ours beside the Adversarial Robustness Toolbox's, which is installed without its dependencies into a
folder of its own: how many of MNIST's test images the base model still reads, and seconds on one
thread. DIR has the IDX files.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.drawings import cache_folder

KEPT = ("adversarial-robustness-toolbox==1.20.1", "six==1.17.0")
REACH, STEPS = 0.1, 40
STEP = REACH / 10


def kept_library() -> Path:
    folder = cache_folder() / "-".join(KEPT[0].split("=="))
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
        subprocess.run([*pip, *KEPT], check=True)
    return folder


def theirs(net: Any, classes: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Their FGSM and PGD with our reach and steps, from where the image is."""
    sys.path.append(str(kept_library()))
    logging.getLogger("art").setLevel(logging.WARNING)
    import torch
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    known = PyTorchClassifier(
        net, torch.nn.CrossEntropyLoss(), (28, 28), classes, clip_values=(0.0, 1.0)
    )
    one = FastGradientMethod(known, eps=REACH, batch_size=500)
    many = ProjectedGradientDescent(
        known, eps=REACH, eps_step=STEP, max_iter=STEPS, batch_size=500, verbose=False
    )
    return (lambda x, y: one.generate(x, y)), (lambda x, y: many.generate(x, y))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    asked = parser.parse_args()

    import django
    import torch

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    django.setup()
    from benchmarks.world import trained_model
    from ml import artifacts
    from ml.attacks import fgsm, pgd
    from ml.backends.torch import module_of
    from ml.learners.digits.data import load_idx
    from ml.passes import CHUNK

    torch.set_num_threads(1)
    images = load_idx(asked.mnist)
    x, y = images.x[: asked.images], images.y[: asked.images]
    artifact = next(iter(trained_model().glob(f"*{artifacts.SUFFIX}")))
    module, _ = module_of(artifacts.load(artifact, artifact.stem))

    def by_ours(attack: Callable[..., Any], **how: Any) -> Callable[..., Any]:
        def run(x: Any, y: Any) -> Any:
            parts = [slice(at, at + CHUNK) for at in range(0, len(x), CHUNK)]
            return torch.cat(
                [
                    attack(module.scores, torch.from_numpy(x[p]), torch.from_numpy(y[p]), **how)
                    for p in parts
                ]
            ).numpy()

        return run

    class Scores(torch.nn.Module):
        def forward(self, images: Any) -> Any:
            return module.scores(images)

    their_one, their_many = theirs(Scores(), 10)
    print("| attack | by | still read | CPU s |\n|---|---|---|---|")
    for name, by, run in (
        ("none", "", lambda x, _: x),
        (f"FGSM, {REACH}", "ours", by_ours(fgsm, reach=REACH)),
        (f"FGSM, {REACH}", KEPT[0], their_one),
        (f"PGD, {REACH}, {STEPS} steps", "ours", by_ours(pgd, reach=REACH, step=STEP, steps=STEPS)),
        (
            f"PGD, {REACH}, until misread",
            "ours",
            by_ours(pgd, reach=REACH, step=STEP, steps=STEPS, until_misread=True),
        ),
        (f"PGD, {REACH}, {STEPS} steps", KEPT[0], their_many),
    ):
        began = time.process_time()
        changed = run(x, y)
        took = time.process_time() - began
        with torch.inference_mode():
            said = module(torch.from_numpy(changed)).argmax(1).numpy()
        print(f"| {name} | {by} | {100 * (said == y).mean():.2f} % | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
