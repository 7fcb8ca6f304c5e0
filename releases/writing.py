"""Make a release: a folder that is there whole or not at all."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.utils import timezone
from numpy.typing import NDArray

from annotate.models import Task
from core.errors import Refused
from core.strict_json import as_it_stands
from core.transactions import one_view
from kinds import Kind
from releases import ledger
from releases.changes import Prints, changes_between, state_of
from releases.columns import batch_of, rounds_table, schema_of
from releases.consents import Consents
from releases.figures import Figures
from releases.folders import FORMAT, LEDGER, ROUNDS, as_lines, whole_folder, write_sums
from releases.models import Keys
from releases.models_in_loop import put_models
from releases.orders import ABOUT, LOG, REPLAY, Made, Order, Progress
from releases.papers import papers
from releases.pay import pay_of
from releases.people import Pseudonyms, split_of
from releases.personal import Found, PersonalData, digest_of, look
from releases.places import fixed_places, give_places, places_of
from releases.replaying import replay_into
from releases.rows import Item, Reader, known_answers_in_use
from releases.sets import set_named
from releases.tables import Tables
from training.provenance import code_revision

UNKNOWN_LICENCE: Final = "unknown"

BATCH: Final = 1_000  # lines written at a time
MANY: Final = 250_000  # votes, of which the places are held at a time


@dataclass
class _Written:
    figures: Figures
    consents: Consents
    keys: array[int] = field(default_factory=lambda: array("Q"))
    """Of the examples, ascending; eight bytes each."""
    states: array[int] = field(default_factory=lambda: array("Q"))
    models: set[str] = field(default_factory=set)
    personal: dict[int, list[Found]] = field(default_factory=dict)

    @cached_property
    def prints(self) -> Prints:
        return np.stack([np.frombuffer(part, np.uint64) for part in (self.keys, self.states)], 1)


def make(order: Order, folder: Path, progress: Progress = lambda *_: None) -> Made:
    """Write the release into a folder that is not there yet, or is empty; Refused otherwise.

    Whoever kills it leaves nothing under that name.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused("there_already", f"{folder} exists already: choose another name.")
    task = order.task
    keys, _ = Keys.objects.get_or_create(pk=1)
    names = Pseudonyms(bytes(keys.pseudonyms), task.slug)
    give_places(task, names)
    until = ledger.settled()
    # Of a million examples the usual one keeps 50 MiB that nobody needs any more.
    pa.set_memory_pool(pa.system_memory_pool())
    with whole_folder(folder) as draft:
        with one_view():
            about, written, last = _read(order, names, draft, progress)
            progress(0.85, "Hashing the record of events.")
            chain = ledger.chain_of(task, order.chain, until=until)
        about["public_key"] = ledger.public_key(bytes(keys.signing))
        written.models.update(name for one in about["rounds"] for name in one["targets"])
        about["models"] = put_models(
            task,
            written.models,
            draft / "models",
            about["figures"]["rounds"],
            files=order.models,
        )
        if order.replay:
            progress(0.9, "Asking the models about their foolings again.")
            about["replay"] = replay_into(draft, about, draft / REPLAY)
        progress(0.95, "Writing the card.")
        _write_about(draft, task, about)
        said = _sign(draft, order, last, bytes(keys.signing), chain)
        progress(1, "Done.")
    return Made(about=about, ledger=said, prints=written.prints, undecided=written.personal)


def _read(
    order: Order, names: Pseudonyms, draft: Path, progress: Progress
) -> tuple[dict[str, Any], _Written, int]:
    """All that is read of the database in one view, which waits for nothing that is slow."""
    task, frozen_at = order.task, timezone.now()
    # What waits is published where nothing else is asked: it would tell what tests people.
    waiting = order.waiting and (order.only_then or not known_answers_in_use(task))
    only = None
    if order.only_then:
        only = set(order.then[:, 0].tolist()) if order.then is not None else set()
    reader = Reader(task, names, waiting=waiting, only=only)
    places = places_of(task, names)
    tables = Tables(draft / "data", schema_of(task.kind))
    written = _write_rows(order, names, reader, places, draft, tables, progress)
    progress(0.8, "Counting what it came to.")
    figures = written.figures.as_json()
    authors = [row["author"] for row in figures["board"]]
    about = {
        "format": FORMAT,
        "release": order.uid,
        "task": task.slug,
        "name": task.name,
        "kind": task.input_kind,
        "version": order.version,
        "frozen_at": frozen_at.isoformat(),
        **_words(order, frozen_at),
        "configs": {str(c.version): public_config(c.data) for c in reader.configs.values()},
        "splits": {"fixed": fixed_places(places, authors)},
        "figures": figures,
        "rounds": reader.rounds([part["round"] for part in figures["rounds"]]),
        "left_out": reader.left_out(len(written.keys), undecided=len(written.personal)),
        "code": code_revision(),
        "pay": pay_of(task),
        "consents": written.consents.as_json(),
        "erased": reader.erased(),
        "forgotten": written.consents.forgotten,
        "sources": [
            {name: getattr(set_named(source), name) for name in ("title", "home", "licence")}
            for source in sorted(reader.sources)
        ],
        "gone": reader.gone(authors),
        "changes": _changes(order, written.prints, frozen_at),
    }
    return about, written, reader.last_example


def _write_rows(
    order: Order,
    names: Pseudonyms,
    reader: Reader,
    places: Mapping[str, str],
    draft: Path,
    tables: Tables,
    progress: Progress,
) -> _Written:
    """The log, examples first, and the tables beside it; all numbers are counted on the way."""
    files = {one.version: one.file for one in reader.configs.values()}
    total, kind = reader.total, order.task.kind
    written = _Written(Figures(files), Consents(order.task, names))
    with (
        (draft / LOG).open("wb") as file,
        TemporaryFile(dir=draft.parent) as aside,
        TemporaryFile(dir=draft.parent) as places_aside,
    ):
        votes = _VotesInOrder(aside, places_aside)
        for chunk in reader.items():
            found = _personal(kind, chunk, order)
            written.personal |= found
            if order.only_then:  # it publishes nothing that is new, and waits for nobody
                chunk = [item for item in chunk if item.pk not in found]
            file.write(as_lines(item.line for item in chunk))
            votes.add(chunk)
            rows = batch_of(kind, [item.line for item in chunk], [item.votes for item in chunk])
            tables.add(rows, [_count(item, places, written) for item in chunk])
            done = len(written.keys)
            progress(0.7 * min(1, done / max(1, total)), f"{done:,} of {total:,} examples.")
        if written.personal and not (order.only_then and written.keys):
            raise PersonalData(written.personal)
        if not written.keys:
            raise Refused("nothing_to_release", f"{order.task.slug} has no example to release.")
        tables.close()  # what waits in them is 16 MiB
        progress(0.7, "The votes, in the order in which they came.")
        for piece in votes.pieces():
            file.write(piece)
    return written


def _personal(kind: Kind, chunk: Iterable[Item], order: Order) -> dict[int, list[Found]]:
    """What looks personal in them and was not decided on, by their keys."""
    looked = {item.pk: look(kind, item.line, item.votes) for item in chunk}
    return {
        pk: found
        for pk, found in looked.items()
        if found and order.cleared.get(pk) != digest_of(found)
    }


class _VotesInOrder:
    """Lines of votes, written down as their examples come and read again in the order in which they
    were cast, which is the one that a policy reads that weighs people. Where each lies is beside
    them on the disk, and sorted a part at a time."""

    def __init__(self, file: IO[bytes], places: IO[bytes]) -> None:
        self._file, self._places, self._end = file, places, 0
        self._number, self._first, self._last = 0, 0, 0

    def add(self, chunk: Iterable[Item]) -> None:
        found = array("q")  # of each its key, where it begins and where it ends
        for item in chunk:
            for key, line in zip(item.cast, item.votes, strict=True):
                begin, text = self._end, as_it_stands(line) + b"\n"
                self._file.write(text)
                self._end += len(text)
                found.extend((key, begin, self._end))
        if found:
            self._places.write(found)
            self._number += len(found) // 3
            self._first = min(self._first or found[0], *found[::3])
            self._last = max(self._last, *found[::3])

    def pieces(self) -> Iterator[bytes]:
        if not self._number:
            return
        self._file.flush()
        step = (self._last - self._first) // (1 + self._number // MANY) + 1
        with mmap(self._file.fileno(), 0, access=ACCESS_READ) as text:
            for first in range(self._first, self._last + 1, step):
                found = self._places_from(first, first + step)
                for start in range(0, len(found), BATCH):
                    some = found[start : start + BATCH].tolist()
                    yield b"".join(text[begin:end] for _, begin, end in some)
                    text.madvise(MADV_DONTNEED)  # else all of the file comes to be held

    def _places_from(self, first: int, after: int) -> NDArray[np.int64]:
        """(n, 3) of the votes with these keys, in their order."""
        self._places.seek(0)
        kept = []
        while some := self._places.read(24 * MANY):
            rows = np.frombuffer(some, np.int64).reshape(-1, 3)
            kept.append(rows[(rows[:, 0] >= first) & (rows[:, 0] < after)])
        found = np.concatenate(kept)
        return found[np.argsort(found[:, 0], kind="stable")]


def _count(item: Item, places: Mapping[str, str], written: _Written) -> tuple[str, int]:
    """Count an example; returns its split and its round."""
    author = item.line["author"]
    split = places.get(author) or split_of(author)  # who came this very second has no place yet
    written.figures.add(item.line, item.votes, split)
    written.consents.add(item.line, item.votes)
    written.keys.append(item.pk)
    written.states.append(state_of(item.line, item.votes))
    written.models.add(item.line["model"])
    return split, item.line["round"]


def public_config(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a version of the task's file says to those who take part, and how it decided."""
    validation = data["validation"]
    return {
        **{
            name: data[name]
            for name in ("slug", "name", "input", "labels", "instructions", "comparator")
        },
        **({"claim": data["claim"]} if data.get("claim") else {}),
        **{
            name: data[name]
            for name in ("feedback", "control", "content_warning", "agreement")
            if data.get(name) not in (None, 0, "live", "exact")
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
    }


def _changes(order: Order, now: Prints, frozen_at: datetime) -> list[dict[str, Any]]:
    """This version's difference from the one before, then what that one said of its own."""
    previous = order.previous
    change = {
        "version": order.version,
        "date": frozen_at.isoformat(),
        "previous": previous.version if previous is not None else None,
        **changes_between(order.then, now),
    }
    return [change, *(previous.about["changes"] if previous is not None else ())]


def _write_about(draft: Path, task: Task, about: dict[str, Any]) -> None:
    (draft / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    pq.write_table(rounds_table(about), draft / ROUNDS, compression="zstd")
    for name, text in papers(about, task.kind, draft).items():
        (draft / name).write_text(text)


def _sign(
    draft: Path, order: Order, last_example: int, key: bytes, chain: list[list[Any]]
) -> dict[str, Any]:
    statement = {
        "task": order.task.slug,
        "version": order.version,
        "release": order.uid,
        "last_example": last_example,
        "sums": write_sums(draft),
        "chain": chain,
    }
    said = ledger.signed(statement, key)
    (draft / LEDGER).write_text(ledger.text_of(said))
    return said
