"""The server behind a real nginx with TLS, with the configuration that docs/nginx recommends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from dadc_server.serve import Options, web_command
from tests.cast import PASSWORD
from tests.services import free_port, running

PROJECT = Path(__file__).resolve().parents[2]
RECOMMENDED = PROJECT / "docs" / "nginx"

# Around the recommended files: what Debian's own nginx.conf says, for one process in a folder.
MAIN = """
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    {http}
}}
"""
SHARED_HOST = """
    include {home}/upstream.conf;
    server {{
        listen 443 ssl;
        ssl_certificate /etc/ssl/dadc/fullchain.pem;
        ssl_certificate_key /etc/ssl/dadc/key.pem;
        location / {{ return 200 "somebody else's site"; }}
        include {home}/below-a-path.conf;
    }}
"""


@dataclass
class Site:
    """Addresses of one instance as a browser sees them, and the file of its certificate."""

    certificate: Path
    log: Path
    https: int
    http: int
    web: int
    path: str
    sessions: list[requests.Session] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}{self.path}/"

    def libraries(self) -> set[str]:
        """The compiled libraries that the web process and its master have loaded (Linux)."""
        libraries = set[str]()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may have ended, or be somebody else's
                if f"127.0.0.1:{self.web}" in (process / "cmdline").read_text():
                    maps = (process / "maps").read_text()
                    libraries.update(re.findall(r"/site-packages/(\w+)", maps))
        return libraries

    def session(self) -> requests.Session:
        session = requests.Session()
        session.verify = str(self.certificate)
        session.trust_env = False
        self.sessions.append(session)
        return session

    def signed_in(self, name: str) -> requests.Session:
        """Somebody who came through the sign-in page: its form, its secret, its cookies."""
        session = self.session()
        page = session.get(f"{self.url}accounts/login/")
        token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        form = {"login": name, "password": PASSWORD, "csrfmiddlewaretoken": token}
        answer = session.post(page.url, form, headers={"Referer": page.url})
        assert answer.ok
        assert f"Account of {name}" in answer.text
        return session

    def socket(self, slug: str, session: requests.Session, **options: Any) -> ClientConnection:
        """The task's websocket, with the cookies of a session, as a page of this site opens it."""
        headers = {"Cookie": "; ".join(f"{key}={value}" for key, value in session.cookies.items())}
        return connect(
            f"wss://localhost:{self.https}{self.path}/ws/tasks/{slug}/",
            ssl=ssl.create_default_context(cafile=self.certificate),
            additional_headers=headers | options.pop("headers", {}),
            **{"origin": f"https://localhost:{self.https}", "proxy": None, **options},
        )


@contextmanager
def site(folder: Path, data: Path, *, path: str = "", **environment: str) -> Iterator[Site]:
    """One web process, as bin/serve starts it, on this data, with nginx before it."""
    own = {
        "DADC_PATH": path,
        "DADC_PROXY": "1",
        "DADC_HTTPS": "1",
        "DADC_ALLOWED_HOSTS": "localhost",
        **environment,
    }
    with (
        front(folder, path=path) as made,
        running(
            web_command(Options("127.0.0.1", made.web, data)),
            made.log,
            lambda: answers(f"http://127.0.0.1:{made.web}/healthz"),
            signal.SIGTERM,
            cwd=PROJECT,
            env=own_environment(data) | own,
        ),
    ):
        yield made


@contextmanager
def front(folder: Path, *, path: str = "") -> Iterator[Site]:
    """nginx alone, before a port on which nobody serves yet."""
    web, http, https = free_port(), free_port(), free_port()
    certificate = self_signed(folder)
    main = nginx_files(folder, path=path, web=web, http=http, https=https)
    with running(
        [nginx_program(), "-p", str(folder), "-c", str(main), "-e", f"{folder}/error.log"],
        folder / "nginx.log",
        lambda: listens(https),
        signal.SIGTERM,
    ):
        made = Site(certificate, folder / "web.log", https, http, web, path)
        yield made
        for session in made.sessions:
            session.close()


def own_environment(data: Path) -> dict[str, str]:
    others = ("DATABASE_URL", "REDIS_URL", "DADC_", "DJANGO_SETTINGS_MODULE", "WEB_CONCURRENCY")
    own = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**own, "DADC_DATA": str(data), "OMP_NUM_THREADS": "1"}


def nginx_files(folder: Path, *, path: str, web: int, http: int, https: int) -> Path:
    """The recommended files with this test's ports and certificate in place of the real ones."""
    for file in RECOMMENDED.glob("*.conf"):
        (folder / file.name).write_text(file.read_text())
    shared = SHARED_HOST.format(home=folder)
    text = MAIN.format(home=folder, http=shared if path else f"include {folder}/dadc.conf;")
    main = folder / "nginx.conf"
    main.write_text(text)
    replaced = {
        "/etc/nginx/dadc/": f"{folder}/",
        "/etc/ssl/dadc/": f"{folder}/",
        "dadc.example.org": "localhost",
        "127.0.0.1:8000;": f"127.0.0.1:{web};",
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443 ssl": f"listen 127.0.0.1:{https} ssl",
        "https://$host$": f"https://$host:{https}$",
        "/dadc": path or "/dadc",
    }
    for file in folder.glob("*.conf"):
        lines = [line for line in file.read_text().splitlines() if "listen [::]" not in line]
        changed = "\n".join(lines) + "\n"
        for before, after in replaced.items():
            if before != "/dadc" or file.name == "below-a-path.conf":
                changed = changed.replace(before, after)
        file.write_text(changed)
    return main


def self_signed(folder: Path) -> Path:
    certificate = folder / "fullchain.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-addext", "keyUsage=digitalSignature"),
            *("-keyout", str(folder / "key.pem"), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate


def nginx_program() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def make_world(data: Path, **people: str) -> None:
    """An instance with the digits task and these people (name=role)."""
    subprocess.run(
        [sys.executable, "-m", "tests.browser.world", "begin"]
        + [f"{name}={role}" for name, role in people.items()],
        cwd=PROJECT,
        env=own_environment(data) | {"DJANGO_SETTINGS_MODULE": "dadc_server.settings"},
        check=True,
    )
