"""Freeze what was verified, and read a frozen set back as a model reads it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.contents import find_copies
from annotate.models import Example, Round, Task
from core.errors import Refused
from core.transactions import durable
from kinds import Kind
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
from training.queries import Role, Status, authors_of_copies, learnable, role_of
from training.recipe import FrozenItem
from training.splits import TRAIN, Side, aside, sides_of_new_authors
from validate.models import Vote

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
    """Freeze every verified fooling of the task up to now, of all rounds, with its side, and of
    authors who train what else the settings say.

    `generated` are the keys of made-up inputs that are frozen beside them. What is frozen already,
    just so, is that snapshot. Refused when nothing is verified.
    """
    tests = AuthorSplit.objects.filter(task=task, split=Split.HELD_OUT).values("author")
    new = learnable(task.pk, settings.also).filter(snapshot_items=None)
    find_copies(new.exclude(fooled=False, author__in=tests))  # which are never frozen
    with durable():
        Task.objects.select_for_update(no_key=True).get(pk=task.pk)  # two would freeze the same
        examples = list(
            learnable(task.pk, settings.also)
            .select_related("author", "round", "model", "config", "context")
            .defer("probabilities", "explanation", *(() if task.kind.given else ("input",)))
            .order_by("settled_at", "pk")
        )
        if not any(role_of(example) == Role.FOOLING for example in examples):
            raise Refused(
                "nothing_verified", f"{task.slug} has no verified fooling to freeze.", status=409
            )
        made_up = GeneratedInput.objects.filter(pk__in=list(generated)).select_related("region")
        made = list(made_up.order_by("pk"))
        items = _items(task, examples, settings)
        snapshot, is_new = Snapshot.objects.get_or_create(
            task=task,
            sha256=digest_of(items, made),
            generated=[one.pk for one in made],
            defaults={"round": round_},
        )
        if not is_new:  # it is the newest again: what was frozen since is another
            snapshot.created_at = timezone.now()
            snapshot.save(update_fields=["created_at"])
        else:
            for item in items:
                item.snapshot = snapshot
            SnapshotItem.objects.bulk_create(items, batch_size=BATCH)
            record_event(
                actor=actor,
                verb="froze",
                subject=snapshot,
                scope=task.slug,
                data={"sha256": snapshot.sha256, "items": len(items)},
            )
        if run is not None:
            TrainingRun.objects.filter(pk=run.pk).update(snapshot=snapshot)
    return snapshot


def digest_of(items: Iterable[SnapshotItem], made_up: Iterable[GeneratedInput] = ()) -> str:
    """SHA-256 over one canonical JSON line an item, in the order in which they were submitted, and
    then one each that was made up.

    A line names the example, its round, the content of its input, its label and its side, who sent
    it, what which model said, and the votes; nothing that a log of the task does not tell.
    """
    lines = [
        _line_of(item) | (_provenance_of(item) if item.votes is not None else {})
        for item in sorted(items, key=lambda item: item.example_id)
    ]
    for one in made_up:
        side = Split.HELD_OUT if one.held_out else Split.TRAIN
        lines.append({"input": one.input, "label": one.region.label, "split": str(side)})
    return _hashed(lines)


def digest_of_set(items: Iterable[SnapshotItem]) -> str:
    """The same of what models are asked, and of their labels: votes that come later change it
    not."""
    return _hashed(_line_of(item) for item in sorted(items, key=lambda item: item.example_id))


def _line_of(item: SnapshotItem) -> dict[str, Any]:
    return {
        "example": item.example.public_id,
        "round": item.example.round.number,
        "input": item.example.input_hash,
        "label": item.label,
        "split": str(item.split),
    }


def _provenance_of(item: SnapshotItem) -> dict[str, Any]:
    example = item.example
    return {
        "role": str(item.role),
        "author": example.author.pseudonym if example.author else "",
        "model": example.model.name,
        "prediction": example.prediction,
        "votes": item.votes,
        **({"shares": item.shares} if item.shares else {}),
    }


def _hashed(lines: Iterable[dict[str, Any]]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()


# --- what is frozen -------------------------------------------------------------------------------
def _items(
    task: Task, examples: Sequence[Example], settings: RetrainingSettings
) -> list[SnapshotItem]:
    """Items of no snapshot yet, in the order of their examples, which is that of the verdicts."""
    split = split_of(examples, sides_of(task, settings))
    votes = _votes_on([example.pk for example, _ in split])
    apart = aside((what_it_is_about(task, example), side) for example, side in split)
    items = []
    for (example, side), is_apart in zip(split, apart, strict=True):
        cast_on = votes.get(example.pk, [])
        item = SnapshotItem(
            example=example,
            label=example.label if example.final_label is None else example.final_label,
            split=Split.ASIDE if is_apart else side,
            role=role_of(example),
            votes=[vote.as_told for vote in cast_on],
        )
        if item.role == Role.AMBIGUOUS:
            if not (shares := _shares_of(cast_on)):
                continue
            item.shares = shares
            item.label = max(sorted(shares), key=shares.__getitem__)
        items.append(item)
    return items


def split_of(examples: Iterable[Example], sides: Mapping[int, Side]) -> list[tuple[Example, Side]]:
    """What may be frozen of these, in their order, with its author's side: what only teaches is
    not there at all of those who test.

    Whoever has no side took all that they sent back since the examples were read.
    """
    return [
        (example, side)
        for example in examples
        if (side := sides.get(cast(int, example.author_id))) is not None
        and (side == TRAIN or role_of(example) == Role.FOOLING)
    ]


def _votes_on(pks: Sequence[int]) -> dict[int, list[Vote]]:
    """All that validators said of these, by their names."""
    found: dict[int, list[Vote]] = {}
    for first in range(0, len(pks), BATCH):
        votes = Vote.objects.filter(
            example__in=pks[first : first + BATCH], purpose=Vote.Purpose.VERDICT
        ).select_related("validator")
        for vote in votes.order_by("validator__pseudonym"):
            found.setdefault(vote.example_id, []).append(vote)
    return found


def _shares_of(votes: Sequence[Vote]) -> dict[str, float]:
    """How the votes that count share the labels; none of fewer than two."""
    said = Counter(
        vote.label
        for vote in votes
        if isinstance(vote.label, str) and not vote.surplus and not vote.dropped
    )
    total = said.total()
    return {label: said[label] / total for label in sorted(said)} if total > 1 else {}


def what_it_is_about(task: Task, example: Example) -> str:
    """The same for two about one context, whoever says it: the server or the input."""
    kind = task.kind
    if kind.given and isinstance(whole := example.whole_input, dict):
        return json.dumps([whole.get(field) for field in kind.given], ensure_ascii=False)
    return example.context.sha256 if example.context else ""


def sides_of(task: Task, settings: RetrainingSettings) -> dict[int, Side]:
    """The side of everybody of whom anything was settled, by their key; who has none gets one here.

    Whatever is learned, they arrive with all that a verdict was given on: what a task's file says
    later changes nobody's side. Inside a transaction.
    """
    settled = learnable(task.pk, Role).order_by("settled_at", "pk")
    rows = list(settled.values_list("author", "author__pseudonym", "fooled", "status"))
    names = {pk: name for pk, name, *_ in rows}
    known = _known_sides(task)
    sides = sides_of_new_authors(
        [(name, fooled and status == Status.VERIFIED) for _, name, fooled, status in rows],
        {names[pk]: side for pk, side in known.items() if pk in names},
        share=settings.held_out_share,
        seed=f"{task.slug}:{settings.seed}",
        joined=authors_of_copies(task.pk),
    )
    # ignore_conflicts: somebody who freezes at the same time may have been first.
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


def frozen_items(
    snapshot: Snapshot, split: Split, kind: Kind
) -> tuple[list[FrozenItem], list[str]]:
    """The items of one side in order of submission, and the names of those that cannot be read.

    Each is parsed as the live model's inputs are, 0.3 ms a picture.
    """
    rows = (
        SnapshotItem.objects.filter(snapshot=snapshot, split=split)
        .select_related("example__round", "example__author", "example__context")
        .order_by("example_id")
    )
    items, unreadable = [], []
    for row in rows.iterator(BATCH):
        example = row.example
        try:
            prepared = kind.parse(
                kind.about(example.input, example.context and example.context.data)
            )
        except Exception as error:  # noqa: BLE001  (one bad item never ends a run)
            logger.warning("%s cannot be read and is left out: %s", example, error)
            unreadable.append(example.public_id)
            continue
        author = example.author.pseudonym if example.author else ""
        about = (example.round.number, example.pk, author, example.public_id)
        fooled = row.role == Role.FOOLING
        items.append(FrozenItem(prepared, row.label, *about, fooled, shares=row.shares))
    return items, unreadable
