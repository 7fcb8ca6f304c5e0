"""The tallies in the admin site."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.curation import CuratedAdmin, Panel
from accounts.models import User
from annotate.models import Task
from scoring.models import Tally
from scoring.tally import COLUMNS


@admin.register(Tally)
class TallyAdmin(CuratedAdmin[Tally]):
    list_display = ("author", "task", "round", *COLUMNS)
    list_select_related = ("author", "round__task")

    def owned(self, queryset: QuerySet[Tally], user: User) -> QuerySet[Tally]:
        return queryset.filter(round__task__in=Task.objects.owned_by(user))

    def task(self, tally: Tally) -> str:
        return tally.round.task.name

    def panels(self, request: HttpRequest, instance: Tally) -> list[Panel]:
        return []
