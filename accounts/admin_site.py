from django.contrib.admin.apps import AdminConfig


class AdminSiteConfig(AdminConfig):
    """Django's admin app with this project's site in place of its own."""

    default_site = "accounts.curation_site.CurationSite"
