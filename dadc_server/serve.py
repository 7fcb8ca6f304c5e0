"""Check, prepare, serve, stop: what bin/serve runs.

Imports the standard library alone: bin/serve first calls it with the system's own Python, so that
an unknown option, a taken port or a read-only folder is refused before minutes of installing.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import errno
import http.client
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

PROJECT = Path(__file__).resolve().parent.parent
EXTRAS = sorted(path.stem for path in (PROJECT / "extras").glob("*.txt"))

# A running job may finish before it is told to give up; the web server needs less to close sockets.
GRACE_SECONDS = 15.0
LAST_WORDS_SECONDS = 5.0
LONGEST_BACK_OFF_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0
# A listening socket for each web process, and the kernel spreads connections over them: of 32 that
# come at once the larger share of two is 18, in bad moments 22. With one socket for all it is 18,
# but often 30, and a websocket stays where it is for hours. Only Linux spreads them.
SHARES_PORTS = sys.platform.startswith("linux")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Refusal(Exception):
    """A reason not to start, as one sentence for the person at the terminal."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage text around it."""

    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message}. See bin/serve --help.")


@dataclass(frozen=True)
class Options:
    """What the command line and the environment ask for."""

    host: str
    port: int
    data: Path
    path: str = "/"
    workers: int = 1
    web: bool = True
    worker: bool = True
    check_only: bool = False

    @property
    def address(self) -> str:
        """The host and port as they stand in an address, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local_host(self) -> str:
        """Where a client on this machine finds the server, also when it listens everywhere."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    @property
    def url(self) -> str:
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.port}{self.path}"


def parse_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read the command line over the environment; raises Refusal."""
    parser = Parser(
        prog="bin/serve",
        allow_abbrev=False,
        description="Set up what is missing, then serve DADC with one background worker.",
        epilog="Further settings come from the environment: docs/operations.md lists them.",
    )
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one (8000)")
    parser.add_argument("--data", metavar="DIR", help="database, models and keys (var/, DADC_DATA)")
    parser.add_argument("--host", metavar="ADDR", help="address (127.0.0.1, DADC_HOST)")
    parser.add_argument("--no-worker", action="store_true", help="leave jobs to other machines")
    parser.add_argument("--no-web", action="store_true", help="carry out jobs, serve no pages")
    parser.add_argument(
        "--with",
        dest="extras",
        metavar="EXTRA",
        action="append",
        default=[],
        choices=EXTRAS,
        help=f"install what a model needs, too, for good: {', '.join(EXTRAS)}",
    )
    parser.add_argument("--check-only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not 0 <= given.port <= 65535:
        raise Refusal(f"{given.port} is no port: choose one from 1 to 65535, or 0 for a free one.")
    if given.no_web and given.no_worker:
        raise Refusal("--no-web and --no-worker together leave nothing to do: choose one.")
    workers = environment.get("WEB_CONCURRENCY") or "1"
    if not workers.isdecimal() or int(workers) < 1:
        raise Refusal(f"WEB_CONCURRENCY is {workers!r}: set it to a whole number from 1 up.")
    data = given.data or environment.get("DADC_DATA") or str(PROJECT / "var")
    return Options(
        host=given.host or environment.get("DADC_HOST") or "127.0.0.1",
        port=given.port,
        data=Path(data).expanduser().absolute(),
        workers=int(workers),
        path=(environment.get("DADC_PATH") or "").rstrip("/") + "/",
        web=not given.no_web,
        worker=not given.no_worker,
        check_only=given.check_only,
    )


def require_writable(folder: Path) -> None:
    """Make the data folder (readable by its owner only) and prove that it takes a file."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Refusal(
            f"cannot write to the data folder {folder} ({error.strerror}): "
            "choose another with --data DIR."
        ) from error


def free_port(host: str, port: int) -> int:
    """The port itself when it can be listened on, a free one for 0; raises Refusal."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the web server does: connections that linger after a restart do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} on {host} is in use: stop the other program or choose another port"
            raise Refusal(f"{why} with --port N.") from error
        if error.errno == errno.EACCES:
            raise Refusal(
                f"port {port} needs more rights than this user has: choose one above 1023."
            ) from error
        raise Refusal(f"cannot listen on {host} ({error.strerror}): see --host.") from error


def tied_to_this_process() -> Callable[[], None] | None:
    """For a child to call before it becomes its program: end it when this process is killed.

    Only Linux can; elsewhere a supervisor killed with SIGKILL leaves its children running.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return tie


def web_command(options: Options) -> list[str]:
    """The gunicorn command line: one way to serve, for one embedded process and for many."""
    return [
        *(sys.executable, "-m", "gunicorn", "dadc_server.asgi:application"),
        *("--worker-class", "dadc_server.web.process.Worker", "--workers", str(options.workers)),
        *("--logger-class", "dadc_server.web.process.Logger"),
        *("--bind", options.address, "--backlog", "2048", "--keep-alive", "75"),
        *("--timeout", "60", "--graceful-timeout", "10", "--log-level", "warning"),
        "--no-control-socket",
        *(["--reuse-port"] if options.workers > 1 and SHARES_PORTS else []),
    ]


# One thread a forward pass: more threads only get in each other's way.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
WORKER_COMMAND = [sys.executable, str(PROJECT / "manage.py"), "worker"]


class Supervisor:
    """Starts the children, each in its own process group, and ends every one of them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stopping = asyncio.Event()
        self.impatient = asyncio.Event()
        self.children: list[Process] = []
        self.metrics = tempfile.TemporaryDirectory(prefix="dadc-metrics-")
        self.environment = dict(
            os.environ,
            DADC_DATA=str(options.data),
            PYTHONUNBUFFERED="1",
            # Of this machine alone, and of this run: processes tell each other what they counted.
            PROMETHEUS_MULTIPROC_DIR=self.metrics.name,
            WEB_CONCURRENCY=str(options.workers),
        )

    def on_signal(self) -> None:
        """First signal: stop with grace. Second: stop now."""
        if self.stopping.is_set():
            self.impatient.set()
        self.stopping.set()

    async def start(self, command: Sequence[str], **environment: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=PROJECT,
            env={**environment, **self.environment},
            # Its own group: Ctrl-C reaches the supervisor alone, which stops the rest in order.
            start_new_session=True,
            preexec_fn=tied_to_this_process(),
        )
        self.children.append(process)
        return process

    async def finished(self, process: Process | None) -> bool:
        """Wait until the process ends (True) or someone asks to stop (False)."""
        asked = asyncio.create_task(self.stopping.wait())
        ended = asyncio.create_task(process.wait()) if process else asked
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        ended.cancel()
        return process is not None and process.returncode is not None

    async def run(self) -> int:
        """Prepare, serve and stop; the exit status of the command."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.on_signal)
        try:
            return await self.serve()
        finally:
            await self.stop_all()
            self.metrics.cleanup()

    async def serve(self) -> int:
        preparation = await self.start([sys.executable, "-m", "dadc_server.prepare"])
        if not await self.finished(preparation):
            return 0
        self.children.remove(preparation)
        if preparation.returncode:
            return 1
        web = (
            await self.start(web_command(self.options), **ONE_THREAD) if self.options.web else None
        )
        background = asyncio.create_task(self.open_for_work())
        try:
            if not await self.finished(web):
                return 0
        finally:
            background.cancel()
        assert web is not None
        say(f"the web server ended by itself (exit status {web.returncode}); stopping.")
        return 1

    async def open_for_work(self) -> None:
        """Tell the address once pages are served, then keep a background worker running."""
        news = "The DADC worker is running."
        if self.options.web:
            while not await asyncio.to_thread(answers, self.options):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.1)
            news = f"DADC Server is ready: {self.options.url}"
        print(f"\n  {news}\n  Ctrl-C stops it.\n", flush=True)
        if self.options.worker:
            await self.keep_working()

    async def keep_working(self) -> None:
        """Start a background worker, and another when it ends, pausing longer the sooner it did."""
        loop = asyncio.get_running_loop()
        pause = 1.0
        while True:
            began = loop.time()
            worker = await self.start(WORKER_COMMAND)
            await worker.wait()
            self.children.remove(worker)
            pause = 1.0 if loop.time() - began > HEALTHY_AFTER_SECONDS else pause
            say(
                f"the background worker ended (exit status {worker.returncode}); "
                f"starting it again in {pause:.0f} s."
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_BACK_OFF_SECONDS)

    async def stop_all(self) -> None:
        """End every child: ask, ask again (a job then records that it was broken off), kill."""
        running = [child for child in self.children if child.returncode is None]
        if running:
            print("\nStopping; a running job may finish (Ctrl-C again: at once).", flush=True)
        waiting: asyncio.Future[Any] = asyncio.gather(*(child.wait() for child in running))
        impatience: asyncio.Future[Any] = asyncio.create_task(self.impatient.wait())
        for patience in (GRACE_SECONDS, LAST_WORDS_SECONDS):
            for child in running:
                if child.returncode is None:
                    child.terminate()
            await asyncio.wait(
                {waiting, impatience}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if waiting.done() or impatience.done():
                break
        impatience.cancel()
        for child in self.children:
            try:  # also what a child left behind in its group
                os.killpg(child.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        await waiting


def answers(options: Options) -> bool:
    """Whether an HTTP request is answered without a server error."""
    connection = http.client.HTTPConnection(options.local_host, options.port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": f"localhost:{options.port}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def say(sentence: str) -> None:
    print(f"bin/serve: {sentence}", file=sys.stderr, flush=True)


def main() -> int:
    try:
        options = parse_options(sys.argv[1:], os.environ)
        require_writable(options.data)
        port = free_port(options.host, options.port) if options.web else options.port
    except Refusal as refusal:
        say(str(refusal))
        return 2
    if options.check_only:
        return 0
    if options.host not in LOOPBACK and not os.environ.get("DADC_ALLOWED_HOSTS"):
        say("listening for other machines; list the names they use in DADC_ALLOWED_HOSTS.")
    return asyncio.run(Supervisor(replace(options, port=port)).run())


if __name__ == "__main__":
    sys.exit(main())
