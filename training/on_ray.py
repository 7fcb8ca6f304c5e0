"""What takes long, on the machines of a Ray cluster, which RAY_ADDRESS names: an extra.

What is sent is all that a piece of work needs: this program, what it is told, files. A machine
needs the same packages, but neither this server's database nor its files. One that goes away in
the middle of a piece has it begun again on another.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from core.errors import Refused
from training.rehearsal_play import Turns, play

ADDRESS: Final = "RAY_ADDRESS"
BEGUN_AGAIN: Final = 3  # times
LOOK_EVERY: Final = 0.5  # seconds
CONNECTS_WITHIN: Final = 5.0
# With another one of these the same seed gives other numbers.
DECIDES: Final = ("torch", "numpy", "scipy", "scikit-learn", "onnxruntime", "transformers")
_NOT_SENT: Final = ("/tests", "/benchmarks", "/docs", "/findings", "/client", "/static", ".venv")

Tell = Callable[[float, str], None]
Work = Callable[[Any, Any, Tell], Any]
Hear = Callable[[int, float, str], None]


class Unreachable(Refused):
    """The cluster, or a machine of it, does not answer: nothing is known of the work."""


def is_asked() -> bool:
    return bool(os.environ.get(ADDRESS))


def each(work: Work, pieces: Sequence[Any], shared: Any, hear: Hear) -> Generator[tuple[int, Any]]:
    """The place of each piece and what it came to, as they end: close it to stop the rest.

    `work`, a function of a module, is told one piece, what is `shared` by all, and whom to tell how
    far it is; `hear` is told which one is how far, and where. Refused where a piece fails,
    Unreachable where the cluster does.
    """
    with _cluster() as ray:
        from ray.util.queue import Queue

        news = Queue(actor_options={"num_cpus": 0})
        sent = ray.put(shared)
        there = ray.remote(num_cpus=1, max_retries=BEGUN_AGAIN)(_do)
        under_way = {
            there.remote(work, place, piece, sent, news, _versions()): place
            for place, piece in enumerate(pieces)
        }
        try:
            while under_way:
                ended, _ = ray.wait(list(under_way), timeout=LOOK_EVERY)
                while not news.empty():
                    hear(*news.get())
                for one in ended:
                    yield under_way.pop(one), _result(ray, one)
        except BaseException:
            for one in under_way:
                ray.cancel(one, force=True)
            raise


def play_all(
    worlds: Sequence[Mapping[str, Any]], files: Mapping[str, bytes], hear: Hear
) -> list[Turns]:
    """What each world of a rehearsal came to, in their order."""
    played = dict(each(_play, [dict(world) for world in worlds], dict(files), hear))
    return [played[place] for place in range(len(worlds))]


def _play(world: dict[str, Any], files: dict[str, bytes], tell: Tell) -> Turns:
    return play(world, files, tell)


def _do(
    work: Work, place: int, piece: Any, shared: Any, news: Any, versions: dict[str, str]
) -> tuple[bool, Any]:
    """On a machine of the cluster: whether it was done, and what it came to or why not.

    An exception of ours would be read there by name and here by value.
    """
    if other := [name for name, here in versions.items() if _versions()[name] != here]:
        host = platform.node()
        return False, f"{host} of the Ray cluster has another {', '.join(other)} than this server."
    try:
        return True, work(piece, shared, lambda fraction, words: news.put((place, fraction, words)))
    except Refused as refused:
        return False, refused.message
    except Exception as error:  # noqa: BLE001  (told to whom asked)
        return False, f"An error stopped it: {type(error).__name__}: {error}"


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in DECIDES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def _result(ray: Any, done: Any) -> Any:
    try:
        is_done, result = ray.get(done)
    except ray.exceptions.RayError as error:
        raise Unreachable(
            "stopped", f"A machine of the Ray cluster failed: {type(error).__name__}."
        ) from error
    if not is_done:
        raise Refused("stopped", result)
    return result


@contextmanager
def _cluster() -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody outside is told of it
    try:
        import ray
    except ImportError as error:
        raise Unreachable(
            "no_ray",
            f"{ADDRESS} is set, and this server has no Ray: start it with `bin/serve --with ray`.",
        ) from error
    address = os.environ[ADDRESS]
    host, _, port = address.removeprefix("ray://").rpartition(":")
    project = str(Path(__file__).resolve().parent.parent)
    try:
        if port.isdigit():  # Ray itself would try for more than a minute
            socket.create_connection((host, int(port)), timeout=CONNECTS_WITHIN).close()
        told_to_stop = signal.getsignal(signal.SIGTERM)
        ray.init(
            address=address,
            runtime_env={"working_dir": project, "excludes": list(_NOT_SENT)},
            log_to_driver=False,
            logging_level="error",
        )
        if threading.current_thread() is threading.main_thread():  # Ray took it for itself
            signal.signal(signal.SIGTERM, told_to_stop)
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise Unreachable("no_cluster", f"No Ray cluster answers at {address}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
