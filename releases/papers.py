"""What a release says of itself to people and to machines, by its numbers alone; no Django."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinds import Kind
from releases.card import readme
from releases.columns import schema_of
from releases.croissant import croissant
from releases.folders import ROUNDS, sha256_of


def papers(about: Mapping[str, Any], kind: Kind, folder: Path) -> dict[str, str]:
    """README.md and croissant.json, by what release.json says and the tables that are there."""
    schema = schema_of(kind, about["format"])
    tables = sorted((*folder.glob("data/*.parquet"), *folder.glob(ROUNDS)))
    found = {
        path.relative_to(folder).as_posix(): (sha256_of(path), path.stat().st_size)
        for path in tables
    }
    machine = croissant(about, schema, found)
    return {
        "README.md": readme(about, schema.names),
        "croissant.json": json.dumps(machine, indent=1, ensure_ascii=False) + "\n",
    }
