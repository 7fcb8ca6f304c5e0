"""One content is one example, whoever sends it, in whatever round, under whatever label.

How inputs are compared is their kind's affair (kinds/likeness.py). What came by a log is kept as it
came, and knows which one it copies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from django.db.models import QuerySet

from annotate import statements
from annotate.models import ContentKey, Example, Task
from annotate.queries import with_configs
from core.errors import Conflict, Refused
from kinds import Kind, Prepared, kind_named
from kinds.likeness import Ruling

MOST_COMPARED: Final = 64  # of those found under the same keys; a picture takes 1 ms to be read
BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Content:
    """What an example is looked up by, and found under; made before the transaction."""

    kind: Kind
    prepared: Prepared
    name: int
    kept_under: Sequence[int]
    looked_up_by: frozenset[int]


class Copy(NamedTuple):
    """What an example copies: the first one with its content, and what is done about that."""

    of: int
    ruling: Ruling
    is_own: bool
    is_exact: bool


class Duplicate(Conflict):
    """This content is there already, as the example `of`."""

    def __init__(self, copy: Copy) -> None:
        who = "You have" if copy.is_own else "Somebody has"
        super().__init__(
            "duplicate", f"{who} sent this, or nearly this, before: change it, then send it again."
        )
        self.copy = copy


def content_of(kind: Kind, prepared: Prepared, context_sha256: str = "") -> Content:
    """The content of an input that was made about this context of the server's, if about any."""
    # What says itself what it is about is the same with and without the server's word for it.
    about = "" if getattr(prepared.form, "about", "") else context_sha256
    likeness = kind.likeness
    name = likeness.name(prepared, about)
    return Content(
        kind,
        prepared,
        name,
        likeness.kept_under(prepared, about),
        frozenset(likeness.looked_up_by(prepared, about)),
    )


def content_of_stored(example: Example) -> Content | None:
    """The same of an example that was read with its task and context; None if it is unreadable."""
    kind, context = kind_named(example.task.input_kind), example.context
    try:
        prepared = kind.parse(kind.about(example.input, context and context.data))
        return content_of(kind, prepared, context.sha256 if context else "")
    except Refused:  # a log's, from before logs were checked
        return None


def copies(new: Sequence[tuple[Example, Content]]) -> dict[int, Copy]:
    """Which of these examples of one task copy an earlier one, by their places.

    One query, and one more when something is found that may be like one.
    """
    if not new:
        return {}
    found = _found(new[0][0].task_id, (content for _, content in new))
    if not found.by_key:
        return {}
    compared = [likeliest(found, example, content) for example, content in new]
    stored = _stored(frozenset().union(*compared))
    rulings = {
        place: closest(example, content, [stored[pk] for pk in those if pk in stored])
        for place, ((example, content), those) in enumerate(zip(new, compared, strict=True))
    }
    return {place: copy for place, copy in rulings.items() if copy is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """Examples of a task by the keys that they are found under, and by their contents' names."""

    by_key: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[int, int] = field(default_factory=dict)

    def add(self, key: int, example_id: int, name: int | None) -> None:
        self.by_key[key].append(example_id)
        if name is not None:
            self.by_name[name] = example_id


def _found(task_id: int, contents: Iterable[Content]) -> Found:
    found = Found()
    keys = frozenset().union(*(content.looked_up_by for content in contents))
    for row in statements.under_keys(task_id, keys):
        found.add(*row)
    return found


def likeliest(found: Found, example: Example, content: Content) -> list[int]:
    """Those found under the most keys, the newest of them first; never the example itself."""
    often = Counter(
        pk
        for key in content.looked_up_by & found.by_key.keys()
        for pk in found.by_key[key]
        if example.pk is None or pk < example.pk
    )
    named = found.by_name.get(content.name)
    likely = sorted(often, key=lambda pk: (pk == named, often[pk], pk), reverse=True)
    return likely[:MOST_COMPARED]


def _stored(pks: Iterable[int]) -> dict[int, tuple[Example, Content]]:
    examples = Example.objects.filter(pk__in=list(pks)).select_related("task", "context")
    read = {example.pk: (example, content_of_stored(example)) for example in examples}
    return {pk: (example, content) for pk, (example, content) in read.items() if content}


def closest(
    example: Example, content: Content, others: Sequence[tuple[Example, Content]]
) -> Copy | None:
    """The copy that weighs most: none to review where another one is a copy beyond doubt."""
    likeness, file = content.kind.likeness, example.config.file
    found: list[tuple[int, float, Copy]] = []
    for other, its_content in others:
        same_author = other.author_id == example.author_id
        is_exact = content.name == its_content.name
        distance = 0.0 if is_exact else likeness.distance(content.prepared, its_content.prepared)
        ruling = likeness.ruling(
            distance,
            same_author=same_author,
            same_answer=file.same(other.label, example.label),
        )
        if ruling is not Ruling.DISTINCT:
            copy = Copy(other.copy_of_id or other.pk, ruling, same_author, is_exact)
            found.append((-ruling.value, distance, copy))
    return min(found, key=lambda one: one[:2])[2] if found else None


def apart(new: Sequence[tuple[Example, Content]]) -> list[bool]:
    """Whether each shares no key with one before it: only then both may be inserted at once."""
    taken: set[int] = set()
    free = []
    for _, content in new:
        free.append(taken.isdisjoint(content.looked_up_by))
        taken.update(content.kept_under)
    return free


def keep(new: Iterable[tuple[Example, Content, bool]]) -> None:
    """Let inserted examples of one task be found, each with whether its very content is kept."""
    rows: list[tuple[int, int, int | None]] = []
    task_id = 0
    for example, content, is_kept in new:
        task_id = example.task_id
        name = None if is_kept else content.name
        for key in content.kept_under:
            rows.append((example.pk, key, name))
            name = None  # the first alone has it
    # In one order: two who insert several at once must not wait for each other.
    statements.insert_keys(task_id, sorted(rows, key=lambda row: row[2] or 0))


def recognise(example: Example, content: Content) -> bool:
    """Note on an example, not inserted yet, which one it copies; returns what `keep` asks.

    For what is taken as it comes: a log's lines, an owner's gold. Inside its transaction.
    """
    copy = copies([(example, content)]).get(0)
    example.copy_of_id = copy.of if copy else None
    return copy is not None and copy.is_exact


def find_copies(examples: QuerySet[Example]) -> int:
    """Note which of these, all of one task, copy another one after all; returns how many.

    Two that are nearly the same and came to two processes at one moment did not see each other.
    """
    noted = 0
    read = examples.select_related("task", "context").order_by("pk")
    for several in batched(map(with_configs, read.iterator(BATCH)), BATCH):
        known = [(one, content) for one in several if (content := content_of_stored(one))]
        for place, copy in copies(known).items():
            if copy.ruling is Ruling.COPY:
                noted += Example.objects.filter(pk=known[place][0].pk).update(copy_of=copy.of)
    return noted


def not_found(task: Task) -> list[Example]:
    """The examples of a task that their own content does not lead to, or to one just like them."""
    lost = []
    read = task.examples.filter(author__isnull=False).select_related("task", "context")
    for several in batched(read.order_by("pk").iterator(BATCH), BATCH):
        known = [(one, content) for one in several if (content := content_of_stored(one))]
        found = _found(task.pk, (content for _, content in known))
        there = set().union(*found.by_key.values())
        lost += [
            one
            for one, content in known
            if one.pk not in there or content.name not in found.by_name
        ]
    return lost


def keep_again(lost: Iterable[Example]) -> None:
    """Let these be found; inside the caller's transaction."""
    for one in lost:
        if content := content_of_stored(one):
            ContentKey.objects.filter(example=one).delete()
            is_kept = content.name in _found(one.task_id, [content]).by_name
            keep([(one, content, is_kept)])


def batched(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """As many at a time; itertools has it from Python 3.12 on."""
    examples = iter(examples)
    while several := list(islice(examples, size)):
        yield several
