"""How fast the engines answer, and what the batcher costs: `python -m benchmarks.engine [--json]`.

Rates are the best of several interleaved rounds, in CPU seconds of this process, so that a busy
machine disturbs the ratios little. The net is untrained: weights do not change the work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from ml.backends import open_model, source_of
from ml.batcher import Batcher
from ml.learners import Trained, save
from ml.learners.digits.net import DigitNet

ROUNDS = 7
BATCHES = (1, 8, 64)
CALLERS = (1, 32, 128)

Image = NDArray[np.float32]


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def engine_rates(backends: dict[str, Any], images: Image) -> dict[str, dict[int, float]]:
    """Images a second by engine and batch size; engines take turns within each round."""
    best = {name: dict.fromkeys(BATCHES, 0.0) for name in backends}
    for _ in range(ROUNDS):
        for size in BATCHES:
            passes = max(8, 512 // size)
            for name, backend in backends.items():
                rate = passes * size / cpu_seconds(partial(repeat, backend, images[:size], passes))
                best[name][size] = max(best[name][size], rate)
    return best


def repeat(backend: Any, images: Image, passes: int) -> None:
    for _ in range(passes):
        backend.probabilities(images)


async def crowd(
    run: Callable[[Sequence[Image]], Sequence[Image]], images: Image, callers: int, items: int
) -> tuple[float, float, float]:
    """CPU µs an item, items a wall second, and the mean batch, with callers that never pause."""
    sizes: list[int] = []

    def counted(batch: Sequence[Image]) -> Sequence[Image]:
        sizes.append(len(batch))
        return run(batch)

    batcher: Batcher[Image, Image] = Batcher(counted)
    each = items // callers

    async def caller(offset: int) -> None:
        for turn in range(each):
            await batcher.submit(images[(offset + turn) % len(images)], timeout=5)

    await batcher.submit(images[0])
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(caller, range(callers)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    batcher.close()
    return cpu / (each * callers) * 1e6, each * callers / wall, sum(sizes) / len(sizes)


def best_crowd(
    run: Callable[[Sequence[Image]], Sequence[Image]], images: Image, callers: int
) -> dict[str, float]:
    items = 1_000 if callers == 1 else 6_400
    results = [asyncio.run(crowd(run, images, callers, items)) for _ in range(ROUNDS)]
    cpu, rate, batch = min(results)
    return {"cpu_us": cpu, "items_per_s": rate, "mean_batch": batch}


def measure() -> dict[str, object]:
    torch.set_num_threads(1)
    images = np.random.default_rng(0).random((256, 28, 28), dtype=np.float32)
    with TemporaryDirectory() as folder:
        labels = [str(digit) for digit in range(10)]
        made = save(Trained("digits", tuple(labels), DigitNet(), {}), Path(folder))
        by_torch = open_model("torch", source_of(made, Path(folder)))
        by_onnx = open_model("onnx", source_of(made, Path(folder)))
    rates = engine_rates({"torch": by_torch, "onnx": by_onnx}, images)
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "machine": platform.machine(),
        },
        "images_per_cpu_s": rates,
        "onnx_to_torch": {size: rates["onnx"][size] / rates["torch"][size] for size in BATCHES},
        "batcher_alone": {n: best_crowd(lambda items: items, images, n) for n in CALLERS},
        "batcher_with_onnx": {
            n: best_crowd(lambda items: list(by_onnx.probabilities(np.stack(items))), images, n)
            for n in CALLERS
        },
    }


def show(result: dict[str, object]) -> None:
    rates, ratios = result["images_per_cpu_s"], result["onnx_to_torch"]
    assert isinstance(rates, dict)
    assert isinstance(ratios, dict)
    print("batch    torch/s     onnx/s    ratio")
    for size in BATCHES:
        print(
            f"{size:5}{rates['torch'][size]:11,.0f}{rates['onnx'][size]:11,.0f}{ratios[size]:9.1f}"
        )
    print()
    print("callers  run        CPU µs/item    items/s   mean batch")
    for title, key in (("nothing", "batcher_alone"), ("onnx", "batcher_with_onnx")):
        crowds = result[key]
        assert isinstance(crowds, dict)
        for callers, row in crowds.items():
            print(
                f"{callers:7}  {title:8}{row['cpu_us']:14.1f}{row['items_per_s']:11,.0f}"
                f"{row['mean_batch']:13.1f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    as_json = parser.parse_args().json
    result = measure()
    if as_json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
