"""People in the admin site: roles, bans, lost passwords."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts import services
from accounts.caller import person
from accounts.curation import CuratedAdmin, Panel, ReasonForm, act, history
from accounts.models import Role, User
from annotate.models import Example, Round, Task
from core.errors import Refused
from validate.acts.ban import set_banned, set_barred
from validate.models import Vote


class Standing(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"
    _filters = {
        "account": Q(imported=False, closed_at=None, banned_at=None),
        "banned": Q(banned_at__isnull=False),
        "closed": Q(closed_at__isnull=False),
        "imported": Q(imported=True),
    }

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return [
            ("account", "may sign in"),
            ("banned", "banned"),
            ("closed", "closed"),
            ("imported", "known from a log"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = self._filters.get(self.value() or "")
        return queryset.filter(condition) if condition is not None else queryset


class RoleForm(ReasonForm):
    """The new role and why."""

    role = forms.ChoiceField(choices=Role.choices)
    field_order = ("role", "reason")


def _has_account(user: User) -> bool:
    return user.closed_at is None and not user.imported


def _own_tasks(actor: User) -> QuerySet[Task]:
    tasks = Task.objects.filter(owners=actor).order_by("pk")
    if not tasks:
        words = "You own no task: only a task's owners keep somebody out of it."
        raise Refused("no_task", words, status=409)
    return tasks


@admin.register(User)
class PersonAdmin(CuratedAdmin[User]):
    """Admins see everybody; owners see those who took part in their tasks, without addresses."""

    list_display = (
        "username", "pseudonym", "role", "date_joined", "banned_at", "closed_at", "imported",
    )  # fmt: skip
    list_filter = (Standing, "role")
    search_fields = ("username",)
    search_help_text = "By user name or pseudonym, whole or its beginning."
    actions = (
        "keep_out", "let_back_in", "ban", "unban", "change_role", "new_password",
        "remove_second_factor",
    )  # fmt: skip

    def owned(self, queryset: QuerySet[User], user: User) -> QuerySet[User]:
        # Whole sets rather than a question for each person: both are read from indexes alone.
        rounds = list(
            Round.objects.filter(task__in=Task.objects.owned_by(user)).values_list("pk", flat=True)
        )
        authors = Example.objects.filter(round__in=rounds).values("author")
        voters = Vote.objects.filter(example__round__in=rounds).values("validator")
        return queryset.filter(Q(pk__in=authors) | Q(pk__in=voters))

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> list[Any]:
        shown = ["username", "pseudonym", "role", "date_joined", "imported"]
        if self.has_administer_permission(request):
            shown += ["email", "last_login"]
        return [*shown, "banned_at", "ban_reason", "closed_at"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        begins = Q(username__istartswith=term) | Q(pseudonym__startswith=term)
        return queryset.filter(begins), False

    def panels(self, request: HttpRequest, instance: User) -> list[Panel]:
        # What somebody did elsewhere on the server is no business of a task's owner.
        return [history(instance)] if self.has_administer_permission(request) else []

    @act(
        "Ban",
        warning="They can neither sign in nor submit or vote, their sessions end, and their "
        "examples that wait for votes leave the queue.",
        permission="administer",
        fits=lambda user: user.banned_at is None,
    )
    def ban(self, request: HttpRequest, user: User, reason: str) -> None:
        if user.pk == request.user.pk:
            raise Refused("yourself", "Nobody bans themselves.")
        set_banned(actor=person(request), user=user, banned=True, reason=reason)

    @act(
        "Lift the ban",
        warning="They may take part again, and their waiting examples come back into the queue.",
        permission="administer",
        fits=lambda user: user.banned_at is not None,
    )
    def unban(self, request: HttpRequest, user: User, reason: str) -> None:
        set_banned(actor=person(request), user=user, banned=False, reason=reason)

    @act(
        "Keep out of my tasks",
        warning="In the tasks that you own they can neither submit nor vote; what waits of theirs "
        "leaves these queues, and their votes there lose their weight.",
    )
    def keep_out(self, request: HttpRequest, user: User, reason: str) -> str:
        actor = person(request)
        tasks = _own_tasks(actor)
        theirs = set(tasks.filter(owners__in=[user]).values_list("pk", flat=True))
        if len(theirs) == len(tasks):
            raise Refused("is_owner", "An owner of the task is not kept out of it.", status=409)
        for task in tasks:
            if task.pk not in theirs:
                set_barred(actor=actor, task=task, user=user, barred=True, reason=reason)
        names = ", ".join(task.name for task in tasks if task.pk in theirs)
        return f"{user}: not kept out of {names}, which they own, too." if theirs else ""

    @act(
        "Let back into my tasks",
        warning="They may take part in the tasks that you own again, and their votes there weigh.",
    )
    def let_back_in(self, request: HttpRequest, user: User, reason: str) -> None:
        actor = person(request)
        for task in _own_tasks(actor):
            set_barred(actor=actor, task=task, user=user, barred=False, reason=reason)

    @act(
        "Change role",
        warning="Each role may do what the ones before it may.",
        form=RoleForm,
        permission="administer",
        fits=_has_account,
    )
    def change_role(self, request: HttpRequest, user: User, role: str, reason: str) -> None:
        services.set_role(user=user, role=role, actor=person(request), reason=reason)

    @act(
        "Give a new password",
        warning="For somebody who forgot theirs. Their sessions end; the password is shown to you "
        "once, and they should change it.",
        permission="administer",
        fits=_has_account,
    )
    def new_password(self, request: HttpRequest, user: User, reason: str) -> str:
        password = services.new_password(user=user, actor=person(request), reason=reason)
        return f"The new password of {user.username}: {password}"

    @act(
        "Remove the second factor",
        warning="For somebody who lost both phone and recovery codes. Be sure that it is them.",
        permission="administer",
        fits=_has_account,
    )
    def remove_second_factor(self, request: HttpRequest, user: User, reason: str) -> None:
        services.remove_second_factor(user=user, actor=person(request), reason=reason)
