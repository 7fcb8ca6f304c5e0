"""Programs on a server's data, forked from a process that has imported what they need.

Each would take four seconds of CPU to start by itself. Reads [module, argument…, file] as JSON, a
line each; writes the program's exit status once what it printed is in the file.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import django


def main() -> None:
    django.setup()
    from django.urls import resolve

    resolve("/")  # imports all views
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(module: str, *arguments: str) -> NoReturn:
    """What `python -m module argument…` does, in this process."""
    *sys.argv[1:], file = arguments
    with Path(file).open("wb") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 (the line of the one who asked goes on in its parent)
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    main()
