"""Freeze what was verified, and read a frozen set back as a model reads it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from accounts.models import User
from accounts.services import record_event
from annotate.contents import find_copies
from annotate.models import Example, Round, Task
from core.errors import Refused
from core.transactions import durable
from kinds import Kind
from ml.learners import Item
from training.config import RetrainingSettings
from training.models import (
    AuthorSplit,
    GeneratedInput,
    Snapshot,
    SnapshotItem,
    Split,
    TrainingRun,
)
from training.nearby import Usual
from training.queries import authors_of_copies, verified_foolings
from training.splits import Side, sides_of_new_authors

logger = logging.getLogger(__name__)

BATCH = 500
USUAL = 2_000  # examples, of all labels alike: reading a picture takes .3 ms
OF_ONE = 20  # of one person and label, or who sends most would be all that is read


def freeze(
    *,
    task: Task,
    round_: Round,
    settings: RetrainingSettings,
    run: TrainingRun | None = None,
    actor: User | None = None,
    generated: Iterable[int] = (),
) -> Snapshot:
    """Freeze every verified fooling of the task up to now, of all rounds, with its side.

    `generated` are the keys of made-up inputs that are frozen beside them.

    The side is its author's, given once and kept for ever. Refused when nothing is verified.
    """
    find_copies(verified_foolings(task.pk).filter(snapshot_items=None))
    with durable():
        examples = list(
            verified_foolings(task.pk)
            .select_related("author", "round")
            .defer("input", "probabilities", "explanation")
            .order_by("pk")
        )
        if not examples:
            raise Refused(
                "nothing_verified", f"{task.slug} has no verified fooling to freeze.", status=409
            )
        sides = _sides(task, examples, settings)
        made_up = GeneratedInput.objects.filter(pk__in=list(generated)).select_related("region")
        made = list(made_up.order_by("pk"))
        snapshot = Snapshot.objects.create(
            task=task, round=round_, sha256="", generated=[one.pk for one in made]
        )
        items = [
            SnapshotItem(
                snapshot=snapshot,
                example=example,
                label=example.label if example.final_label is None else example.final_label,
                split=sides[cast(int, example.author_id)],
            )
            for example in examples
        ]
        SnapshotItem.objects.bulk_create(items, batch_size=BATCH)
        snapshot.sha256 = digest_of(items, made)
        snapshot.save(update_fields=["sha256"])
        if run is not None:
            TrainingRun.objects.filter(pk=run.pk).update(snapshot=snapshot)
        record_event(
            actor=actor,
            verb="froze",
            subject=snapshot,
            scope=task.slug,
            data={"sha256": snapshot.sha256, "items": len(items)},
        )
    return snapshot


def digest_of(items: Iterable[SnapshotItem], made_up: Iterable[GeneratedInput] = ()) -> str:
    """SHA-256 over one canonical JSON line an item, in the order in which they were submitted, and
    then one each that was made up.

    A line names the example, its round, the content of its input, its label and its side.
    """
    digest = hashlib.sha256()
    lines: list[dict[str, Any]] = [
        {
            "example": item.example.public_id,
            "round": item.example.round.number,
            "input": item.example.input_hash,
            "label": item.label,
            "split": str(item.split),
        }
        for item in sorted(items, key=lambda item: item.example_id)
    ]
    for one in made_up:
        side = Split.HELD_OUT if one.held_out else Split.TRAIN
        lines.append({"input": one.input, "label": one.region.label, "split": str(side)})
    for line in lines:
        text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()


def _sides(task: Task, examples: list[Example], settings: RetrainingSettings) -> dict[int, Side]:
    """The side of every author by their key; new authors get theirs here."""
    authors = [example.author for example in examples if example.author is not None]
    names = {author.pk: author.pseudonym for author in authors}
    known = _known_sides(task)
    sides = sides_of_new_authors(
        Counter(author.pseudonym for author in authors),
        {names[pk]: side for pk, side in known.items() if pk in names},
        share=settings.held_out_share,
        seed=f"{task.slug}:{settings.seed}",
        joined=authors_of_copies(task.pk),
    )
    # ignore_conflicts: a snapshot that is frozen at the same time may have been first.
    AuthorSplit.objects.bulk_create(
        [
            AuthorSplit(task=task, author_id=pk, split=sides[name])
            for pk, name in names.items()
            if name in sides
        ],
        ignore_conflicts=True,
    )
    return _known_sides(task)


def _known_sides(task: Task) -> dict[int, Side]:
    rows = AuthorSplit.objects.filter(task=task).values_list("author_id", "split")
    return {author: cast(Side, split) for author, split in rows}


def choose_usual(task: Task) -> list[int]:
    """The keys of what was sent lately and fooled nobody, in ascending order.

    Nothing that people disputed. Of each label as many, and of these everybody's newest first: no
    few can send so much that what others sent is not read.
    """
    undisputed = [Example.Status.OPEN, Example.Status.VERIFIED]
    sent = Example.objects.usable().filter(
        task=task, fooled=False, copy_of=None, status__in=undisputed
    )
    turn = Window(RowNumber(), partition_by=[F("author"), F("label")], order_by=F("id").desc())
    newest = sent.annotate(turn=turn).filter(turn__lte=OF_ONE).order_by("turn", "-id")
    assert task.config is not None
    labels = max(1, len(task.config.file.label_values))
    of_each = max(OF_ONE, USUAL // labels)
    found: Counter[str] = Counter()
    chosen = []
    for pk, label in newest.values_list("pk", "label").iterator(chunk_size=2_000):
        found[str(label)] += 1
        if found[str(label)] <= of_each:
            chosen.append(pk)
        if len(chosen) == of_each * labels:
            break
    return sorted(chosen)


def read_usual(task: Task, chosen: Sequence[int]) -> list[Usual]:
    """These examples, as far as they can be read, with their authors' labels."""
    items = []
    for first in range(0, len(chosen), BATCH):
        rows = Example.objects.filter(pk__in=chosen[first : first + BATCH]).order_by("pk")
        for stored, label, author in rows.values_list("input", "label", "author"):
            with suppress(Exception):  # one bad item never ends a run
                items.append(Usual(task.kind.parse(stored), label, author))
    return items


@dataclass(frozen=True, slots=True)
class FrozenItem(Item):
    """An item of a snapshot with its facts."""

    round: int
    example: int
    author: str
    name: str
    """What the example is called outside of the database."""


def frozen_items(
    snapshot: Snapshot, split: Split, kind: Kind
) -> tuple[list[FrozenItem], list[str]]:
    """The items of one side in order of submission, and the names of those that cannot be read.

    Each is parsed as the live model's inputs are, 0.3 ms a picture.
    """
    rows = (
        SnapshotItem.objects.filter(snapshot=snapshot, split=split)
        .select_related("example__round", "example__author")
        .order_by("example_id")
    )
    items, unreadable = [], []
    for row in rows.iterator(BATCH):
        example = row.example
        try:
            prepared = kind.parse(example.input)
        except Exception as error:  # noqa: BLE001  (one bad item never ends a run)
            logger.warning("%s cannot be read and is left out: %s", example, error)
            unreadable.append(example.public_id)
            continue
        author = example.author.pseudonym if example.author else ""
        about = (example.round.number, example.pk, author, example.public_id)
        items.append(FrozenItem(prepared, row.label, *about))
    return items, unreadable
