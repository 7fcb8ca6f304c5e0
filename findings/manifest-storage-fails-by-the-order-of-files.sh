#!/bin/sh
# Whether Django 5.2.19 can collect JavaScript modules that import each other in a chain depends on the order in which
# it meets the files. ManifestStaticFilesStorage with support_js_module_import_aggregation makes six passes at most; met
# importers last, eight modules in a chain take two, and importers first they end in "Max post-process passes exceeded".
# `collectstatic` takes files as os.scandir lists them, unsorted, so the same files are collected on one machine and fail
# on another, or after a fresh checkout. Raise max_post_process_passes: passes end by themselves when nothing changes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check django==5.2.19
cd "$work"
cat >order.py <<'PY'
import tempfile
from pathlib import Path

import django
from django.conf import settings

settings.configure(STATIC_URL="/static/", SECRET_KEY="x")
django.setup()

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage

CHAIN = 8


class Storage(ManifestStaticFilesStorage):
    support_js_module_import_aggregation = True
    made = 0

    def save_manifest(self):
        pass

    def _post_process(self, *arguments):
        type(self).made += 1
        return super()._post_process(*arguments)


def collect(importers_first):
    with tempfile.TemporaryDirectory() as folder:
        for n in range(CHAIN):
            text = f'import "./m{n + 1}.js";\n' if n + 1 < CHAIN else "export {};\n"
            Path(folder, f"m{n}.js").write_text(text)
        storage = Storage(location=folder)
        Storage.made = 0
        order = range(CHAIN) if importers_first else reversed(range(CHAIN))
        paths = {f"m{n}.js": (storage, f"m{n}.js") for n in order}
        problems = [str(error) for _, _, error in storage.post_process(paths) if isinstance(error, Exception)]
        return Storage.made, problems


for importers_first in (False, True):
    passes, problems = collect(importers_first)
    print("importers", "first" if importers_first else "last", passes, *problems)
PY
"$work/venv/bin/python" order.py >seen.txt
cat seen.txt
grep -q "^importers last [23]$" seen.txt
grep -q "^importers first 6 Max post-process passes exceeded.$" seen.txt
