"""A rehearsal's process: `python -m training.rehearsal_world`, for each seed in an empty folder.

Its database is thrown away after it: nothing here can reach a real task. It reads what to do from
its input, and says on its output how far it is, a JSON object a line, the turns last.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path


def open_world() -> None:
    """An empty database with every table; refuses one that somebody's data are in."""
    import django
    from django.apps import apps
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    if connection.vendor != "sqlite" or connection.introspection.table_names():
        raise SystemExit("A rehearsal needs an empty database of its own.")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=OFF")  # it is thrown away
    # Straight from the models: migrating takes ten seconds.
    settings.MIGRATION_MODULES = {app.label: None for app in apps.get_app_configs()}
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)


def main() -> None:
    told = json.loads(sys.stdin.read())
    open_world()
    from django.conf import settings

    from ml.learners import learner_named, name_in, read_base
    from training.rehearsal_file import RehearsalFile
    from training.rehearsing import Crowd, make_task

    file = RehearsalFile.model_validate(told["file"])

    def tell(fraction: float, words: str) -> None:
        print(json.dumps({"at": round(fraction, 4), "words": words}), flush=True)

    task, model = make_task(told)
    learner = learner_named(str(name_in(model.config)))
    stock = read_base(learner, told["stock"], Path(settings.ARTIFACT_DIR))
    crowd = Crowd(task, file, stock, seed=told["seed"], tell=tell)
    print(json.dumps({"turns": [asdict(turn) for turn in crowd.play()]}), flush=True)


if __name__ == "__main__":
    main()
