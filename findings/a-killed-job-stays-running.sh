#!/bin/sh
# A job whose worker is killed stays "RUNNING" for ever with django-tasks-db 0.13.0 (django-tasks 0.12.0, Django
# 5.2.19): the next worker takes up new jobs and leaves that one, which neither fails nor is tried again, and the
# library has no command that ends it (`prune_db_task_results` keeps what runs). A job that has just been queued has the
# year 9999 as `run_after`, so that who sorts by it to find the oldest finds none. A training, a release or an
# evaluation that must survive its machine needs a sign of life of its own beside such a queue.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check django==5.2.19 django-tasks==0.12.0 django-tasks-db==0.13.0
cd "$work"
cat >work.py <<'PY'
import os
import sys
import time

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "work.sqlite3"}},
    INSTALLED_APPS=["django_tasks", "django_tasks_db"],
    TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    SECRET_KEY="x",
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command
from django_tasks import task


@task()
def train(seconds):
    print("begun", flush=True)
    time.sleep(seconds)


if __name__ == "__main__":
    sys.modules["work"] = sys.modules["__main__"]
    call_command(*sys.argv[1:])
PY
cat >add.py <<'PY'
import sys

import work
from django_tasks_db.models import DBTaskResult

result = work.train.enqueue(seconds=float(sys.argv[1]))
print("run_after:", DBTaskResult.objects.get(pk=result.id).run_after.year)
PY
cat >see.py <<'PY'
import work
from django_tasks_db.models import DBTaskResult

print(" ".join(DBTaskResult.objects.order_by("enqueued_at").values_list("status", flat=True)))
PY
python=$work/venv/bin/python
$python work.py migrate --verbosity 0
$python add.py 60 | tee added
grep -qx "run_after: 9999" added
$python work.py db_worker >worker.log 2>&1 &
worker=$!
for _ in $(seq 100); do grep -q begun worker.log && break; sleep .2; done
grep -q begun worker.log
kill -9 "$worker"
wait "$worker" 2>/dev/null || true
$python add.py 0 >/dev/null
$python work.py db_worker --batch >second.log 2>&1
$python see.py | tee seen
$python work.py prune_db_task_results --min-age-days 0 >/dev/null 2>&1
$python see.py | tee -a seen
[ "$(xargs <seen)" = "RUNNING SUCCESSFUL RUNNING" ] || { echo "This has changed."; exit 1; }
echo "The killed job is RUNNING still, after another worker and the library's clean-up."
