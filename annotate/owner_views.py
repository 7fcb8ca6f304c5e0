"""The owner's pages of a task's file, and of its contexts: what annotators write about."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.caller import person
from annotate import contexts as services
from annotate.config import TaskFile
from annotate.context_files import NotRows, rows_of
from annotate.contexts import MAX_SOURCE, Loaded
from annotate.drafts import Draft, draft_of
from annotate.models import Task
from annotate.owners import owned_task_or_404
from annotate.rounds import load_task
from annotate.task_text import MAX_TASK_FILE, as_yaml, keys
from core.errors import Refused
from core.strict_yaml import Mistake, NotYaml

MISTAKES_SHOWN: Final = 20


class ContextsForm(forms.Form):
    file = forms.FileField(
        widget=forms.FileInput(attrs={"accept": ".jsonl,.csv,.parquet"}),
        help_text="A row each, as JSON lines, CSV or Parquet, with the text in a column "
        "<code>context</code> or <code>text</code>, and <code>source</code> and <code>tags</code> "
        "where you have them. Of more than 4 MB: <code>manage.py load_contexts</code>.",
    )
    source = forms.CharField(
        max_length=MAX_SOURCE,
        required=False,
        help_text="Where they come from, for rows that do not say so themselves.",
    )


class TaskFileForm(forms.Form):
    text = forms.CharField(
        label="YAML",
        strip=False,
        max_length=MAX_TASK_FILE,
        widget=forms.Textarea(attrs={"rows": 24, "spellcheck": "false", "autocapitalize": "off"}),
        help_text="What is left out has its default.",
    )
    after = forms.IntegerField(widget=forms.HiddenInput)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def task_file(request: HttpRequest, slug: str) -> HttpResponse:
    """The file in force, to be changed: checked with a preview, or saved as the next version."""
    task = owned_task_or_404(request, slug)
    assert task.config is not None
    now = {"text": as_yaml(task.config.file), "after": task.config.version}
    form = TaskFileForm(request.POST or None, initial=now)
    draft: Draft | None = None
    mistakes: Sequence[dict[str, Any]] = ()
    if request.method == "POST" and form.is_valid():
        text = form.cleaned_data["text"]
        try:
            draft = draft_of(task, text)
            if "save" in request.POST and draft.lines:
                after = form.cleaned_data["after"]
                saved, _ = load_task(file=draft.file, actor=person(request), after=after)
                assert saved.config is not None
                messages.success(request, f"Version {saved.config.version} is in force.")
                return redirect("task-file", slug)
        except NotYaml as error:
            lines = text.splitlines()
            mistakes = [_at_its_line(one, lines) for one in error.mistakes]
        except Refused as refused:
            draft, mistakes = None, [{"words": refused.message}]
    return render(
        request,
        "annotate/task_file.html",
        {
            "task": task,
            "form": form,
            "draft": draft,
            "mistakes": mistakes,
            "next": task.config.version + 1,
            "keys": keys(),
            **(_preview(draft.file) if draft else {}),
        },
    )


def _at_its_line(mistake: Mistake, lines: Sequence[str]) -> dict[str, Any]:
    known = mistake.line is not None and mistake.line <= len(lines)
    shown = lines[mistake.line - 1].strip() if known and mistake.line else ""
    return {"line": mistake.line if known else None, "words": mistake.words, "shown": shown}


def _preview(file: TaskFile) -> dict[str, Any]:
    pictures = file.instructions.pictures
    return {
        "instructions": file.instructions,
        "labels": file.keyed_labels,
        "rule": file.comparator_rule,
        "explanation": file.explanation,
        "words": file.kind.words,
        "good_pictures": [picture for picture in pictures if picture.good],
        "bad_pictures": [picture for picture in pictures if not picture.good],
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def contexts(request: HttpRequest, slug: str) -> HttpResponse:
    """What is there, by source; a file is loaded, or only looked at (`check`)."""
    task = _task_with_contexts(request, slug)
    form = ContextsForm(request.POST or None, request.FILES or None)
    named = request.GET.get("source", "").strip()
    only_check, outcome = "check" in request.POST, None
    if request.method == "POST" and form.is_valid():
        try:
            outcome = _load(request, task, form.cleaned_data, only_check=only_check)
        except (NotRows, Refused) as error:
            form.add_error("file", str(error))
        else:
            if not only_check and not outcome.mistakes:
                messages.success(request, _words(outcome, only_check=False))
                return redirect("contexts", slug)
    shown, there = services.sources(task, named)
    return render(
        request,
        "annotate/contexts.html",
        {
            "task": task,
            "form": form,
            "sources": shown,
            "number_of_sources": there,
            "named": named,
            "outcome": outcome and _words(outcome, only_check=only_check),
            "mistakes": outcome and outcome.mistakes[:MISTAKES_SHOWN],
            "more_mistakes": outcome and max(0, len(outcome.mistakes) - MISTAKES_SHOWN),
        },
    )


@require_POST
def offer(request: HttpRequest, slug: str) -> HttpResponse:
    """Give annotators the contexts of a source no more, or again."""
    task = _task_with_contexts(request, slug)
    source, again = request.POST.get("source", ""), "again" in request.POST
    changed = services.offer(actor=person(request), task=task, source=source, again=again)
    number = f"{changed:,} {'context is' if changed == 1 else 'contexts are'}"
    messages.success(request, f"{number} {'given out again' if again else 'given out no more'}.")
    return redirect("contexts", slug)


def _task_with_contexts(request: HttpRequest, slug: str) -> Task:
    task = owned_task_or_404(request, slug)
    if not task.kind.contexts:
        raise Http404
    return task


def _load(request: HttpRequest, task: Task, given: dict[str, Any], *, only_check: bool) -> Loaded:
    upload = given["file"]
    with tempfile.NamedTemporaryFile(suffix=Path(upload.name).suffix.lower()) as copy:
        copy.writelines(upload.chunks())
        copy.flush()
        try:
            return services.load_contexts(
                task=task,
                rows=rows_of(Path(copy.name)),
                source=given["source"],
                dry_run=only_check,
                actor=person(request),
            )
        except NotRows as error:
            name = Path(copy.name).name  # which nobody has ever seen
            raise NotRows(str(error).replace(name, upload.name)) from error


def _words(outcome: Loaded, *, only_check: bool) -> str:
    new = f"{outcome.new:,} new {'context' if outcome.new == 1 else 'contexts'}"
    known = f"{outcome.known:,} {'was' if outcome.known == 1 else 'were'} there already"
    return f"{new} {'would be' if only_check else 'loaded'}; {known}."
