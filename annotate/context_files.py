"""Files of contexts, read row by row: JSON lines, CSV and Parquet; imports no Django."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from core.strict_json import NotJson, loads


class Row(NamedTuple):
    """A row's number, counted from 1 as its file counts, and its columns, or what is wrong."""

    number: int
    content: dict[str, Any] | str


class NotRows(ValueError):
    """The whole file cannot be read; the message is a sentence."""


def rows_of(path: Path) -> Iterator[Row]:
    """The rows of a file, by its suffix; NotRows or OSError where it is none."""
    readers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise NotRows(f"{path.name} must be a {', '.join(readers)} file.")
    return readers[path.suffix](path)


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                content = loads(line.strip())
            except NotJson as error:
                content = str(error)
            else:
                if not isinstance(content, dict):
                    content = "a row is an object."
            yield Row(number, content)


def _csv(path: Path) -> Iterator[Row]:
    """The first line names the columns; a row has the number of the line on which it ends."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        while True:
            try:
                row: dict[Any, Any] = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(reader.line_num, f"{error}.")
                continue
            except UnicodeDecodeError as error:
                raise NotRows(f"{path.name} must be UTF-8.") from error
            more = None in row
            yield Row(reader.line_num, "it has more columns than the first line." if more else row)


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow  # heavy, and only this needs it
    from pyarrow import parquet

    with path.open("rb") as opened:
        try:
            with parquet.ParquetFile(opened) as file:
                number = 0
                for batch in file.iter_batches():
                    for content in batch.to_pylist():
                        number += 1
                        yield Row(number, content)
        # A damaged page is an OSError of the library's, a text that is none one of Python's.
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise NotRows(f"{path.name} is no Parquet file: {error}.") from error
