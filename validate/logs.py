"""A whole log of a task, in and out: examples and the votes on them.

What a log says goes through the same services as what people do: examples are queued and counted,
votes are cast under the example's lock, and the policy speaks after each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

from django.db.models import Count, F, Max, Q
from pydantic import BaseModel, ConfigDict

from annotate.logs import (
    ExampleLine,
    ExampleRecorder,
    Line,
    Name,
    Person,
    example_lines,
    line_text,
    read_line,
)
from annotate.models import Example, Task
from core.errors import Refused
from core.refused_lines import RefusedLines
from core.strict_json import NotJson, loads
from core.transactions import durable
from validate.acts.vote import Answer, cast, check_answer
from validate.hearing import Hearing, lock_items
from validate.models import Reliability, Vote
from validate.policies import JUDGE
from validate.verdicts import queue_for_votes

BATCH = 100  # lines a transaction: on SQLite others wait for its end, about a third of a second


class VoteLine(BaseModel):
    """`{"kind": "vote", …}`: a label, or else a flag."""

    model_config = ConfigDict(frozen=True)

    example: Name
    validator: Person
    label: Any = None
    flag: str | None = None


@dataclass
class Summary:
    """What a log's examples have come to; `open`: no verdict, asked about or not."""

    examples: int = 0
    fooled: int = 0
    votes: int = 0
    used: int = 0
    surplus: int = 0
    third_requests: int = 0
    verified: int = 0
    rejected: int = 0
    relabelled: int = 0
    ambiguous: int = 0
    flagged: int = 0
    open: int = 0
    new_examples: int = 0
    new_votes: int = 0


@dataclass
class Import(RefusedLines):
    """The outcome of an import: the numbers, and the lines that were refused."""

    summary: Summary = field(default_factory=Summary)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self.summary),
            "refused_lines": len(self.refused),
            "refused": self.refused_json(),
        }


def import_log(
    task: Task,
    read: Callable[[], Iterable[bytes]],
    progress: Callable[[int], object] = lambda _: None,
) -> Import:
    """Bring a log into a task; `read` gives its lines, twice: first for examples, then for votes.

    Lines may come in any order, and again: what is there already changes nothing, so that an import
    that was interrupted is simply repeated. A line is taken whole or, with its number and a
    sentence, not at all; the others go on. `progress` is told the bytes of each line read.
    """
    outcome = Import()
    recorder = ExampleRecorder(task)
    named = _import_examples(recorder, _parsed(read(), "example", outcome, progress), outcome)
    _import_votes(recorder, _parsed(read(), "vote", outcome, progress), outcome)
    _summarise(outcome.summary, sorted(named))
    return outcome


# --- lines ----------------------------------------------------------------------------------------
def _parsed(
    lines: Iterable[bytes],
    kind: Literal["example", "vote"],
    outcome: Import,
    progress: Callable[[int], object],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The numbered lines of one kind; those of no kind are refused with the examples."""
    for number, line in enumerate(lines, start=1):
        progress(len(line))
        text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not text:
            continue
        try:
            data = loads(text)
            found = data.get("kind") if isinstance(data, dict) else None
            if found not in ("example", "vote"):
                raise NotJson('A line is an object whose "kind" is "example" or "vote".')
        except NotJson as error:
            if kind == "example":
                outcome.refuse(number, str(error))
            continue
        if found == kind:
            yield number, data


def _in_batches(
    kind: type[Line], lines: Iterable[tuple[int, dict[str, Any]]], outcome: Import
) -> Iterator[list[tuple[int, Line]]]:
    """The lines whose fields are right, as many as one transaction takes at a time."""
    lines = iter(lines)
    while batch := list(islice(lines, BATCH)):
        checked = []
        for number, data in batch:
            try:
                checked.append((number, read_line(kind, data)))
            except Refused as refused:
                outcome.refuse(number, refused.message)
        yield checked


# --- import ---------------------------------------------------------------------------------------
def _import_examples(
    recorder: ExampleRecorder, lines: Iterable[tuple[int, dict[str, Any]]], outcome: Import
) -> set[int]:
    """Record the examples; returns the primary keys of all that the log names."""
    named: set[int] = set()
    for batch in _in_batches(ExampleLine, lines, outcome):
        with durable():
            _take_turns(recorder.task)
            known = recorder.find(line.id for _, line in batch)
            for number, line in batch:
                try:
                    example = recorder.record(line, known.get(line.id))
                except Refused as refused:
                    outcome.refuse(number, refused.message)
                    continue
                outcome.summary.new_examples += line.id not in known
                known[line.id] = example
                named.add(example.pk)
    return named


def _import_votes(
    recorder: ExampleRecorder, lines: Iterable[tuple[int, dict[str, Any]]], outcome: Import
) -> None:
    for batch in _in_batches(VoteLine, lines, outcome):
        with durable():
            _take_turns(recorder.task)
            known = recorder.find(line.example for _, line in batch)
            named = [example.pk for example in known.values()]
            hearings, votes = _hear(recorder, named, {line.validator for _, line in batch})
            for number, line in batch:
                there = known.get(line.example)
                try:
                    if there is None:
                        raise Refused("no_example", f"There is no example {line.example}.")
                    new = _cast(recorder, line, hearings[there.pk], votes)
                except Refused as refused:
                    outcome.refuse(number, refused.message)
                    continue
                outcome.summary.new_votes += new


def _locked(recorder: ExampleRecorder, pks: Sequence[int]) -> dict[int, Example]:
    """Lock a batch's examples, in the order in which everybody locks several."""
    examples = (
        Example.objects.select_for_update(no_key=True, of=("self",))
        .select_related("config", "round", "model", "author")
        .filter(pk__in=pks)
        .order_by("pk")
    )
    found = {example.pk: example for example in examples}
    for example in found.values():
        example.task = recorder.task
        if example.config_id == recorder.config.pk:
            example.config = recorder.config  # parsed once instead of once an example
    return found


def _take_turns(task: Task) -> None:
    """Let two imports into one task go batch by batch.

    A batch holds the rows of many people at once, the tallies of its authors among them, and takes
    these as its lines come: two batches would wait for each other.
    """
    Task.objects.select_for_update(no_key=True).filter(pk=task.pk).first()


def _hear(
    recorder: ExampleRecorder, pks: Sequence[int], names: set[str]
) -> tuple[dict[int, Hearing], dict[tuple[int, str], Answer]]:
    """Read and lock what the batch's votes touch, in the order in which everybody locks several.

    With the votes that there are, by who gave them. Rows that are missing are made when somebody
    first needs one.
    """
    examples = _locked(recorder, pks)
    entries = lock_items(examples)
    votes = list(
        Vote.objects.filter(example__in=examples).select_related("validator").order_by("id")
    )
    heard: dict[int, list[Vote]] = defaultdict(list)
    for vote in votes:
        if vote.purpose == Vote.Purpose.VERDICT and not vote.surplus:
            heard[vote.example_id].append(vote)
    rows = Reliability.objects.select_for_update(no_key=True, of=("self",)).filter(
        Q(validator__in={vote.validator_id for vote in votes})
        | Q(validator__imported=True, validator__pseudonym__in=names),
        task=recorder.task,
    )
    standings = {row.validator_id: row for row in rows.order_by("validator_id")}
    hearings = {
        pk: Hearing(example, entries.get(pk), standings, heard[pk])
        for pk, example in examples.items()
    }
    answers = {
        (vote.example_id, vote.validator.pseudonym): Answer(vote.label, vote.flag) for vote in votes
    }
    return hearings, answers


def _cast(
    recorder: ExampleRecorder,
    line: VoteLine,
    hearing: Hearing,
    votes: dict[tuple[int, str], Answer],
) -> bool:
    """Cast a vote on a locked example, False when it is there already; Refused otherwise."""
    example = hearing.example
    answer = Answer(line.label, line.flag or "")
    earlier = votes.get((example.pk, line.validator))
    if earlier == answer:
        return False
    if earlier is not None:
        raise Refused("other_vote", f"{line.validator} answered {line.example} differently.")
    check_answer(example, answer)
    if example.author is not None and example.author.pseudonym == line.validator:
        raise Refused("own_example", f"{line.validator} is the author of {line.example}.")
    automatic = line.validator.startswith(JUDGE)
    if automatic and Vote.objects.filter(example=example, automatic=True).exists():
        raise Refused("other_vote", f"Another judge has voted on {line.example}: one may.")
    validator = recorder.person(line.validator)  # the last thing that can be refused
    if example.status == Example.Status.OPEN and not example.queued:
        queue_for_votes(hearing)
    row = hearing.standings.get(validator.pk) or Reliability(
        task=recorder.task, validator=validator
    )
    assert example.author_id is not None  # a log names each example's
    vote = Vote(
        example=example,
        validator=validator,
        author_id=example.author_id,
        automatic=automatic,
        **answer._asdict(),
    )
    cast(vote, hearing, row)
    votes[example.pk, line.validator] = answer
    return True


def _summarise(summary: Summary, pks: Sequence[int]) -> None:
    """Count what these examples have come to."""
    verdict = Q(votes__purpose=Vote.Purpose.VERDICT)
    used = Count("votes", filter=verdict & Q(votes__surplus=False, votes__dropped=False))
    for start in range(0, len(pks), 500):
        rows = (
            Example.objects.filter(pk__in=pks[start : start + 500])
            .annotate(all=Count("votes", filter=verdict), used=used)
            .values_list("fooled", "status", "queue_item__votes_wanted", "all", "used")
        )
        for fooled, status, wanted, votes, counted in rows:
            summary.examples += 1
            summary.fooled += fooled
            summary.votes += votes
            summary.used += counted
            summary.surplus += votes - counted
            # A third vote was asked for when two had left it undecided: it came, or is waited for.
            summary.third_requests += counted > 2 or (counted == 2 and bool(wanted))
            setattr(summary, status, getattr(summary, status) + 1)


# --- export ---------------------------------------------------------------------------------------
def log_lines(task: Task, chunk: int = 1_000) -> Iterator[str]:
    """The log of a task as it is now: examples, then the votes on them, each oldest first.

    Names are pseudonyms. Importing it elsewhere and exporting that gives the same lines.
    """
    # The votes' end is read first: of every vote up to it, the example is then up to the other.
    last_vote = Vote.objects.filter(example__task=task).aggregate(last=Max("id"))["last"] or 0
    last_example = task.examples.aggregate(last=Max("id"))["last"] or 0
    written = array("q")  # ascending; eight bytes an example
    for pk, line in example_lines(task, last_id=last_example, chunk=chunk):
        written.append(pk)
        yield line
    votes = (
        Vote.objects.filter(example__task=task, id__lte=last_vote, purpose=Vote.Purpose.VERDICT)
        .annotate(uid=F("example__uid"), external_id=F("example__external_id"))
        .select_related("validator")
        .order_by("id")
    )
    after = 0
    while found := list(votes.filter(id__gt=after)[:chunk]):
        yield from (_line_of(vote) for vote in found if _contains(written, vote.example_id))
        after = found[-1].pk


def _contains(ascending: array[int], value: int) -> bool:
    place = bisect_left(ascending, value)
    return place < len(ascending) and ascending[place] == value


def _line_of(vote: Any) -> str:
    example = vote.external_id or str(vote.uid)
    return line_text({"kind": "vote", "example": example, **vote.as_told})
