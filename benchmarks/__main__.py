"""How fast and how safe: `python -m benchmarks [SUBJECT…] [--seconds 5] [--json FILE]`.

Starts its own servers on free ports with their own data, makes load from processes of its own, and
prints Markdown tables. Without a subject it measures all but `crash`, `retrain`, `soak`, `hostile`
and `gold`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import crash, predict, retraining, soak, trust, visit, writes
from benchmarks.servers import DATABASES, PROJECT

Subject = Callable[[argparse.Namespace], dict[str, Any]]

MEASURED: dict[str, Subject] = {
    "predict": predict.predict,
    "texts": predict.texts,
    "strokes": predict.strokes,
    "gradio": predict.gradio,
    "submit": writes.submit,
    "validate": writes.validate,
    "mixed": writes.mixed,
    "pages": writes.pages,
    "visit": visit.visit,
}
ONLY_WHEN_NAMED: dict[str, Subject] = {
    "crash": crash.crash,
    "retrain": retraining.retrain,
    "soak": soak.soak,
    "hostile": trust.hostile,
    "gold": trust.gold,
}
SUBJECTS = MEASURED | ONLY_WHEN_NAMED
PACKAGES = ("Django", "channels", "uvicorn", "websockets", "uvloop", "onnxruntime", "numpy")


def main() -> None:
    asked = _arguments()
    report: dict[str, Any] = {"about": _about(asked)}
    print("  ".join(f"{name} {value}" for name, value in report["about"].items()), flush=True)
    for name in asked.subjects or MEASURED:
        print(f"\n# {name}: {SUBJECTS[name].__doc__}", flush=True)
        report[name] = SUBJECTS[name](asked)
        if asked.json:  # after each: a later one that fails takes nothing away
            Path(asked.json).write_text(json.dumps(report, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (5)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions, in turn (3)")
    parser.add_argument("--sockets", type=int, nargs="+", default=[1, 8, 32, 128, 512])
    parser.add_argument("--workers", type=int, default=2, help="web processes beside peers (2)")
    parser.add_argument("--databases", nargs="+", default=DATABASES, choices=DATABASES)
    parser.add_argument("--times", type=int, default=20, help="kills of each victim in crash (20)")
    parser.add_argument("--victims", nargs="+", default=crash.VICTIMS, choices=crash.VICTIMS)
    parser.add_argument("--minutes", type=float, default=10, help="of the soak (10)")
    parser.add_argument("--mnist", type=Path, help="folder of IDX files: clean data of retrain")
    parser.add_argument("--json", metavar="FILE", help="write every figure here")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.subjects) - set(SUBJECTS)):
        parser.error(f"there is no {', '.join(unknown)}: choose from {', '.join(SUBJECTS)}")
    return asked


def _about(asked: argparse.Namespace) -> dict[str, Any]:
    """When, where, and of what."""
    code = ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"]
    revision = subprocess.run(code, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "code": revision,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "seconds": asked.seconds,
        "rounds": asked.rounds,
    }


if __name__ == "__main__":
    main()
