"""Campaigns in the admin site, which leads to the pages where owners follow and pay them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import User
from annotate.admin import OfTask, OfTaskAdmin, file_page, pretty
from crowd.campaigns import costs_in_words
from crowd.models import Campaign
from crowd.owner_views import load_upload


class CampaignFileForm(forms.Form):
    file = forms.FileField(
        label="Campaign file (YAML)",
        widget=forms.FileInput(attrs={"accept": ".yaml,.yml"}),
        help_text="Its links, and all that is done about a campaign, are on its own page.",
    )


@admin.register(Campaign)
class CampaignAdmin(OfTaskAdmin):
    list_display = ("slug", "task", "state", "created_at", "its_page")
    list_select_related = ("task",)
    list_filter = (OfTask, "state")
    fields = ("slug", "task", "state", "its_page", "created_at", "created_by", "campaign_file")
    readonly_fields = fields
    change_list_template = "admin/campaigns.html"

    @admin.display(description="page")
    def its_page(self, campaign: Campaign) -> SafeString:
        address = reverse("campaign", args=[campaign.task.slug, campaign.slug])
        return format_html('<a href="{}">Visits, money, links</a>', address)

    @admin.display(description="campaign file")
    def campaign_file(self, campaign: Campaign) -> SafeString:
        return pretty(campaign.data)

    def get_urls(self) -> list[URLPattern]:
        load = path("load/", self.admin_site.admin_view(self.load), name="crowd_campaign_load")
        return [load, *super().get_urls()]

    def load(self, request: HttpRequest) -> HttpResponse:
        """A page to upload a campaign file on."""

        def take(upload: Any, actor: User) -> tuple[str, str]:
            loaded = load_upload(upload, actor)
            page = reverse("campaign", args=[loaded.task.slug, loaded.slug])
            return costs_in_words(loaded), page

        return file_page(self, request, CampaignFileForm, "Load a campaign file", take)
