"""A release on this machine: as a folder, as `datasets`, as pandas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Release:
    """A downloaded version of a task's data."""

    folder: Path

    @property
    def about(self) -> dict[str, Any]:
        """Every number of its card."""
        return dict(json.loads((self.folder / "release.json").read_text()))

    def datasets(self, config: str | None = None) -> Any:
        """A DatasetDict of its splits; `round_1` of one round only. Needs `datasets`."""
        from datasets import load_dataset

        return load_dataset(str(self.folder), config)

    def pandas(self, split: str | None = None) -> Any:
        """A DataFrame of a split, or of all with their `split`. Needs pandas and pyarrow."""
        import pandas as pd

        files = sorted((self.folder / "data").glob("*-round-*.parquet"))
        wanted = [path for path in files if split in (None, path.name.partition("-")[0])]
        frames = [
            pd.read_parquet(path).assign(split=path.name.partition("-")[0])
            for path in wanted or files[:1]
        ]
        if not wanted:  # nobody's work is in this split: no row, and still its columns
            frames = [frame.iloc[:0] for frame in frames]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
