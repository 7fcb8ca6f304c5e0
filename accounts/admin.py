"""Visits in the admin site; people themselves are on a page of the validation app, which bans."""

from django.contrib import admin

from accounts.curation import CuratedAdmin
from accounts.models import Role, WorkSession


@admin.register(WorkSession)
class WorkSessionAdmin(CuratedAdmin[WorkSession]):
    viewer_role = Role.ADMIN
    list_display = ("started_at", "kind", "user", "id")
    list_filter = ("kind",)
    list_select_related = ("user",)
    ordering = ("-started_at",)
