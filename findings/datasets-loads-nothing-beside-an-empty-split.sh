#!/bin/sh
# datasets 5.2.0 loads no split at all of a config in which one has no rows, although its Parquet file is there, typed
# and with the features in its schema: it takes the file's first row group as its batch ("BatchSize must be greater
# than 0, got 0"; of a file without any row group it says 'Instruction "test" corresponds to no data!'). Without the
# file the same config fails before that, for the glob that finds nothing ("Couldn't infer the same data file format
# for all splits"). So `configs:` must name the splits that have rows, and whoever takes a part of a data set (one
# round of several) needs a README of its own.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0
mkdir -p "$work/set/data"
cat >"$work/set/README.md" <<'MD'
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
  - split: test
    path: data/test-*.parquet
---
MD
cat >"$work/read.py" <<'PY'
import json, sys, tempfile
import pyarrow as pa, pyarrow.parquet as pq
from datasets import load_dataset
folder, rows = sys.argv[1], int(sys.argv[2])
features = {"id": {"dtype": "string", "_type": "Value"}}
schema = pa.schema([("id", pa.string())], metadata={"huggingface": json.dumps({"info": {"features": features}})})
for split, n in (("train", 3), ("test", rows)):
    if n >= 0:
        pq.write_table(pa.table({"id": list(map(str, range(n)))}, schema), f"{folder}/data/{split}-1.parquet")
try:
    found = load_dataset(folder, cache_dir=tempfile.mkdtemp())
    print({name: len(part) for name, part in found.items()})
except Exception as error:
    print(f"{type(error).__name__}: {error.__cause__ or error}")
PY
export HF_HUB_OFFLINE=1 HF_HOME="$work/home"
read_with() { "$work/venv/bin/python" "$work/read.py" "$work/set" "$1" 2>/dev/null; }

echo "a test split of no file:"
read_with -1 | tee "$work/none"
echo "a test split of no rows:"
read_with 0 | tee "$work/empty"
echo "a test split of one row:"
read_with 1 | tee "$work/one"
grep -q "Couldn't infer the same data file format" "$work/none" || { echo "this has changed"; exit 1; }
grep -q "BatchSize must be greater than 0" "$work/empty" || { echo "this has changed"; exit 1; }
grep -q "'train': 3, 'test': 1" "$work/one" || { echo "this has changed"; exit 1; }
