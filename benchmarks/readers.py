"""Read a release as others do: `python -m benchmarks.readers DIR… [--into FOLDER] [--round N]`.

Three independent programs (datasets, mlcroissant, DuckDB), each in an environment of its own that
is made in FOLDER when it is missing, read every row of each release; what they read is compared
with what pyarrow reads from the files: values, types and order. Nothing asks a network but pip.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from releases.archive import Tar, of_rounds
from releases.card import readme_of_rounds
from releases.folders import ROUNDS, files_below

PACKAGES = {
    "datasets": "datasets==5.2.0",
    "mlcroissant": "mlcroissant[image,parquet]==1.1.1",
    "duckdb": "duckdb==2.0.1",
}
PLAIN = """
import base64, datetime, json, sys
def plain(value):
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value
def tell(where, row):
    print(json.dumps([folder, where, plain(row)], sort_keys=True))
"""
# Each defines `read(folder)`; one process reads several releases, for it is slow to start.
READ_ALL = """
for folder in sys.argv[1:]:
    read(folder)
"""
SCRIPTS = {
    "datasets": """
import os, tempfile
from datasets import Image, load_dataset
def read(folder):
    for config in (None, "rounds"):
        cache = tempfile.mkdtemp(dir=os.environ["TMPDIR"])
        for split, rows in load_dataset(folder, config, cache_dir=cache).items():
            for name, feature in rows.features.items():
                if isinstance(feature, Image):
                    rows = rows.cast_column(name, Image(decode=False))
            for row in rows:
                tell(split, row)
""",
    "duckdb": """
import duckdb, glob, os
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute("SET enable_progress_bar = false")  # it would stand among the rows
def read(folder):
    for path in sorted(glob.glob(folder + "/data/*.parquet")) + [folder + "/rounds.parquet"]:
        found = db.execute("SELECT * FROM read_parquet(?)", [path])
        names = [column[0] for column in found.description]
        while some := found.fetchmany(1000):
            for row in some:
                tell(os.path.basename(path), dict(zip(names, row)))
""",
    "mlcroissant": """
import io, os
import mlcroissant, pandas
def text(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, pandas.Timestamp):
        return value.to_pydatetime()
    if hasattr(value, "tolist"):
        return text(value.tolist())
    if isinstance(value, float) and value != value:
        return None
    if value is pandas.NaT:
        return None
    if isinstance(value, dict):
        return {name: text(part) for name, part in value.items()}
    if isinstance(value, list):
        return [text(part) for part in value]
    if type(value).__module__.startswith("PIL"):
        value = list(value.convert("L").get_flattened_data())
    return value
def read(folder):
    data = mlcroissant.Dataset(jsonld=folder + "/croissant.json")
    issues = data.metadata.ctx.issues
    assert not issues.errors and not issues.warnings, issues.report()
    for records in data.metadata.record_sets:
        file = f"{records.name}.parquet"
        if os.path.exists(f"{folder}/data/{file}") or os.path.exists(f"{folder}/{file}"):
            for row in data.records(records.name):
                row = {name.rpartition("/")[2]: text(value) for name, value in row.items()}
                tell(records.name + ".parquet", row)
""",
}


class CannotRead(Exception):
    """The reader failed; the end of what it said."""


def environment(name: str, home: Path) -> Path:
    """The Python of this reader's environment, made when it is missing."""
    python = home / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home / name)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--no-compile"]
        subprocess.run([*pip, PACKAGES[name]], check=True)
    return python


def read_by(name: str, home: Path, folders: Sequence[Path]) -> dict[str, list[Any]]:
    """Every row that the reader reads of each release, as [where, row]."""
    with tempfile.TemporaryDirectory() as scratch:
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": scratch, "TMPDIR": scratch, "PATH": "/usr/bin"}
        done = subprocess.run(
            [
                *(str(environment(name, home)), "-c", PLAIN + SCRIPTS[name] + READ_ALL),
                *map(str, folders),
            ],
            env=offline,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise CannotRead(done.stderr[-2000:])
    found: dict[str, list[Any]] = {str(folder): [] for folder in folders}
    for line in done.stdout.splitlines():
        folder, where, row = json.loads(line)
        found[folder].append([where, row])
    return found


def rows_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """What pyarrow reads: (file, row) in order."""
    space: dict[str, Any] = {}
    exec(PLAIN, space)
    for path in [*sorted((folder / "data").glob("*.parquet")), folder / ROUNDS]:
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield path.name, json.loads(json.dumps(space["plain"](row)))


def by_split(rows: list[tuple[str, Any]]) -> list[Any]:
    order = ("train", "validation", "test", "rounds")
    named = [[re.split(r"[-.]", name)[0], row] for name, row in rows]
    return sorted(named, key=lambda one: order.index(one[0]))


def differences(name: str, home: Path, folders: Sequence[Path]) -> dict[str, list[str]]:
    """What this reader reads otherwise, the first three of each release; none: it is equal."""
    read = read_by(name, home, folders)
    found = {folder.name: _differences(name, folder, read[str(folder)]) for folder in folders}
    return {folder: some for folder, some in found.items() if some}


def _differences(name: str, folder: Path, found: list[Any]) -> list[str]:
    expected: list[Any] = list(map(list, rows_of(folder)))
    if name == "datasets":
        expected = by_split(list(rows_of(folder)))
    if name == "mlcroissant":
        expected = [[where, as_croissant(row)] for where, row in expected]
        found = [[where, as_croissant(row)] for where, row in found]
    if len(found) != len(expected):
        return [f"{len(found)} rows instead of {len(expected)}"]
    pairs = zip(found, expected, strict=True)
    return [f"{one}\n  instead of\n{other}" for one, other in pairs if one != other][:3]


def as_croissant(row: Any, home: str = "") -> dict[str, Any]:
    """A row's values by their paths, without nulls: Croissant names parts by whole paths and knows
    no null object beside an object of nulls. A picture is what it shows."""
    if isinstance(row, dict) and "bytes" in row:
        row = list(
            Image.open(BytesIO(base64.b64decode(row["bytes"]))).convert("L").get_flattened_data()
        )
        return {home: row}
    if home == ".image":
        return {home: row}
    parts: dict[str, Any] = {}
    if isinstance(row, dict):
        for name, part in row.items():
            parts |= as_croissant(part, f"{home}.{name.rpartition('/')[2]}")
    elif isinstance(row, list):
        parts[f"{home}.length"] = len(row)
        for place, part in enumerate(row):
            parts |= as_croissant(part, f"{home}.{place}")
    elif row is not None:
        parts[home] = row
    return parts


def unpack(content: bytes, into: Path) -> None:
    """An archive of our own; Python 3.11.0 to 3.11.3 knows no filters."""
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, filter="data")
        else:
            tar.extractall(into)


def one_round(folder: Path, number: int, into: Path) -> Path:
    """A copy of what somebody has who took one round only."""
    name = f"{folder.name}-round-{number}"
    about = json.loads((folder / "release.json").read_text())
    files = of_rounds(files_below(folder), [number])
    readme = readme_of_rounds(about, (folder / "README.md").read_text(), [number])
    unpack(b"".join(_tar(name, files, readme)), into)
    return into / name


def _tar(name: str, files: dict[str, Path | bytes], readme: str) -> Iterator[bytes]:
    tar = Tar(name, {**files, "README.md": readme.encode()}, 0)
    return tar.read(0, tar.size)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readers", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, default=Path(tempfile.gettempdir()) / "dadc-readers")
    parser.add_argument("--round", type=int, help="read what has only this round's files")
    parser.add_argument("--only", choices=PACKAGES)
    asked = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        folders = asked.folders
        if asked.round is not None:
            folders = [one_round(folder, asked.round, Path(scratch)) for folder in folders]
        for name in [asked.only] if asked.only else PACKAGES:
            began = time.perf_counter()
            try:
                found = differences(name, asked.into, folders)
            except CannotRead as error:
                found = {"all": [str(error)]}
            took = time.perf_counter() - began
            lines = [f"{folder}: {line}" for folder, some in found.items() for line in some]
            verdict = "all equal" if not found else "OTHER\n" + "\n".join(lines)
            print(f"{name:12} {took:6.1f} s  {len(folders)} releases: {verdict}", flush=True)
            wrong += bool(found)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    main()
