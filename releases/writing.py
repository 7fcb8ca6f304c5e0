"""Make a release: a folder that is there whole or not at all."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from django.utils import timezone

from annotate.models import Task
from core.errors import Refused
from core.transactions import one_view
from releases import ledger
from releases.card import readme
from releases.changes import changes_between, fingerprints
from releases.columns import row_of, schema_of
from releases.croissant import croissant
from releases.figures import Figures
from releases.folders import sha256_of, whole_folder, write_lines, write_sums
from releases.ledger import LEDGER
from releases.models import Keys
from releases.models_in_loop import put_models
from releases.orders import ABOUT, LOG, Made, Order, Progress
from releases.people import Pseudonyms, split_of
from releases.personal import Found, PersonalData, digest_of, look
from releases.places import give_places, places_of
from releases.rows import Item, Reader, left_out, released
from releases.tables import Tables
from training.provenance import code_revision

FORMAT: Final = 1
UNKNOWN_LICENCE: Final = "unknown"
NO_PAY: Final = "this server keeps no record of it for this task."

BATCH: Final = 1_000  # lines written at a time


@dataclass
class _Written:
    figures: Figures = field(default_factory=Figures)
    keys: array[int] = field(default_factory=lambda: array("q"))
    """Of the examples, ascending; eight bytes each."""
    models: set[str] = field(default_factory=set)
    personal: dict[int, list[Found]] = field(default_factory=dict)

    def has(self, key: int) -> bool:
        place = bisect_left(self.keys, key)
        return place < len(self.keys) and self.keys[place] == key


def make(order: Order, folder: Path, progress: Progress = lambda *_: None) -> Made:
    """Write the release into a folder that is not there yet, or is empty; Refused otherwise.

    Whoever kills it leaves nothing under that name.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused("there_already", f"{folder} exists already: choose another name.")
    keys, _ = Keys.objects.get_or_create(pk=1)
    names = Pseudonyms(bytes(keys.pseudonyms), order.task.slug)
    give_places(order.task, names)
    with whole_folder(folder) as draft, one_view():
        frozen_at = timezone.now()
        examples = released(order.task, waiting=order.waiting)
        reader = Reader(order.task, examples, names)
        places, fixed = places_of(order.task, names)
        tables = Tables(draft / "data", schema_of(order.task.kind))
        written = _write_rows(order, reader, places, draft / LOG, tables, progress)
        tables.close()
        progress(0.9, "Counting what it came to.")
        about: dict[str, Any] = {
            "format": FORMAT,
            "release": order.uid,
            "task": order.task.slug,
            "name": order.task.name,
            "kind": order.task.input_kind,
            "version": order.version,
            "frozen_at": frozen_at.isoformat(),
            **_words(order, frozen_at),
            "configs": {str(c.version): public_config(c.data) for c in reader.configs.values()},
            "splits": {"fixed": fixed},
            "figures": written.figures.as_json(),
            "left_out": left_out(order.task, waiting=order.waiting, up_to=reader.last_example),
            "models": put_models(order.task, written.models, draft / "models"),
            "code": code_revision(),
            "public_key": ledger.public_key(bytes(keys.signing)),
            "changes": _changes(order, draft, frozen_at),
        }
        _write_about(draft, order.task, about, tables.rows)
        _sign(draft, order, reader.last_example, bytes(keys.signing), progress)
        progress(1, "Done.")
    return Made(about=about, last_example=reader.last_example, frozen_at=frozen_at)


def _write_rows(
    order: Order,
    reader: Reader,
    places: Mapping[str, str],
    log: Path,
    tables: Tables,
    progress: Progress,
) -> _Written:
    """The log, examples first, and the tables beside it; all numbers are counted on the way."""
    written, total, kind = _Written(), reader.count(), order.task.kind
    if not total:
        raise Refused("nothing_to_release", f"{order.task.slug} has no example to release.")
    with log.open("wb") as file:
        for chunk in reader.items():
            write_lines(file, (item.line for item in chunk))
            by_file: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
            for item in chunk:
                split = _count(item, places, written)
                row = row_of(kind, item.line, item.votes)
                by_file[split, item.line["round"]].append(row)
                found = look(kind, item.line, item.votes)
                if found and order.cleared.get(item.pk) != digest_of(found):
                    written.personal[item.pk] = found
            tables.add(by_file)
            done = len(written.keys)
            progress(0.7 * done / total, f"{done:,} of {total:,} examples.")
        if written.personal:
            raise PersonalData(written.personal)
        progress(0.7, "The votes, in the order in which they came.")
        lines = reader.vote_lines(written.has)
        while some := list(islice(lines, BATCH)):
            write_lines(file, some)
    return written


def _count(item: Item, places: Mapping[str, str], written: _Written) -> str:
    author = item.line["author"]
    split = places.get(author) or split_of(author)  # who came this very second has no place yet
    written.figures.add(item.line, item.votes, split)
    written.keys.append(item.pk)
    written.models.add(item.line["model"])
    return split


def public_config(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a version of the task's file says to those who take part, and how it decided."""
    validation = data["validation"]
    return {
        **{
            name: data[name]
            for name in ("slug", "name", "input", "labels", "instructions", "comparator")
        },
        "language": data.get("language"),
        "validation": {name: validation[name] for name in ("policy", "parameters")},
    }


def _words(order: Order, frozen_at: datetime) -> dict[str, str]:
    """The owner's words, and what stands in their place where there are none."""
    task, version = order.task, order.version
    description = order.description or (
        f"Examples that people made to fool live models in the task “{task.name}”, with the "
        "models' answers and every validator's vote, before and after adjudication."
    )
    citation = order.citation or (
        f"@misc{{{task.slug}-{version},\n  title = {{{task.name}, version {version}}},\n"
        f"  year = {{{frozen_at.year}}},\n  note = {{DADC Server release {order.uid}}}\n}}"
    )
    return {
        "licence": order.licence or UNKNOWN_LICENCE,
        "description": description,
        "citation": citation,
        "url": order.url or f"urn:uuid:{order.uid}",
        "publisher": f"the owners of {task.name}",
        "pay": NO_PAY,
    }


def _changes(order: Order, draft: Path, frozen_at: datetime) -> list[dict[str, Any]]:
    """This version's difference from the one before, then what that one said of its own."""
    previous = order.previous
    before = previous.home if previous is not None else None
    change: dict[str, Any] = {"version": order.version, "date": frozen_at.isoformat()}
    now = fingerprints(draft / "data")
    if previous is None or before is None:
        return [{**change, "previous": None, **changes_between(None, now)}]
    then = fingerprints(before / "data")
    earlier = json.loads((before / ABOUT).read_text())["changes"]
    return [{**change, "previous": previous.version, **changes_between(then, now)}, *earlier]


def _write_about(draft: Path, task: Task, about: dict[str, Any], names: Iterable[str]) -> None:
    schema = schema_of(task.kind)
    (draft / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    data = draft / "data"
    sums = {name: (sha256_of(data / name), (data / name).stat().st_size) for name in names}
    machine = croissant(about, schema, sums)
    (draft / "croissant.json").write_text(json.dumps(machine, indent=1, ensure_ascii=False) + "\n")
    (draft / "README.md").write_text(readme(about, schema.names))


def _sign(draft: Path, order: Order, last_example: int, key: bytes, progress: Progress) -> None:
    progress(0.95, "Hashing the record of events.")
    before = order.previous.home if order.previous is not None else None
    earlier = json.loads((before / LEDGER).read_text())["chain"] if before else []
    statement = {
        "task": order.task.slug,
        "version": order.version,
        "release": order.uid,
        "last_example": last_example,
        "sums": write_sums(draft),
        "chain": ledger.chain_of(order.task, earlier),
    }
    (draft / LEDGER).write_text(ledger.text_of(ledger.signed(statement, key)))
