"""Tasks, their configs, models and rounds, and the record of what was done, in the admin site."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.caller import person
from accounts.curation import CuratedAdmin, ReasonForm, act
from accounts.models import Event, User
from annotate.config import read_task_file
from annotate.models import ModelVersion, Round, Task, TaskConfig
from annotate.rounds import change_target, give_task, load_task
from annotate.task_text import MAX_TASK_FILE
from core.errors import Refused
from core.strict_yaml import NotYaml


def pretty(data: object) -> SafeString:
    """JSON that can be read."""
    return format_html("<pre>{}</pre>", json.dumps(data, indent=2, ensure_ascii=False))


class OfTask(admin.SimpleListFilter):
    """By task: the ones that this person owns, or all for an admin."""

    title = "task"
    parameter_name = "task"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        tasks = Task.objects.owned_by(person(request)).order_by("name")
        return [(slug, name) for slug, name in tasks.values_list("slug", "name")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        task = Task.objects.owned_by(person(request)).filter(slug=self.value()).first()
        return queryset.filter(task=task) if task else queryset.none()


class OfTaskAdmin(CuratedAdmin[Any]):
    """Something that belongs to a task: its owners see it."""

    list_filter: ClassVar[tuple[Any, ...]] = (OfTask,)

    def owned(self, queryset: QuerySet[Any], user: User) -> QuerySet[Any]:
        # The ids first: with few of them the index on the task also gives the order.
        ids = list(Task.objects.owned_by(user).values_list("pk", flat=True))
        return queryset.filter(task__in=ids)


class TaskFileForm(forms.Form):
    file = forms.FileField(
        label="Task file (YAML)",
        widget=forms.FileInput(attrs={"accept": ".yaml,.yml"}),
        help_text="A file that differs from the present one becomes a new version; examples keep "
        "the version that they met.",
    )


def load_upload(upload: Any, actor: User) -> str:
    """Load an uploaded task file and say what came of it; Refused with a sentence."""
    if upload.size > MAX_TASK_FILE:
        raise Refused("too_long", f"A task file has at most {MAX_TASK_FILE // 1000} kB.")
    try:
        file = read_task_file(upload.read())
    except NotYaml as error:
        raise Refused("bad_task_file", str(error)) from error
    task, changed = load_task(file=file, actor=actor)
    assert task.config is not None
    if not changed:
        return f"{task.name} is already configured like this: nothing changed."
    return f"{task.name} now has version {task.config.version} of its file."


def file_page(
    page: CuratedAdmin[Any],
    request: HttpRequest,
    kind: type[forms.Form],
    title: str,
    take: Callable[[Any, User], tuple[str, str]],
) -> HttpResponse:
    """A page with a form of one `file`, which `take` loads: it says what came of it, and where to
    go then, or is Refused."""
    if not page.has_curate_permission(request):
        return HttpResponse(status=403)
    form = kind(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            said, next_page = take(form.cleaned_data["file"], person(request))
        except Refused as refused:
            form.add_error("file", refused.message)
        else:
            messages.success(request, said)
            return HttpResponseRedirect(next_page)
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "form": form,
        "opts": page.opts,
    }
    return TemplateResponse(request, "admin/load_file.html", context)


class OwnerForm(ReasonForm):
    """Who is to own it, and why."""

    owner = forms.CharField(max_length=150, help_text="The user name of somebody with that role.")
    field_order = ("owner", "reason")


@admin.register(Task)
class TaskAdmin(CuratedAdmin[Task]):
    list_display = ("name", "slug", "input_kind", "public", "config", "created_at")
    list_select_related = ("config",)
    fields = (
        "name", "slug", "input_kind", "public", "who_owns", "config", "file", "created_at",
    )  # fmt: skip
    readonly_fields = fields
    change_list_template = "admin/tasks.html"
    actions = ("give",)

    def owned(self, queryset: QuerySet[Task], user: User) -> QuerySet[Task]:
        return queryset.filter(pk__in=Task.objects.owned_by(user))

    @admin.display(description="owners")
    def who_owns(self, task: Task) -> str:
        return ", ".join(user.public_name for user in task.owners.all()) or "admins only"

    @admin.display(description="task file")
    def file(self, task: Task) -> SafeString:
        return pretty(task.config.data if task.config else None)

    @act("Give to an owner", form=OwnerForm, permission="administer")
    def give(self, request: HttpRequest, task: Task, owner: str, reason: str) -> None:
        give_task(actor=person(request), task=task, owner=owner, reason=reason)

    def get_urls(self) -> list[URLPattern]:
        load = path("load/", self.admin_site.admin_view(self.load), name="annotate_task_load")
        return [load, *super().get_urls()]

    def load(self, request: HttpRequest) -> HttpResponse:
        """A page to upload a task file on."""

        def take(upload: Any, actor: User) -> tuple[str, str]:
            return load_upload(upload, actor), reverse("admin:annotate_task_changelist")

        return file_page(self, request, TaskFileForm, "Load a task file", take)


@admin.register(TaskConfig)
class TaskConfigAdmin(OfTaskAdmin):
    list_display = ("task", "version", "created_at", "created_by")
    list_select_related = ("task", "created_by")
    fields = ("task", "version", "created_at", "created_by", "file")
    readonly_fields = fields

    @admin.display(description="task file")
    def file(self, config: TaskConfig) -> SafeString:
        return pretty(config.data)


@admin.register(ModelVersion)
class ModelVersionAdmin(OfTaskAdmin):
    list_display = ("name", "task", "number", "serves", "parent", "created_at")
    list_select_related = ("task", "parent")
    fields = (
        "name", "task", "number", "serves", "parent", "artifact", "sha256", "created_at",
        "net", "measured", "origin",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("serve",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return super().get_queryset(request).prefetch_related("rounds")

    @admin.display(description="rounds")
    def serves(self, model: ModelVersion) -> str:
        rounds = sorted(model.rounds.all(), key=lambda each: each.number)
        return ", ".join(
            f"{each.number} (open)" if each.status == Round.Status.OPEN else str(each.number)
            for each in rounds
        )

    @admin.display(description="config")
    def net(self, model: ModelVersion) -> SafeString:
        return pretty(model.config)

    @admin.display(description="metrics")
    def measured(self, model: ModelVersion) -> SafeString:
        return pretty(model.metrics)

    @admin.display(description="provenance")
    def origin(self, model: ModelVersion) -> SafeString:
        return pretty(model.provenance)

    @act(
        "Promote or roll back to this model",
        warning="The open round is closed, and the next one begins with this model in the loop.",
        fits=lambda model: bool(model.backend),
    )
    def serve(self, request: HttpRequest, model: ModelVersion, reason: str) -> str:
        opened = change_target(actor=person(request), task=model.task, model=model, reason=reason)
        return f"Round {opened.number} of {model.task} is open with {model.name}."


@admin.register(Round)
class RoundAdmin(OfTaskAdmin):
    list_display = ("__str__", "task", "status", "models", "opened_at", "closed_at")
    list_select_related = ("task",)
    list_filter = (OfTask, "status")
    fields = (
        "task", "number", "status", "models", "opens_at", "opened_at", "closes_at", "closed_at",
        "rules",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Round]:
        return super().get_queryset(request).prefetch_related("targets")

    @admin.display(description="target models")
    def models(self, round_: Round) -> str:
        return ", ".join(model.name for model in round_.targets.all())


class ByTaskOfEvent(OfTask):
    """By the task that an event belongs to."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(scope=self.value()) if self.value() else queryset


class Attempts(admin.SimpleListFilter):
    """Only what somebody tried and was refused, with who it was."""

    title = "refused attempts"
    parameter_name = "attempt"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(verb, verb.replace("_", " ")) for verb in Event.ATTEMPTS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(verb=self.value()) if self.value() in Event.ATTEMPTS else queryset


@admin.register(Event)
class EventAdmin(CuratedAdmin[Event]):
    list_display = ("created_at", "actor", "verb", "object_type", "object_id", "scope")
    list_select_related = ("actor",)
    list_filter = (ByTaskOfEvent, Attempts)
    search_fields = ("object_id",)
    search_help_text = "By the id of what was changed."

    def owned(self, queryset: QuerySet[Event], user: User) -> QuerySet[Event]:
        slugs = list(Task.objects.owned_by(user).values_list("slug", flat=True))
        return queryset.filter(scope__in=slugs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        if search_term:
            # All object types, so that the index on (type, id) serves the search.
            types = [
                "example",
                "user",
                "task",
                "round",
                "modelversion",
                "trainingrun",
                "taskconfig",
            ]
            queryset = queryset.filter(object_type__in=types, object_id=search_term.strip())
        return queryset, False

    def panels(self, request: HttpRequest, instance: Event) -> list[Any]:
        return []
