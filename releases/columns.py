"""The columns of a release: their types, and a row of them from the lines of a log; no Django.

`datasets` reads its features from the schema's metadata; what it and other readers really do with
types is measured by `python -m benchmarks.readers`. A null list comes back as a list of one null
from some of them, so lists are empty instead.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa

from core.errors import Refused
from core.strict_json import dumps
from kinds import Kind, kind_named
from releases.figures import ARMS
from releases.folders import FORMAT

Json = Any
MOMENT: Final = pa.timestamp("us", tz="UTC")
PICTURE: Final = "image"
ANSWERS: Final = frozenset({"label", "prediction", "final_label", "voted_label"})


def answer_type(kind: Kind) -> pa.DataType:
    """A label, a list of them, or a free answer with its place where it has one."""
    if kind.answers.few:
        return pa.string()
    if kind.answers.several:
        return pa.list_(pa.string())
    return pa.struct([("text", pa.string()), ("start", pa.int64())])


def answer_cell(kind: Kind, answer: Json) -> Json:
    """An answer in its column's type; what a log brought of another form is written as JSON."""
    if answer is None:
        return [] if kind.answers.several else None
    if kind.answers.several:
        return list(map(_text, answer)) if isinstance(answer, list) else [_text(answer)]
    if kind.answers.few:
        return _text(answer)
    if isinstance(answer, dict) and isinstance(answer.get("text"), str):
        start = answer.get("start")
        return {"text": answer["text"], "start": start if type(start) is int else None}
    return {"text": _text(answer), "start": None}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else dumps(value)


def has_picture(kind: Kind) -> bool:
    """Whether an input of this kind is a picture, by what it is tried with."""
    return kind.picture(kind.parse(kind.probes[0]).stored) is not None


def input_fields(kind: Kind) -> list[tuple[str, pa.DataType]]:
    """The columns of an input: its picture, its named texts, else all of it as JSON."""
    return _input_fields(kind.name)


@cache  # every row asks
def _input_fields(name: str) -> list[tuple[str, pa.DataType]]:
    kind = kind_named(name)
    if has_picture(kind):
        return [(PICTURE, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    texts: list[tuple[str, pa.DataType]] = [(name, pa.string()) for name in kind.text_fields]
    texts = texts or [("input", pa.string())]
    if kind.contexts and "context" not in dict(texts):
        texts.append(("context", pa.string()))
    return texts


def schema_of(kind: Kind, of_format: int = FORMAT) -> pa.Schema:
    """Every column in its order, with what `datasets` is to make of it."""
    return _schema(kind.name, of_format)


@cache
def _schema(name: str, of_format: int) -> pa.Schema:
    kind = kind_named(name)
    answer = answer_type(kind)
    vote = pa.struct(
        [
            ("validator", pa.string()),
            ("label", answer),
            ("flag", pa.string()),
            ("created_at", MOMENT),
            ("effect", pa.string()),
            ("weight", pa.float64()),
            ("close", pa.bool_()),
            ("unsteady", pa.bool_()),
            ("seconds", pa.float64()),
        ]
    )
    share = pa.struct([("label", pa.string()), ("p", pa.float64())])
    texts = pa.list_(pa.string())
    # Two lists beside each other: mlcroissant reads no list of objects within another.
    target = pa.struct(
        [
            ("model", pa.string()),
            ("prediction", answer),
            ("probabilities", pa.struct([("label", texts), ("p", pa.list_(pa.float64()))])),
            ("fooled", pa.bool_()),
        ]
    )
    return _described(
        [
            ("id", pa.string()),
            ("round", pa.int32()),
            ("author", pa.string()),
            *input_fields(kind),
            ("label", answer),
            ("prediction", answer),
            ("probabilities", pa.list_(share)),
            ("model", pa.string()),
            ("fooled", pa.bool_()),
            ("status", pa.string()),
            ("final_label", answer),
            ("adjudicated", pa.bool_()),
            ("voted_status", pa.string()),
            ("voted_label", answer),
            ("explanation", pa.string()),
            ("probes", pa.int32()),
            ("tries", pa.int32()),
            ("seconds", pa.float64()),
            ("created_at", MOMENT),
            ("settled_at", MOMENT),
            ("config", pa.int32()),
            ("arm", pa.string()),
            *([] if of_format < 4 else [("targets", pa.list_(target))]),
            ("votes", pa.list_(vote)),
        ]
    )


@cache
def rounds_schema() -> pa.Schema:
    """The columns of the table of rounds."""
    count, rules = pa.int64(), ("submissions", "verified", "submissions_each", "verified_each")
    return _described(
        [
            ("round", pa.int32()),
            ("status", pa.string()),
            ("targets", pa.list_(pa.string())),
            ("needed", pa.int32()),
            *((name, MOMENT) for name in ("opens_at", "opened_at", "closes_at", "closed_at")),
            ("rules", pa.struct([*((name, count) for name in rules), ("retraction", pa.string())])),
            ("configs", pa.list_(pa.int32())),
            ("arms", pa.struct([(arm, count) for arm in ARMS])),
        ]
    )


def rounds_table(about: Mapping[str, Json]) -> pa.Table:
    """A row for each round with examples: its times and rules as they are when the release is made,
    the versions of the task's file that they met, and how many each way of collecting gave."""
    rows = []
    for told, part in zip(about["rounds"], about["figures"]["rounds"], strict=True):
        configs = [int(version) for version in part["configs"]]
        rows.append({**told, "configs": configs, "arms": part["arms"]})
    schema = rounds_schema()
    columns = [
        pa.array([row[field.name] for row in rows], pa.string()).cast(MOMENT)
        if field.type == MOMENT
        else pa.array([row[field.name] for row in rows], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _described(columns: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    """A schema that tells `datasets` its features."""
    schema = pa.schema(columns)
    features = {field.name: _feature(field.name, field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(name: str, kind: pa.DataType) -> Json:
    """What `datasets` calls a type. Lists as lists, which old and new versions both read."""
    if name == PICTURE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return [_feature("", kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: _feature("", field.type) for field in kind}
    dtype = "timestamp[us, tz=UTC]" if kind == MOMENT else str(kind).replace("double", "float64")
    return {"dtype": dtype, "_type": "Value"}


def batch_of(
    kind: Kind,
    lines: Sequence[Mapping[str, Json]],
    votes: Sequence[Sequence[Mapping[str, Json]]],
    of_format: int = FORMAT,
) -> pa.RecordBatch:
    """The rows of examples, from their lines of the log and those of the votes on each.

    Column by column: a fourth of the time that rows of dictionaries take.
    """
    schema = schema_of(kind, of_format)
    inputs = [input_cells(kind, line["input"], line.get("context")) for line in lines]
    made = {
        name: pa.array([cells[name] for cells in inputs], of) for name, of in input_fields(kind)
    }
    lengths, *shares = _shares(lines)
    share = schema.field("probabilities").type.value_type
    made["probabilities"] = _lists(lengths, pa.StructArray.from_arrays(shares, fields=list(share)))
    made["votes"] = _structs(kind, votes, schema.field("votes").type)
    if "targets" in schema.names:
        each = [line.get("targets", ()) for line in lines]
        made["targets"] = _structs(kind, each, schema.field("targets").type)
    columns = [
        made[field.name] if field.name in made else _column(kind, lines, field) for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(kind: Kind, lines: Sequence[Mapping[str, Json]], field: pa.Field) -> pa.Array:
    """A column by the lines' name for it; what a line does not have is null."""
    name = field.name
    cells = [line.get(name) for line in lines]
    if field.type == MOMENT:
        return pa.array(cells, pa.string()).cast(MOMENT)
    if name in ANSWERS:
        if kind.answers.few:
            with suppress(pa.ArrowTypeError):  # as nearly all are: texts
                return pa.array(cells, field.type)
        cells = [answer_cell(kind, cell) for cell in cells]
    return pa.array(cells, field.type)


def _structs(kind: Kind, rows: Sequence[Sequence[Mapping[str, Json]]], of: pa.DataType) -> pa.Array:
    """Of each row several: the votes on it, or what its targets said."""
    flat = [one for some in rows for one in some]
    parts = [
        _beside(flat, part) if part.name == "probabilities" else _column(kind, flat, part)
        for part in of.value_type
    ]
    return _lists(map(len, rows), pa.StructArray.from_arrays(parts, fields=list(of.value_type)))


def _beside(lines: Sequence[Mapping[str, Json]], field: pa.Field) -> pa.Array:
    """Labels and shares as two lists."""
    lengths, *parts = _shares(lines)
    lists = [_lists(lengths, part) for part in parts]
    return pa.StructArray.from_arrays(lists, fields=list(field.type))


def _shares(lines: Sequence[Mapping[str, Json]]) -> tuple[list[int], pa.Array, pa.Array]:
    """How many probabilities each line has, and all of them: labels, shares."""
    found = [
        [(label, float(p)) for label, p in shares.items() if type(p) in (int, float)]
        for line in lines
        for shares in [line.get("probabilities") or {}]
    ]
    flat = [share for some in found for share in some]
    labels = pa.array([label for label, _ in flat], pa.string())
    return [len(some) for some in found], labels, pa.array([p for _, p in flat], pa.float64())


def _lists(lengths: Iterable[int], values: pa.Array) -> pa.Array:
    offsets = pa.array(accumulate(lengths, initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, values)


def input_cells(kind: Kind, stored: Json, context: Json) -> dict[str, Json]:
    """The cells of an input, what its context says of it among them."""
    names = [name for name, _ in input_fields(kind)]
    if names == [PICTURE]:
        return {PICTURE: {"bytes": _bytes_of_picture(kind, stored), "path": None}}
    whole = kind.about(stored, context)
    cells: dict[str, Json] = {"input": dumps(whole)}
    if names[0] != "input":
        content = whole if isinstance(whole, dict) else {}
        found = {name: content.get(name) for name in kind.text_fields}
        cells = {name: t if t is None else _text(t) for name, t in found.items()}
    if "context" in names and "context" not in cells:
        cells["context"] = None if context is None else _text(context)
    return cells


def _bytes_of_picture(kind: Kind, stored: Json) -> bytes | None:
    """The picture's file; one that a log brought in another form is made into one."""
    address = kind.picture(stored)
    if address is None:
        with suppress(Refused):
            address = kind.picture(kind.parse(stored).stored)
    return base64.b64decode(address.partition(",")[2]) if address else None
