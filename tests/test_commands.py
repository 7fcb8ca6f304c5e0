"""bin/serve: every refusal is one sentence, and nothing it starts outlives it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what bin/serve runs before it installs anything: no .venv, no Django."""
    copy = tmp_path / "project"
    shutil.copytree(PROJECT / "bin", copy / "bin")
    (copy / "dadc_server").mkdir()
    (copy / "dadc_server" / "__init__.py").touch()
    shutil.copy(PROJECT / "dadc_server" / "serve.py", copy / "dadc_server")
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt"):
        shutil.copy(PROJECT / name, copy)
    return copy


def bin_serve(
    project: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project / "bin" / "serve", *arguments],
        cwd=project.parent,
        env=os.environ | {"DADC_PYTHON": sys.executable, "DADC_DATA": ""} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fake_python(folder: Path, script: str) -> str:
    program = folder / "python-under-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("bin/serve: ")
    assert done.stderr.count("\n") == 1, "one sentence, on one line"
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--prot", "8000"], "--prot"),
        (["--port", "http"], "http"),
        (["--port", "70000"], "70000"),
        (["--port"], "--port"),
        (["extra"], "extra"),
        (["--no-web", "--no-worker"], "--no-worker"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
    ],
)
def test_a_wrong_option_is_named(project: Path, arguments: list[str], word: str) -> None:
    assert_refused(bin_serve(project, *arguments), word)


def test_a_port_in_use_is_named_with_the_way_out(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(bin_serve(project, "--port", port), port, "in use", "--port")


def test_a_data_folder_that_takes_no_file_is_named(project: Path) -> None:
    file = project / "not-a-folder"
    file.touch()
    assert_refused(bin_serve(project, "--data", str(file)), str(file), "--data")


def test_a_relative_data_folder_is_relative_to_where_one_stands(project: Path) -> None:
    (project.parent / "here").touch()
    assert_refused(bin_serve(project, "--data", "here"), str(project.parent / "here"))


@pytest.mark.parametrize("count", ["0", "two"])
def test_a_wrong_number_of_web_processes_is_named(project: Path, count: str) -> None:
    assert_refused(bin_serve(project, WEB_CONCURRENCY=count), "WEB_CONCURRENCY", count)


def test_a_python_that_is_too_old_is_named(project: Path) -> None:
    old = fake_python(project, 'case "$*" in *version_info*) exit 1 ;; esac; echo 3.9.2')
    assert_refused(bin_serve(project, DADC_PYTHON=old), "3.11", "3.9.2")


def test_no_python_at_all_is_said(project: Path) -> None:
    assert_refused(bin_serve(project, DADC_PYTHON="/no/such/python"), "3.11", "none was found")


def test_a_python_without_venv_is_told_what_to_install(project: Path) -> None:
    bare = fake_python(
        project, f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"'
    )
    refused = bin_serve(project, "--port", "0", DADC_PYTHON=bare)
    assert_refused(refused, "venv", "python3-venv")
    assert not (project / ".venv").exists()


def test_help_names_every_option_and_starts_nothing(project: Path) -> None:
    done = bin_serve(project, "--help")
    assert done.returncode == 0
    options = {"--port", "--data", "--host", "--no-web", "--no-worker"}
    assert options <= set(re.split(r"[\s\[\]]+", done.stdout))
    assert not (project / "var").exists()


# --- supervision, with small programs in the place of the web server and the worker --------------

PREPARATION = "print('prepared', flush=True)"
WEB_SERVER = """
import http.server, os, sys
host, port = sys.argv[sys.argv.index("--bind") + 1].rsplit(":", 1)
print("web", os.getpid(), os.environ["OMP_NUM_THREADS"], flush=True)
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer((host, int(port)), Page).serve_forever()
"""
BACKGROUND_WORKER = """
import os, signal, time
print("worker", os.getpid(), os.environ["DADC_DATA"], flush=True)
signal.pause()
"""


class Served:
    """A running supervisor and what it printed so far."""

    def __init__(self, project: Path, *arguments: str) -> None:
        self.output = project / "output.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", str(project / "dadc_server" / "serve.py")),
                    *("--port", "0", "--data", str(project / "data"), *arguments),
                ],
                env=os.environ | {"WEB_CONCURRENCY": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def pids(self, name: str) -> list[int]:
        lines = [line.split() for line in self.text.splitlines()]
        return [int(words[1]) for words in lines if words[:1] == [name]]


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def serving(project: Path, *arguments: str) -> Iterator[Served]:
    (project / "dadc_server" / "prepare.py").write_text(PREPARATION)
    (project / "gunicorn.py").write_text(WEB_SERVER)
    (project / "manage.py").write_text(BACKGROUND_WORKER)
    server = Served(project, *arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def served(project: Path) -> Iterator[Served]:
    with serving(project) as server:
        eventually(lambda: bool(server.pids("worker")))
        yield server


@pytest.mark.parametrize(
    ("option", "runs", "rests"), [("--no-worker", "web", "worker"), ("--no-web", "worker", "web")]
)
def test_one_machine_may_serve_and_another_work(
    project: Path, option: str, runs: str, rests: str
) -> None:
    with serving(project, option) as server:
        eventually(lambda: "Ctrl-C stops it." in server.text and bool(server.pids(runs)))
        assert "prepared" in server.text
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert gone(server.pids(runs)[0])
        assert not server.pids(rests)


def test_the_address_is_told_once_the_server_answers(served: Served, project: Path) -> None:
    text = served.text
    assert text.index("prepared") < text.index("web ") < text.index("http://127.0.0.1:")
    assert f"web {served.pids('web')[0]} 1\n" in text, "one thread for forward passes"
    assert f"worker {served.pids('worker')[0]} {project / 'data'}\n" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(served: Served, number: signal.Signals) -> None:
    served.process.send_signal(number)
    assert served.process.wait(20) == 0
    assert gone(served.pids("web")[0])
    assert gone(served.pids("worker")[0])


def test_a_dead_worker_is_started_again(served: Served) -> None:
    first = served.pids("worker")[0]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(served.pids("worker")) == 2)
    assert "starting it again" in served.text
    assert not gone(served.pids("web")[0])


def test_a_dead_web_server_stops_the_rest_and_fails(served: Served) -> None:
    os.kill(served.pids("web")[0], signal.SIGKILL)
    assert served.process.wait(20) == 1
    assert "web server ended by itself" in served.text
    assert gone(served.pids("worker")[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_nothing_outlives_a_killed_supervisor(served: Served) -> None:
    served.process.kill()
    served.process.wait()
    eventually(lambda: gone(served.pids("web")[0]) and gone(served.pids("worker")[0]))
