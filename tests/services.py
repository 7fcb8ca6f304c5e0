"""Private PostgreSQL and Redis for a test run: `python -m tests.services COMMAND…`.

Starts both on free loopback ports with their files in a temporary folder, runs the command with
TEST_DATABASE_URL and TEST_REDIS_URL set, and stops both whatever happens; when this process is
killed outright, Linux ends them too. PostgreSQL refuses to run as root, so root lends it to
another user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dadc_server.serve import tied_to_this_process

START_SECONDS = 60

_given_out: set[int] = set()


class ServiceError(RuntimeError):
    """A service is missing or did not start; the message says what to do."""


def find_program(name: str) -> str:
    """The newest such program: Debian keeps PostgreSQL's servers out of PATH."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: float(path.parts[-3]),
        reverse=True,
    )
    found = str(debian[0]) if debian else shutil.which(name)
    if not found:
        raise ServiceError(f"{name} was not found: install PostgreSQL and Redis (see bin/test).")
    return found


def unprivileged_user() -> str | None:
    """Whom root lends PostgreSQL to; None when this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServiceError("PostgreSQL refuses to run as root and there is no user 'nobody'.")


def identity(user: str | None) -> dict[str, Any]:
    """Keyword arguments that make subprocess drop to that user."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def free_port() -> int:
    """A port that nobody has, and that nobody else here will be given before a server takes it.

    Processes that run tests beside each other mostly have a range of their own, below the ports
    that the system gives to connections.
    """
    first = 10_000 + 2_000 * (os.getpid() % 10)
    while True:
        port = first + secrets.randbelow(2_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in _given_out:
                probe.bind(("127.0.0.1", port))
                _given_out.add(port)
                return port


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, ready: Callable[[], bool], stop: signal.Signals, **how: Any
) -> Iterator[None]:
    """Run a server in its own process group from when it is ready until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=tied_to_this_process(),
            **how,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def postgresql(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """A new cluster under `folder`, quick to write and lost on a crash; yields its address.

    With `durable` it writes as an operator's does: a commit is on the disk before it is told.
    """
    user = unprivileged_user()
    how = identity(user)
    home = folder / "postgresql"
    home.mkdir(mode=0o700)
    password = secrets.token_hex(16)
    (home / "password").write_text(password)
    if user:
        for path in (home, home / "password"):
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    data, port = home / "data", free_port()
    made = subprocess.run(
        [
            *(find_program("initdb"), "--pgdata", str(data), "--username", "dadc"),
            *("--pwfile", str(home / "password"), "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        **how,
    )
    if made.returncode:
        raise ServiceError(f"initdb failed:\n{made.stderr[-2000:]}")
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": home,
        "max_connections": 200,
        "shared_buffers": "128MB",
        "dynamic_shared_memory_type": "mmap",  # nothing is left behind outside the folder
    }
    if not durable:
        settings |= {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "autovacuum_naptime": "5min",
        }
    command = [find_program("postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    pg_isready = [find_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    with running(
        command,
        folder / "postgresql.log",
        lambda: subprocess.run(pg_isready, check=False).returncode == 0,
        signal.SIGINT,  # "fast": does not wait for clients
        cwd=home,
        **how,
    ):
        yield f"postgres://dadc:{password}@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """An empty Redis that writes nothing to disk; yields its address."""
    port = free_port()

    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(b"PING\r\n")
                return client.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    with running(redis_command(port, folder), folder / "redis.log", answers, signal.SIGTERM):
        yield f"redis://127.0.0.1:{port}/0"


def redis_command(port: int, folder: Path) -> list[str]:
    """What starts a Redis that keeps nothing."""
    command = [find_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    return [*command, "--save", "", "--appendonly", "no", "--dir", str(folder)]


def memory_folder() -> str | None:
    """A folder in memory with room for the services' files, when there is one."""
    shared = Path("/dev/shm")
    roomy = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2 << 30
    return str(shared) if roomy else None


@contextlib.contextmanager
def private_services() -> Iterator[dict[str, str]]:
    """Both services; yields the environment that names them."""
    with tempfile.TemporaryDirectory(prefix="dadc-test-", dir=memory_folder()) as name:
        folder = Path(name)
        folder.chmod(0o711)  # the user who runs PostgreSQL must reach its own folder below
        with postgresql(folder) as database, redis(folder) as channel_layer:
            yield {"TEST_DATABASE_URL": database, "TEST_REDIS_URL": channel_layer}


@contextlib.contextmanager
def durable_services() -> Iterator[dict[str, str]]:
    """The same two, for measurements and crashes: PostgreSQL's files are on a disk."""
    with tempfile.TemporaryDirectory(prefix="dadc-durable-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with postgresql(folder, durable=True) as database, redis(folder) as channel_layer:
            yield {"TEST_DATABASE_URL": database, "TEST_REDIS_URL": channel_layer}


def main(command: Sequence[str]) -> int:
    """Run the command beside the services; its exit status, or 1 with a sentence."""
    if not command:
        print("usage: python -m tests.services COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with private_services() as addresses:
            return subprocess.run(command, env=os.environ | addresses, check=False).returncode
    except ServiceError as error:
        print(f"tests.services: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
