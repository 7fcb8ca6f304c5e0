"""A version of a task's file before it is in force: what it would change, break, or have others
wonder at."""

from __future__ import annotations

from dataclasses import dataclass

from annotate.config import TaskFile, read_task_file
from annotate.models import Example, Task
from annotate.queries import open_target
from annotate.task_text import Line, as_yaml, difference
from core.errors import Refused
from core.strict_yaml import NotYaml
from kinds.answers import in_words


@dataclass(frozen=True)
class Draft:
    """A file that could be loaded, how it differs from the one in force, and what to look at."""

    file: TaskFile
    lines: list[Line]
    warnings: list[str]


def draft_of(task: Task, text: str) -> Draft:
    """NotYaml where it is no task file of this task, Refused where it would break what is there."""
    assert task.config is not None
    file = read_task_file(text)
    if file.slug != task.slug:
        raise NotYaml(f"slug: this is the file of {task.slug}; another slug is another task.")
    require_unbroken(task, file)
    return Draft(file, difference(as_yaml(task.config.file), as_yaml(file)), _warnings(task, file))


def require_unbroken(task: Task, file: TaskFile) -> None:
    """Refuse a version under which stored examples would mean nothing; a query or two."""
    there = Example.objects.filter(task=task)
    if file.input != task.input_kind and there.exists():
        raise Refused(
            "input_kind_fixed",
            f"{file.slug} has examples of kind {task.input_kind}: make another task.",
        )
    if task.config is None:
        return
    gone = set(task.config.file.label_values) - set(file.label_values)
    if not gone or not (file.kind.answers.few or file.kind.answers.several):
        return
    used = [
        label
        for field in ("label", "final_label")
        for label in there.values_list(field, flat=True).distinct()
        if not gone.isdisjoint(label if isinstance(label, list) else [label])
    ]
    if used:
        raise Refused(
            "label_in_use",
            f"labels: examples of {file.slug} say {in_words(used[0])}: keep that label (its name "
            "may change), or make another task.",
        )


def _warnings(task: Task, file: TaskFile) -> list[str]:
    found = []
    target = open_target(task.pk)
    for model in target.models if target and file.kind.answers.few and not file.kind.talks else ():
        own = set(model.config.get("names", {}).values()) or set(model.config.get("labels", ()))
        if own and (never := [one for one in file.label_values if one not in own]):
            found.append(
                f"{model.name}, which the round is against, never says {', '.join(never)}."
            )
        if more := sorted(own - set(file.label_values)):
            found.append(f"{model.name}, which the round is against, may say {', '.join(more)}.")
    keyless = [label.name for label in file.keyed_labels if label.key is None]
    if keyless:
        found.append(f"No key chooses {', '.join(keyless)}: give them a key.")
    before = task.config.file if task.config else file
    judges = (file.comparator_rule, file.claim) != (before.comparator_rule, before.claim)
    if judges and task.examples.exists():
        anew = "" if task.kind.talks else "; models are evaluated anew"
        found.append(
            f"Examples that are there stay as the rule and the claim before judged them{anew}."
        )
    return found
