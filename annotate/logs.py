"""The examples of a log: checked line by line, recorded as people's are, and written again.

A log is other people's data: labels, predictions, inputs and names stay as they came. `fooled` is
judged here all the same, by the task's own rule.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from django.db.models import Q
from django.utils import timezone
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from accounts.imported import MAX_NAME, person_of_a_log
from accounts.models import User
from annotate.contents import content_of, keep, recognise
from annotate.models import Example, ModelVersion, Round, Task
from annotate.rounds import register_model
from annotate.services import announce, context_of, insert, tries_at_next
from core.errors import Refused
from core.strict_json import dumps
from kinds import Prepared
from kinds.comparators import AskAnnotator

CLOCKS_DIFFER = timedelta(minutes=5)
Line = TypeVar("Line", bound=BaseModel)


def _numbers_are_names_too(value: object) -> object:
    return str(value) if type(value) is int else value


def _in_utc(moment: datetime) -> datetime:
    """Times without a zone are read as UTC."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("it is beyond the calendar") from error


Name = Annotated[
    str,
    BeforeValidator(_numbers_are_names_too),
    StringConstraints(min_length=1, max_length=100),
]
Person = Annotated[
    str,
    BeforeValidator(_numbers_are_names_too),
    StringConstraints(min_length=1, max_length=MAX_NAME),
]


class ExampleLine(BaseModel):
    """`{"kind": "example", …}`; what else the line holds is ignored."""

    model_config = ConfigDict(frozen=True)

    id: Name
    round: Annotated[int, Field(strict=True, ge=0, lt=2**31)]
    author: Person
    input: Any
    context: Any = None
    label: Any
    prediction: Any
    probabilities: dict[str, Any] | None = None
    model: Name
    created_at: Annotated[datetime, AfterValidator(_in_utc)] | None = None
    fooled: bool | None = None  # read only where no rule can tell, see AskAnnotator


def read_line(kind: type[Line], data: dict[str, Any]) -> Line:
    """Check a line's fields; Refused names what is wrong."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        mistakes = (
            f"{'.'.join(str(part) for part in mistake['loc']) or 'line'}: {mistake['msg']}"
            for mistake in error.errors()
        )
        raise Refused("bad_line", "; ".join(mistakes)) from error


class ExampleRecorder:
    """Writes the examples of one log into one task, in the caller's transactions.

    A line is checked whole before anything of it is written. Known people, rounds and models are
    remembered between lines: a recorder whose transaction was undone must not be used again.
    """

    def __init__(self, task: Task) -> None:
        assert task.config is not None
        self.task, self.config, self.file = task, task.config, task.config.file
        self._rule = self.file.comparator_rule
        self._people: dict[str, User] = {}
        self._rounds: dict[int, Round] = {}
        self._models: dict[str, ModelVersion] = {}
        self._served: set[tuple[int, int]] = set()

    def find(self, ids: Iterable[str]) -> dict[str, Example]:
        """The examples that are already there, by the ids that a log gives them; one query."""
        names = set(ids)
        uids = {uid: name for name in names if (uid := _as_uuid(name))}
        found = Example.objects.filter(
            Q(external_id__in=names) | Q(uid__in=uids, external_id=None), task=self.task
        ).select_related("author", "round", "model")
        return {example.external_id or uids[example.uid]: example for example in found}

    def record(self, line: ExampleLine, known: Example | None) -> Example:
        """The example of this line, new or (the same content) `known`; Refused otherwise."""
        if known is not None:
            self._refuse_other_content(line, known)
            return known
        kind = self.file.kind  # it is kept as it came, but only what can be read is
        prepared = kind.parse(kind.about(line.input, line.context))
        fooled = self._judge(line, prepared)
        author = self.person(line.author)  # the last thing that can be refused
        round_, model = self._round(line.round), self._model(line.model)
        self._let_serve(round_, model)
        context = context_of(self.task.pk, line.context) if line.context is not None else None
        content = content_of(kind, prepared, context.sha256 if context else "")
        example = Example(
            task=self.task,
            config=self.config,
            round=round_,
            model=model,
            author=author,
            external_id=line.id,
            context=context,
            input=line.input,
            input_hash=prepared.key,
            label=line.label,
            prediction=line.prediction,
            probabilities=line.probabilities,
            fooled=fooled,
            tries=tries_at_next(Example.objects.filter(round=round_, author=author)),
            created_at=line.created_at or timezone.now(),
        )
        is_kept = recognise(example, content)
        insert([example])
        keep([(example, content, is_kept)])
        announce([example], actors=[None], verb="imported")
        return example

    def person(self, name: str) -> User:
        """Who this name stands for, made when new; Refused when it is somebody with an account."""
        if name not in self._people:
            self._people[name] = person_of_a_log(name)
        return self._people[name]

    def _judge(self, line: ExampleLine, prepared: Prepared) -> bool:
        """Check the content and say whether the model was fooled."""
        self.file.check_label(line.label, of=prepared.features)
        if line.prediction is None:
            raise Refused("bad_line", "prediction: it must not be null")
        self._check_probabilities(line.probabilities or {})
        if line.created_at is not None and line.created_at > timezone.now() + CLOCKS_DIFFER:
            raise Refused("bad_line", "created_at: it is in the future")
        self.file.check_label(line.prediction, "prediction")
        if complaint := self.file.kind.fits(prepared.features, line.prediction):
            raise Refused("bad_line", f"prediction: {complaint}")
        try:
            return self._rule.fooled(line.prediction, line.label, claimed=line.fooled)
        except ValueError as error:
            raise Refused("bad_line", str(error)) from error

    def _check_probabilities(self, probabilities: dict[str, Any]) -> None:
        labels = self.file.label_values if self.file.kind.answers.few else []
        for label, probability in probabilities.items():
            number = isinstance(probability, int | float) and not isinstance(probability, bool)
            if not number or not 0 <= probability <= 1:
                raise Refused("bad_line", f"probabilities.{label}: it must be a number from 0 to 1")
            if labels and label not in labels:
                raise Refused("bad_line", f"probabilities.{label}: it is no label of the task")

    def _refuse_other_content(self, line: ExampleLine, known: Example) -> None:
        there = (known.input, known.label, known.prediction, known.round.number, known.model.name)
        if (line.input, line.label, line.prediction, line.round, line.model) != there or (
            known.author is not None and known.author.pseudonym != line.author
        ):
            raise Refused("other_content", f"{line.id} is already there with other content.")

    def _round(self, number: int) -> Round:
        """The round with this number; one that the task does not know is made closed."""
        if number not in self._rounds:
            self._rounds[number], _ = Round.objects.get_or_create(
                task=self.task,
                number=number,
                defaults={"status": Round.Status.CLOSED, "closed_at": timezone.now()},
            )
        return self._rounds[number]

    def _model(self, name: str) -> ModelVersion:
        """The model with this name; one that the task does not know cannot be asked anything."""
        if name not in self._models:
            known = ModelVersion.objects.filter(task=self.task, name=name).first()
            self._models[name] = known or register_model(task=self.task, name=name)
        return self._models[name]

    def _let_serve(self, round_: Round, model: ModelVersion) -> None:
        """Let a closed round know the model it had; an open one's targets are its owner's."""
        if round_.status == Round.Status.CLOSED and (round_.pk, model.pk) not in self._served:
            round_.targets.add(model)
            self._served.add((round_.pk, model.pk))


def example_lines(task: Task, *, last_id: int, chunk: int = 1_000) -> Iterator[tuple[int, str]]:
    """Every example of a task up to `last_id` with its line, oldest first.

    What was retracted or hidden is left out. One query a chunk, by key: memory stays flat, and no
    cursor is held open while the log is written.
    """
    assert task.config is not None
    says_itself = isinstance(task.config.file.comparator_rule, AskAnnotator)
    examples = (
        Example.objects.usable()
        .filter(task=task, id__lte=last_id)
        .select_related("round", "author", "model", "context")
        .order_by("id")
    )
    after = 0
    while found := list(examples.filter(id__gt=after)[:chunk]):
        for example in found:
            yield example.pk, _line_of(example, says_itself=says_itself)
        after = found[-1].pk


def _line_of(example: Example, *, says_itself: bool) -> str:
    assert example.author is not None
    fields: dict[str, Any] = {
        "kind": "example",
        "id": example.public_id,
        "round": example.round.number,
        "author": example.author.pseudonym,
        "input": example.input,
    }
    if example.context is not None:
        fields["context"] = example.context.data
    fields |= {"label": example.label, "prediction": example.prediction}
    if example.probabilities is not None:
        fields["probabilities"] = example.probabilities
    fields |= {"model": example.model.name, "created_at": example.created_at.isoformat()}
    if says_itself:
        fields["fooled"] = example.fooled
    return line_text(fields)


def line_text(fields: dict[str, Any]) -> str:
    """One line of a log: the fields in the order given, what is inside them in one order."""
    return "{" + ",".join(f"{dumps(name)}:{dumps(value)}" for name, value in fields.items()) + "}\n"


def _as_uuid(text: str) -> uuid.UUID | None:
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None
