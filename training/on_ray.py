"""Seeds of a rehearsal on the machines of a Ray cluster, which RAY_ADDRESS names: an extra.

What is sent is all that a seed needs: this program, what it is told, its artifacts. A machine needs
the same packages, but neither this server's database nor its files. One that goes away in the
middle of a seed has it begun again on another.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from core.errors import Refused
from training.rehearsal_play import Turns, play

ADDRESS: Final = "RAY_ADDRESS"
BEGUN_AGAIN: Final = 3  # times
LOOK_EVERY: Final = 0.5  # seconds
CONNECTS_WITHIN: Final = 5.0
_NOT_SENT: Final = ("/tests", "/benchmarks", "/docs", "/findings", "/client", "/static", ".venv")

Hear = Callable[[int, float, str], None]


def is_asked() -> bool:
    return bool(os.environ.get(ADDRESS))


def play_all(
    worlds: Sequence[Mapping[str, Any]], files: Mapping[str, bytes], hear: Hear
) -> list[Turns]:
    """What each world came to, in their order; `hear` is told which one is how far, and where.

    Refused where Ray, its cluster or a seed fails.
    """
    with _cluster() as ray:
        from ray.util.queue import Queue

        news = Queue(actor_options={"num_cpus": 0})
        sent = ray.put(dict(files))
        there = ray.remote(num_cpus=1, max_retries=BEGUN_AGAIN)(_play)
        under_way = {
            there.remote(place, dict(world), sent, news): place
            for place, world in enumerate(worlds)
        }
        done: dict[int, Turns] = {}
        try:
            while under_way:
                ended, _ = ray.wait(list(under_way), timeout=LOOK_EVERY)
                while not news.empty():
                    hear(*news.get())
                for one in ended:
                    done[under_way.pop(one)] = _turns(ray, one)
        except BaseException:
            for one in under_way:
                ray.cancel(one, force=True)
            raise
    return [done[place] for place in range(len(worlds))]


def _play(place: int, world: dict[str, Any], files: dict[str, bytes], news: Any) -> Turns | str:
    """On a machine of the cluster: the seed's turns, or why there are none.

    An exception of ours would be read there by name and here by value.
    """
    try:
        return play(world, files, lambda fraction, words: news.put((place, fraction, words)))
    except Refused as refused:
        return refused.message


def _turns(ray: Any, played: Any) -> Turns:
    try:
        turns = ray.get(played)
    except ray.exceptions.RayError as error:
        raise Refused(
            "stopped", f"A machine of the Ray cluster failed: {type(error).__name__}."
        ) from error
    if isinstance(turns, str):
        raise Refused("stopped", turns)
    return list(turns)


@contextmanager
def _cluster() -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody outside is told of it
    try:
        import ray
    except ImportError as error:
        raise Refused(
            "no_ray",
            f"{ADDRESS} is set, and this server has no Ray: start it with `bin/serve --with ray`.",
        ) from error
    address = os.environ[ADDRESS]
    host, _, port = address.removeprefix("ray://").rpartition(":")
    project = str(Path(__file__).resolve().parent.parent)
    try:
        if port.isdigit():  # Ray itself would try for more than a minute
            socket.create_connection((host, int(port)), timeout=CONNECTS_WITHIN).close()
        ray.init(
            address=address,
            runtime_env={"working_dir": project, "excludes": list(_NOT_SENT)},
            log_to_driver=False,
            logging_level="error",
        )
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise Refused("no_cluster", f"No Ray cluster answers at {address}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
