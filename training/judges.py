"""Models that judge in shadow, and may earn a vote: asked, tested against people, watched.

What a judge says of single examples is shown to nobody: owners see what it comes to, and voters
nothing at all, because suggestions that are seen move votes.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts.imported import person_of_a_log
from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, ModelVersion, Round, Task
from annotate.queries import kept_config, open_target
from core.errors import Conflict, Refused
from core.transactions import durable
from kinds.answers import in_order
from ml.backends import Answer, Backend, Down, open_model, source_of
from ml.learners import Item
from scoring.alternative import LEAST_ITEMS, LEAST_PEOPLE, Tested, alternative_test
from scoring.statistics import anytime, wilson
from training.evaluation import answers_of
from training.evaluations import opened
from training.queries import same_models, taught_to
from validate.hearing import lock_rows
from validate.models import Gold, Judge, JudgeAnswer, JudgeTest, Vote
from validate.policies import JUDGE
from validate.verdicts import follow_later

logger = logging.getLogger(__name__)

MOST: Final = 2_000  # examples of one pass: somebody may pay for each
AT_ONCE: Final = 64
LEAST_TESTED: Final = 50  # items that people settled; the test's authors ask for 50 to 100

Status, Standing = Example.Status, Judge.Standing
SETTLED: Final = (Status.VERIFIED, Status.REJECTED, Status.RELABELLED)
HAS_JUDGES_VOTE: Final = Exists(Vote.objects.filter(example=OuterRef("example"), automatic=True))
_OF_EXAMPLE: Final = tuple(
    f"example__{name}" for name in ("config", "label", "fooled", "prediction")
)
Listener = Callable[[int, int], None]


# --- let it judge ---------------------------------------------------------------------------------
def register_judge(*, task: Task, name: str, actor: User | None = None) -> Judge:
    """Let a model of the task judge from now on, in shadow; the same one again is as it was."""
    model = task.models.filter(name=name).first()
    if model is None:
        raise Refused("not_found", f"{task.slug} has no model {name}.", status=404)
    require_able(model)
    with durable():
        judge, new = Judge.objects.get_or_create(
            model=model, defaults={"task": task, "created_by": actor}
        )
        if new:
            record_event(
                actor=actor,
                verb="registered_judge",
                subject=judge,
                scope=task.slug,
                data={"model": model.name},
            )
    return judge


def require_able(model: ModelVersion) -> None:
    """Refused where it may judge nothing."""
    if why := why_not(model):
        raise Refused("no_judge", why, status=409)


def why_not(model: ModelVersion) -> str:
    """Nobody can ask it, or the open round is against it, under whatever name; else empty."""
    if model.task.kind.talks:
        return "Chats are judged by people only."
    if not model.backend or model.retired_at is not None:
        return f"Nobody can ask {model.name} any more."
    target = open_target(model.task_id)
    if target is not None and not {one.pk for one in same_models(model)}.isdisjoint(
        one.pk for one in target.models
    ):
        return f"{model.name} is what people try to fool now: it does not judge itself."
    return ""


def unasked(judge: Judge) -> list[int]:
    """What validators are or were asked about and it has not judged: keys, the newest first.

    Never what was sent to a round against it, nor what it or a model before it learned from, nor
    known answers, which people did not settle; all of that under whatever name it is registered.
    Three queries, and two for each of its ancestors.
    """
    itself = same_models(judge.model)
    against = Round.targets.through.objects.filter(round=OuterRef("round"), modelversion__in=itself)
    found = (
        Example.objects.usable()
        .filter(
            ~Exists(against),
            ~Exists(Gold.objects.filter(example=OuterRef("pk"))),
            ~Exists(JudgeAnswer.objects.filter(judge=judge, example=OuterRef("pk"))),
            task=judge.task_id,
            queued=True,
            copy_of=None,
        )
        .exclude(model__in=itself)
        .order_by("-pk")
        .values_list("pk", flat=True)
    )
    taught = set().union(*map(taught_to, itself))
    return [pk for pk in found if pk not in taught]


def ask(judge: Judge, listener: Listener | None = None) -> int:
    """Let it answer what it has not yet; how many it was asked. What was answered is kept when it
    stops."""
    require_able(judge.model)
    ids = unasked(judge)[:MOST]
    if not ids:
        return 0
    backend = opened(judge.model)
    other = _turned_round(judge.model, backend)
    for at in range(0, len(ids), AT_ONCE):
        if listener is not None:
            listener(at, len(ids))
        _ask(judge, ids[at : at + AT_ONCE], backend, other)
    return len(ids)


def _turned_round(model: ModelVersion, backend: Backend) -> Backend | None:
    """The same model that is told the labels from the last to the first, where it is told them."""
    if not getattr(backend, "is_told_labels", False) or len(backend.labels) < 2:
        return None
    config = {**model.config, "labels": list(reversed(model.config["labels"]))}
    made = {"artifact": model.artifact, "sha256": model.sha256, "config": config}
    return open_model(model.backend, source_of(made, Path(settings.ARTIFACT_DIR)))


def _ask(judge: Judge, ids: Sequence[int], backend: Backend, other: Backend | None) -> None:
    rows = Example.objects.filter(pk__in=ids).select_related("context", "config", "task")
    examples, items = [], []
    for example in rows.order_by("-pk"):
        try:
            items.append(Item(example.task.kind.parse(example.whole_input), example.label))
        except Exception as error:  # noqa: BLE001  (one bad item ends no pass)
            logger.warning("%s cannot be read and is not judged: %s", example, error)
        else:
            examples.append(example)
    first = _answers(backend, items)
    second = _answers(other, items) if other is not None else [None] * len(items)
    made = []
    for example, said, again in zip(examples, first, second, strict=True):
        both = said is not None and again is not None
        same = kept_config(example.config_id).file.same
        turned = not same(said.label, again.label) if said and again else None
        keeps = said is not None and (other is None or (both and not turned))
        made.append(
            JudgeAnswer(
                judge=judge,
                example=example,
                asked=judge.model,
                target_id=example.model_id,
                label=in_order(said.label) if said is not None and keeps else None,
                turned=turned,
            )
        )
    JudgeAnswer.objects.bulk_create(made, ignore_conflicts=True)


def _answers(backend: Backend, items: Sequence[Item]) -> list[Answer | None]:
    """None for what it cannot answer; Down where it answers nobody now."""
    try:
        return answers_of(backend, items)
    except Down:
        raise
    except Exception:
        # Each was asked alone: asked for again at every look, they would cost for ever.
        logger.warning("a judge answered none of %d items", len(items), exc_info=True)
        return [None] * len(items)


# --- test it --------------------------------------------------------------------------------------
def put_to_test(*, judge: Judge, actor: User | None = None) -> JudgeTest:
    """Hold what it said against people on items that they settled; it is admitted if it passes.

    Refused with too few items. Those of one test serve no other, of whichever judge: who tests
    until one passes tests nothing.
    """
    require_able(judge.model)
    with durable():
        # All of the task's: of two tested at once the second sees what became of the first.
        of_task = Judge.objects.select_for_update(of=("self",)).filter(task=judge.task_id)
        locked = {one.pk: one for one in of_task.select_related("model", "task").order_by("pk")}
        judge = locked[judge.pk]
        if judge.standing == Standing.ADMITTED:
            raise Conflict("admitted", f"{judge.model.name} is admitted, and watched since.")
        admitted = next((one for one in locked.values() if one.standing == Standing.ADMITTED), None)
        if admitted is not None:
            raise Conflict(
                "another_judge", f"{admitted.model.name} is admitted: one judge at a time."
            )
        answers = dict(settled_answers(judge).values_list("example", "label"))
        found = alternative_test(*_read(answers))
        if found is None or found.items < LEAST_TESTED:
            raise Refused("too_few", _too_few(found, len(answers)), status=409)
        right, of = right_of(settled_answers(judge))
        report = _report(found) | {"right": right, "of": of}
        test = JudgeTest.objects.create(
            judge=judge, passed=found.passed, report=report, created_by=actor
        )
        settled_answers(judge).update(test=test)
        if found.passed:
            judge.standing, judge.reason = Standing.ADMITTED, ""
            judge.voter = person_of_a_log(f"{JUDGE}{judge.model.name} {test.pk}")
            judge.save(update_fields=["standing", "reason", "voter"])
        record_event(
            actor=actor,
            verb="tested_judge",
            subject=judge,
            scope=judge.task.slug,
            data={"passed": found.passed, "winning_rate": found.winning_rate, "items": found.items},
        )
    return test


def settled_answers(judge: Judge) -> QuerySet[JudgeAnswer]:
    """What it said of what people have settled without a judge, and no judge was tested with."""
    tested = JudgeAnswer.objects.filter(example=OuterRef("example"), test__isnull=False)
    return JudgeAnswer.objects.filter(
        ~HAS_JUDGES_VOTE,
        ~Exists(tested),
        judge=judge,
        label__isnull=False,
        example__in=Example.objects.usable().filter(
            task=judge.task_id, status__in=SETTLED, adjudicated=False
        ),
    )


def _read(answers: Mapping[int, Any]) -> tuple[dict[int, dict[Any, Any]], dict[Any, Any]]:
    """What people said of the examples of these answers, by who said it, and the answers; as
    verdicts read them."""
    votes = Vote.objects.counted().filter(
        example__in=list(answers), label__isnull=False, automatic=False
    )
    cast: defaultdict[int, list[tuple[int, Any]]] = defaultdict(list)
    about: dict[int, tuple[Any, ...]] = {}
    rows = votes.order_by("id").values_list("validator", "label", "example", *_OF_EXAMPLE)
    for validator, label, example, *told in rows:
        cast[example].append((validator, label))
        about[example] = tuple(told)
    people: defaultdict[int, dict[Any, Any]] = defaultdict(dict)
    said = {}
    for example, votes_on in cast.items():
        config, own, fooled, predicted = about[example]
        labels = [*(label for _, label in votes_on), answers[example]]
        wrong = predicted if fooled else None
        *theirs, its = kept_config(config).file.read_in_turn(labels, own, wrong)
        said[example] = _key(its)
        for (validator, _), label in zip(votes_on, theirs, strict=True):
            people[validator][example] = _key(label)
    return dict(people), said


def _key(answer: Any) -> Any:
    """An answer as the test compares it."""
    return tuple(answer) if isinstance(answer, list) else answer


def _too_few(found: Tested[int] | None, items: int) -> str:
    if found is None:
        return (
            f"A test takes {LEAST_PEOPLE} people with {LEAST_ITEMS} votes each on what it judged "
            f"and people settled: let validators go on, and let it judge ({items} items so far)."
        )
    return f"A test takes {LEAST_TESTED} items with {LEAST_PEOPLE} votes: there are {found.items}."


def _report(found: Tested[int]) -> dict[str, Any]:
    return {
        "epsilon": found.epsilon,
        "items": found.items,
        "people": [asdict(one) for one in found.people],
        "left_out": len(found.left_out),
        "winning_rate": found.winning_rate,
        "advantage": found.advantage,
    }


def right_of(answers: QuerySet[JudgeAnswer]) -> tuple[int, int]:
    """On how many of these it says what people settled, and of how many."""
    rows = answers.values_list("label", "example__status", "example__final_label", *_OF_EXAMPLE)
    found = [_is_right(*row) for row in rows]
    return sum(found), len(found)


def _is_right(said: Any, status: str, final: Any, *told: Any) -> bool:
    """Whether a judge says what people settled; of a rejection without a label, that it rejects."""
    if status == Status.VERIFIED:
        return upholds(said, *told)
    return not upholds(said, *told) and (
        final is None or kept_config(told[0]).file.same(said, final)
    )


def upholds(said: Any, config: int, label: Any, fooled: bool, predicted: Any) -> bool:
    """Whether it says what an example's author does."""
    return kept_config(config).file.same(said, label, predicted if fooled else None)


# --- watch it -------------------------------------------------------------------------------------
def watch(judge: Judge) -> bool:
    """Demote an admitted judge that is worse on what came since than its test left possible.

    That is when its anytime interval, which may be looked at after every item, lies below the
    lower end of the interval that the test gave. Whether it is demoted now.
    """
    if judge.standing != Standing.ADMITTED:
        return False
    test = judge.tests.filter(passed=True).latest("pk")
    floor = wilson(test.report["right"], test.report["of"]).low
    right, of = right_of(settled_answers(judge))
    if anytime(right, of).high >= floor:
        return False
    demote(
        judge=judge,
        reason=f"It agrees with people on {right} of {of} items since its test, which left no "
        f"less than {floor:.0%} possible.",
    )
    return True


def demote(*, judge: Judge, reason: str, actor: User | None = None) -> None:
    """Take its standing away, and its votes their weight: it may earn it anew on other items.

    What is open is decided again without them; a verdict that would be another one is listed for
    the owner.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise Refused("reason_missing", "Say why.")
    with durable():
        held = Judge.objects.select_for_update(of=("self",)).filter(standing=Standing.ADMITTED)
        admitted = held.filter(pk=judge.pk).first()
        if admitted is None:
            return
        assert admitted.voter_id is not None
        row = lock_rows(judge.task_id, [admitted.voter_id])[admitted.voter_id]
        row.quarantined_at, row.looked_again_at = timezone.now(), None
        row.save(update_fields=["quarantined_at", "looked_again_at"])
        follow_later([row])
        held.filter(pk=judge.pk).update(standing=Standing.DEMOTED, reason=reason[:300], voter=None)
        record_event(
            actor=actor,
            verb="demoted_judge",
            subject=judge,
            scope=judge.task.slug,
            data={"reason": reason},
        )
    judge.refresh_from_db()
