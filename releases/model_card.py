"""README.md of a model that goes with a release: what it met, and lines that load and run it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kinds import kind_named
from releases.card import rate

Json = Any

# Whatever its backend: the server's own way of asking it.
WITH_THE_SERVER: Final = """With DADC Server's folder as `PYTHONPATH`, as it was asked here:

```python
import json
from pathlib import Path
from kinds import kind_named
from ml.backends import Source, open_model

said, kind = json.loads(Path("model.json").read_text()), kind_named("{kind}")
file = {file}
model = open_model(said["backend"], Source(file, said["sha256"], said["config"]))
{ask}
```"""
ANSWERS: Final = """yours = kind.parse(kind.probes[0])  # what people send: docs/kinds.md
print(model.answer([yours])[0])"""
TALKS: Final = """print(model.turn([{"role": "user", "content": "Good day."}]).content)"""

BY_ITS_GRAPH: Final = """Its graph alone, without this server:

```python
import numpy as np
import onnxruntime

labels = {labels}
session = onnxruntime.InferenceSession("{graph}")
batch = np.zeros({shape}, dtype=np.float32)  # yours, read as kinds/{kind} does
(probabilities,) = session.run(None, {{session.get_inputs()[0].name: batch}})
print([labels[row.argmax()] for row in probabilities])
```"""

ITS_WEIGHTS: Final = """Its weights alone:

```python
from safetensors.numpy import load_file

print({{name: one.shape for name, one in load_file("{weights}").items()}})
```"""

ITS_FOLDER: Final = """Its file is a zip of safetensors, configuration and tokenizer:

```python
import zipfile
from transformers import AutoModel, AutoTokenizer

zipfile.ZipFile("{file}").extractall("checkpoint")
tokens = AutoTokenizer.from_pretrained("checkpoint")("Yours.", return_tensors="pt")
print(AutoModel.from_pretrained("checkpoint").eval()(**tokens).last_hidden_state.shape)
```"""


def card(
    name: str,
    said: Mapping[str, Json],
    *,
    kind: str,
    parent: str,
    rounds: Sequence[Mapping[str, Json]],
    ways: Sequence[str],
) -> str:
    """The whole card; `rounds` as the release counts them, `ways` the lines beside the server's."""
    file = Path(said["file"]).name if said.get("file") else None
    shown = f"Path({json.dumps(file)})" if file else "None  # it needs none"
    parts = [
        f"# {name}",
        f"Backend `{said['backend']}`, SHA-256 `{said['sha256']}`, registered "
        f"{said['created_at'][:10]}." + (f" It was trained from `{parent}`." if parent else ""),
        _met(name, rounds),
        _evaluated(said["evaluated"]),
        "## Run it",
        WITH_THE_SERVER.format(
            kind=kind, file=shown, ask=TALKS if kind_named(kind).talks else ANSWERS
        ),
        *ways,
        "## All that its version says\n\n`model.json` has its options, and these metrics:\n\n"
        f"```json\n{json.dumps(said['metrics'], indent=1, ensure_ascii=False)}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _met(name: str, rounds: Sequence[Mapping[str, Json]]) -> str:
    rows = [
        f"| {part['round']} | {met['answered']:,} | {met['fooled']:,} | {met['verified']:,} |"
        for part in rounds
        if (met := part["met"].get(name))
    ]
    if not rows:
        return ""
    head = "| round | examples that it answered | claimed foolings | verified |\n|---|---|---|---|"
    return "## What it met in this release\n\n" + "\n".join([head, *rows])


def _evaluated(found: Sequence[Mapping[str, Json]]) -> str:
    rows = [
        f"| {one['on']} | {rate(one)} | {one['of']:,} | "
        + (f"{one['f1']:.3f}" if one["f1"] is not None else "–")
        + (" | made against it |" if one["own"] else " | |")
        for one in found
    ]
    if not rows:
        return ""
    head = "| set | right | items | F1, mean over labels | |\n|---|---|---|---|---|"
    told = "Clean data, and each round's verified foolings as they were frozen when it was asked:"
    return f"## Metrics a round\n\n{told}\n\n" + "\n".join([head, *rows])
