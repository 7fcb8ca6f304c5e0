"""What every page of the admin site keeps to: permission in the query, no COUNT over everything,
nothing edited by hand, and acts that ask for a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import capfirst

from accounts.caller import person
from accounts.models import Event, Role, User
from accounts.services import SALT
from core.errors import Refused

M = TypeVar("M", bound=Model)

COUNTED = 2_000  # rows that a list counts and pages through; a filter or a search finds the rest
AT_ONCE = 200  # rows that one act may change
HISTORY = 100


class BoundedPaginator(Paginator[Any]):
    """Counts no further than COUNTED, so that a list of a million rows costs as little."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[:COUNTED].count()

    @property
    def may_have_more(self) -> bool:
        """Whether the counting stopped before the end."""
        return self.count == COUNTED


@dataclass(frozen=True)
class Panel:
    """A table below an object's fields; a cell is text or safe HTML, a row may be its own words."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str = "None."


class CuratedAdmin(admin.ModelAdmin[M]):
    """Read-only pages of what a person may see; acts are the only way to change anything."""

    viewer_role: str = Role.OWNER
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()  # sorting by any column would read every row
    ordering = ("-pk",)
    list_per_page = 50
    list_max_show_all = 0
    change_form_template = "admin/curated.html"

    def owned(self, queryset: QuerySet[M], user: User) -> QuerySet[M]:
        """The part of the rows that an owner sees; admins see all."""
        raise NotImplementedError

    def panels(self, request: HttpRequest, instance: M) -> list[Panel]:
        """The tables below the fields; what was done to it, unless a page says otherwise."""
        return [history(instance)]

    def summary(self, instance: M) -> str:
        """The thing in a line, on the page that asks for a reason."""
        return str(instance)

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        rows = super().get_queryset(request)
        user = person(request)
        if user.has_role(Role.ADMIN):
            return rows
        return self.owned(rows, user) if self._may_view(request) else rows.none()

    def _may_view(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.has_role(self.viewer_role)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> M | None:
        """The thing with this id; None also for what no database takes as an id."""
        try:
            return super().get_object(request, object_id, from_field or None)
        except (OverflowError, ValueError):  # a number too long for SQLite, a NUL for PostgreSQL
            return None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may_view(request)

    def has_view_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return self._may_view(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_curate_permission(self, request: HttpRequest) -> bool:
        return self._may_view(request)

    def has_administer_permission(self, request: HttpRequest) -> bool:
        return person(request).has_role(Role.ADMIN)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(chosen)
            except ValidationError as error:
                raise BadRequest("What was chosen is no id.") from error
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        instance = kwargs.get("obj") or context["original"]
        acts = [
            (name, entry[2])
            for name, entry in self.get_actions(request).items()
            if entry and getattr(entry[0], "fits", _always)(instance)
        ]
        context |= {
            "acts": acts,
            "panels": self.panels(request, instance),
            "back": request.path,
            "title": capfirst(self.opts.verbose_name),
        }
        return super().render_change_form(request, context, *args, **kwargs)


def history(instance: Model) -> Panel:
    """What was done to one thing, newest first (one query)."""
    events = (
        Event.objects.filter(object_type=instance._meta.model_name, object_id=str(instance.pk))
        .select_related("actor")
        .order_by("-id")[:HISTORY]
    )
    return Panel(
        "History", ("When", "Who", "What", "Why", "Details"), [history_row(e) for e in events]
    )


def history_row(event: Event) -> Sequence[object]:
    data = {name: value for name, value in event.data.items() if name not in ("reason", SALT)}
    return (
        event.created_at,
        event.actor.public_name if event.actor else "the server",
        event.verb.replace("_", " "),
        event.data.get("reason", ""),
        ", ".join(f"{name}: {value}" for name, value in data.items() if value not in ("", None)),
    )


class ReasonForm(forms.Form):
    """Why: it is kept in the history."""

    reason = forms.CharField(
        max_length=1_000,
        widget=forms.Textarea(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept in the history, for those who ask later.",
    )


def _always(_: Model) -> bool:
    return True


def act(
    description: str,
    *,
    warning: str = "",
    form: type[forms.Form] = ReasonForm,
    permission: str = "curate",
    fits: Callable[[Any], bool] = _always,
) -> Callable[[Callable[..., str | None]], Callable[..., HttpResponse | None]]:
    """Make `method(self, request, instance, **form fields)` an admin action that asks first.

    The method changes one thing by a service; what that refuses is shown as its sentence, and a
    returned sentence is shown too. `warning` says what the act means, `fits` whether the button
    is offered on a thing's own page.
    """

    def decorate(method: Callable[..., str | None]) -> Callable[..., HttpResponse | None]:
        @admin.action(description=description, permissions=[permission])
        @wraps(method)
        def action(
            page: CuratedAdmin[Any], request: HttpRequest, queryset: QuerySet[Any]
        ) -> HttpResponse | None:
            chosen = list(queryset[: AT_ONCE + 1])
            if len(chosen) > AT_ONCE:
                messages.error(request, f"Choose at most {AT_ONCE} at once.")
                return None
            confirmed = "confirmed" in request.POST
            filled = form(request.POST if confirmed else None)
            if not confirmed or not filled.is_valid():
                return _ask(page, request, chosen, filled, (description, warning, method.__name__))
            done = [
                _carry_out(method, page, request, instance, filled.cleaned_data)
                for instance in chosen
            ]
            if count := sum(done):
                messages.success(request, f"{description}: done for {count}.")
            back = request.POST.get("back", "")
            safe = url_has_allowed_host_and_scheme(back, allowed_hosts=None)
            return HttpResponseRedirect(back) if safe else None

        action.fits = fits  # type: ignore[attr-defined]
        return action

    return decorate


def _carry_out(
    method: Callable[..., str | None],
    page: CuratedAdmin[Any],
    request: HttpRequest,
    instance: Model,
    values: dict[str, Any],
) -> bool:
    """Do one act in its own transaction; False when it was refused."""
    try:
        said = method(page, request, instance, **values)
    except Refused as refused:
        messages.error(request, f"{instance}: {refused.message}")
        return False
    if said:
        messages.info(request, said)
    return True


def _ask(
    page: CuratedAdmin[Any],
    request: HttpRequest,
    chosen: Iterable[Model],
    form: forms.Form,
    words: tuple[str, str, str],
) -> HttpResponse:
    description, warning, name = words
    return TemplateResponse(
        request,
        "admin/act.html",
        {
            **page.admin_site.each_context(request),
            "title": description,
            "warning": warning,
            "action": name,
            "checkbox": ACTION_CHECKBOX_NAME,
            "chosen": [(instance.pk, page.summary(instance)) for instance in chosen],
            "form": form,
            "opts": page.opts,
            "back": request.POST.get("back") or request.get_full_path(),
        },
    )
