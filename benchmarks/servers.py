"""The servers that are measured: started as people start them, on free ports, with their own data.

What each of their processes costs is read from the operating system, before and after.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dadc_server.serve import tied_to_this_process
from tests.services import durable_services, free_port

PROJECT = Path(__file__).resolve().parent.parent
DATABASES = ("sqlite", "postgresql")  # the second with Redis
START_SECONDS = 180
MIB = 2**20

# One person of a benchmark does the work of dozens: no limit may end the measurement instead.
NO_LIMITS = {"DADC_LIMITS": "off"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class NotStarted(RuntimeError):
    """A server did not come up; the message ends with what it said."""


@dataclass
class Server:
    """A running server: where it is, and the processes that do its work, by their part in it."""

    name: str
    url: str
    roots: dict[str, psutil.Process] = field(default_factory=dict)
    cursor: int = 0  # the next drawing of the pool that it has not seen

    def processes(self, part: str) -> list[psutil.Process]:
        """The living processes of a part; a new one appears as soon as it is there."""
        root = self.roots[part]
        try:
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each part so far, those of its ended processes included."""
        return {part: sum(map(_cpu, self.processes(part))) for part in self.roots}

    def memory(self) -> dict[str, dict[str, float]]:
        """RSS and PSS of each part in MiB: of its largest process, and of all together."""
        return {part: _memory(self.processes(part)) for part in self.roots}


def _cpu(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system + used.children_user + used.children_system)


def _memory(processes: Sequence[psutil.Process]) -> dict[str, float]:
    rss, pss = [], []
    for process in processes:
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        rss.append(memory.rss / MIB)
        pss.append(getattr(memory, "pss", memory.rss) / MIB)
    return {
        "largest_rss": round(max(rss, default=0), 1),
        "largest_pss": round(max(pss, default=0), 1),
        "all_pss": round(sum(pss), 1),
    }


# --- databases ------------------------------------------------------------------------------------
@contextmanager
def databases(kind: str) -> Iterator[tuple[dict[str, str], dict[str, psutil.Process]]]:
    """The environment of "sqlite" or "postgresql" (with Redis), and the services' processes.

    PostgreSQL is as an operator has it: on a disk, and a commit waits until it is there.
    """
    if kind == "sqlite":
        yield {}, {}
        return
    with durable_services() as addresses:
        environment = {
            "DATABASE_URL": addresses["TEST_DATABASE_URL"],
            "REDIS_URL": addresses["TEST_REDIS_URL"],
        }
        mine = psutil.Process().children()
        names = {"postgres": "postgresql", "redis-server": "redis"}
        found = {names[child.name()]: child for child in mine if child.name() in names}
        yield environment, found


# --- ours -----------------------------------------------------------------------------------------
@dataclass
class World:
    """A running server of ours with its people: cookies by role, and what waiting items show."""

    served: Served
    data: Path
    environment: dict[str, str]
    sessions: dict[str, list[str]]
    truth: dict[str, str]

    @property
    def server(self) -> Server:
        return self.served.server

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py beside the server."""
        return _python(["manage.py", *arguments], self.environment)


@contextmanager
def ours(
    kind: str = "sqlite",
    *,
    workers: int = 1,
    settings: Mapping[str, str] = NO_LIMITS,
    begin: Callable[[Mapping[str, str]], None] = lambda _: None,
    **spec: Any,
) -> Iterator[World]:
    """What bin/serve runs, with a world made by benchmarks.world from `spec`.

    `begin` may put there what takes long to make, as the environment says where.
    """
    with tempfile.TemporaryDirectory(prefix="dadc-bench-") as folder, databases(kind) as services:
        data = Path(folder)
        addresses, service_processes = services
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("DADC_")},
            "DADC_DATA": folder,
            "WEB_CONCURRENCY": str(workers),
            # All load comes from one address, as fast as it can.
            "DADC_LIMITS": "off",
            "DADC_SOCKETS": "5000",
            "DADC_SOCKETS_PER_ADDRESS": "5000",
            **addresses,
            **settings,
        }
        begin(environment)
        made = _python(["-m", "benchmarks.world", json.dumps(spec)], environment)
        if made.returncode:
            raise NotStarted(f"the benchmark's world was not made:\n{made.stderr[-2000:]}")
        people = json.loads(made.stdout.splitlines()[-1])
        served = Served(data, environment, name=kind)
        served.server.roots |= service_processes
        served.server.cursor = spec.get("waiting", 0)
        try:
            yield World(served, data, environment, people["sessions"], people["truth"])
        finally:
            served.stop()


class Served:
    """bin/serve without its look at the installation, on one port and data folder."""

    def __init__(self, data: Path, environment: Mapping[str, str], *, name: str) -> None:
        self._environment = dict(environment)
        self._log = data / "serve.log"
        self._port = free_port()
        serve = PROJECT / "dadc_server" / "serve.py"
        self._command = [sys.executable, "-P", str(serve), "--port", str(self._port)]
        self._command += ["--data", str(data)]
        self.server = Server(name, f"http://127.0.0.1:{self._port}")
        self.start()

    def start(self) -> None:
        """Start it (again) and wait until it says that it is ready."""
        with self._log.open("a") as output:
            said = output.tell()
            self._process = subprocess.Popen(
                self._command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=tied_to_this_process(),
            )
        self.supervisor = psutil.Process(self._process.pid)
        _wait(self._process, self._log, lambda: self._is_ready(said))
        self.server.roots |= _parts(self.supervisor)

    def kill(self) -> None:
        """End all of its processes at once, with nothing said."""
        processes = [self.supervisor, *self.supervisor.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(processes, timeout=10)

    def stop(self) -> None:
        _end(self._process, patience=40)

    def _is_ready(self, said: int) -> bool:
        with self._log.open() as file:
            file.seek(said)
            return "DADC Server is ready" in file.read()


def _parts(supervisor: psutil.Process) -> dict[str, psutil.Process]:
    """The supervisor's children by what they are: the web server's tree and the job worker's."""
    parts: dict[str, psutil.Process] = {}
    deadline = time.monotonic() + 30
    while len(parts) < 2 and time.monotonic() < deadline:
        for child in supervisor.children():
            command = " ".join(child.cmdline())
            if "gunicorn" in command:
                parts["web"] = child
            elif command.endswith("manage.py worker"):
                parts["jobs"] = child
        time.sleep(0.1)
    return parts


def _python(arguments: Sequence[str], environment: Mapping[str, str]) -> Any:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )


# --- anybody's ------------------------------------------------------------------------------------
@contextmanager
def program(
    name: str, command: Sequence[str], *, port: int, page: str = "/", **environment: str
) -> Iterator[Server]:
    """Any web server, from when it answers `page` until the block ends."""
    with tempfile.TemporaryDirectory(prefix="dadc-peer-") as folder:
        log = Path(folder) / "log"
        url = f"http://127.0.0.1:{port}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | ONE_THREAD | environment,
                start_new_session=True,
                preexec_fn=tied_to_this_process(),
            )
        try:
            _wait(process, log, lambda: is_answering(url + page))
            yield Server(name, url, {"web": psutil.Process(process.pid)})
        finally:
            _end(process, patience=20)


def _end(process: subprocess.Popen[Any], *, patience: float) -> None:
    """Ask a process to stop, and kill it when it does not."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_answering(url: str) -> bool:
    """Whether somebody speaks HTTP there, whatever they say."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _wait(process: subprocess.Popen[Any], log: Path, ready: Any) -> Any:
    deadline = time.monotonic() + START_SECONDS
    while not (found := ready()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"a server did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
    return found


@contextmanager
def bare() -> Iterator[Server]:
    """The same net, engine and batcher behind a websocket of uvicorn's and nothing else."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "benchmarks.bare:application", "--port", str(port)),
        *("--no-access-log", "--log-level", "warning", "--ws-per-message-deflate", "false"),
    ]
    with program("bare", command, port=port) as server:
        yield server
