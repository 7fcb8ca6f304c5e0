#!/bin/sh
# Django 5.2's ManifestStaticFilesStorage with support_js_module_import_aggregation takes an import type in a
# JSDoc comment, `{import("./b.js").B}`, for an import: it rewrites the comment, and two modules that describe
# each other's types end collectstatic with "Max post-process passes exceeded", although neither imports the other.
# Types of both then need a file of their own that names neither.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check Django==5.2.19
mkdir -p "$work/static/js"
cd "$work"
cat >settings.py <<'PY'
SECRET_KEY = "of this script alone"
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATIC_URL, STATIC_ROOT, STATICFILES_DIRS = "/static/", "out", ["static"]
STORAGES = {"staticfiles": {"BACKEND": "storage.Modules"}}
PY
cat >storage.py <<'PY'
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class Modules(ManifestStaticFilesStorage):
    support_js_module_import_aggregation = True
PY
printf '/** @param {import("./b.js").B} b */\nexport function a(b) {}\n' >static/js/a.js
printf 'export const b = 1;\n' >static/js/b.js
collect() { DJANGO_SETTINGS_MODULE=settings venv/bin/django-admin collectstatic --noinput --pythonpath . 2>&1; }

collect >log
echo "one comment, no import:"
grep -ho 'import("[^"]*")' out/js/a.*.js | grep -v '"./b.js"' || { echo "the comment was left alone: this has changed"; exit 1; }

printf '/** @param {import("./a.js").A} a */\nexport function b(a) {}\n' >static/js/b.js
rm -rf out
if collect >log; then echo "two comments are collected: this has changed"; exit 1; fi
echo "two comments that name each other:"
grep -o 'Max post-process passes exceeded.*' log
