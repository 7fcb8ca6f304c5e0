"""The Parquet files of a release while they are written, one a split and round; no Django."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP: Final = 10_000
HELD: Final = 16 << 20  # bytes that wait for their group, of all files together


class Tables:
    """Writes rows into `data/SPLIT-round-N.parquet`, as columns from the first moment."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
        self._bytes: Counter[str] = Counter()
        self.rows: defaultdict[str, int] = defaultdict(int)
        folder.mkdir(parents=True)

    def add(self, rows: pa.RecordBatch, places: Sequence[tuple[str, int]]) -> None:
        """Add rows, each to the file of its split and round."""
        by_file: defaultdict[str, list[int]] = defaultdict(list)
        for row, (split, number) in enumerate(places):
            by_file[f"{split}-round-{number}.parquet"].append(row)
        for name, mine in by_file.items():
            some = rows if len(mine) == len(rows) else rows.take(pa.array(mine))
            self._waiting[name].append(some)
            self._bytes[name] += some.nbytes
            self.rows[name] += len(some)
            if _length(self._waiting[name]) >= ROW_GROUP:
                self._flush(name)
        while self._bytes.total() > HELD:
            self._flush(self._bytes.most_common(1)[0][0])

    def close(self) -> None:
        """Write what waits. No file is empty: `datasets` loads nothing beside an empty split."""
        for name in list(self._waiting):
            self._flush(name)
        for writer in self._writers.values():
            writer.close()
        pa.default_memory_pool().release_unused()

    def _flush(self, name: str) -> None:
        if name not in self._writers:
            self._writers[name] = pq.ParquetWriter(
                self._folder / name, self._schema, compression="zstd"
            )
        batches = self._waiting.pop(name, [])
        del self._bytes[name]
        if batches:
            table = pa.Table.from_batches(batches, self._schema)
            self._writers[name].write_table(table, row_group_size=ROW_GROUP)
            pa.default_memory_pool().release_unused()


def _length(batches: Iterable[pa.RecordBatch]) -> int:
    return sum(batch.num_rows for batch in batches)
