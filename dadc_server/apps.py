"""The project's own app: its system checks stop a start with a setting that would lose or leak."""

from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured


class DadcServerConfig(AppConfig):
    name = "dadc_server"
    verbose_name = "DADC Server"

    def ready(self) -> None:
        from annotate import facts
        from crowd.consents import agreed_to
        from crowd.earned import paid_for
        from dadc_server import telemetry  # noqa: F401  (connects it)
        from dadc_server.facts import RECEIVERS
        from ml import store
        from releases import consents, pay

        if settings.ARTIFACTS:
            try:
                store.put_behind(Path(settings.ARTIFACT_DIR), settings.ARTIFACTS)
            except store.StoreError as error:
                raise ImproperlyConfigured(f"DADC_ARTIFACTS: {error}") from error
        facts.receive(RECEIVERS)
        pay.ask(paid_for)
        consents.ask(agreed_to)


@register()
def web_processes_share_a_channel_layer(**_: Any) -> list[CheckMessage]:
    """Several web processes without Redis could not tell each other of a new round."""
    if settings.WEB_CONCURRENCY > 1 and not settings.REDIS_URL:
        return [
            Error(
                f"WEB_CONCURRENCY is {settings.WEB_CONCURRENCY}, but there is no REDIS_URL.",
                hint="Set REDIS_URL=redis://… or run one web process.",
                id="dadc.E001",
            )
        ]
    return []


@register()
def https_comes_through_a_proxy(**_: Any) -> list[CheckMessage]:
    """bin/serve speaks HTTP: unless a proxy is believed, each page is sent to https for ever."""
    if settings.HTTPS and not settings.TRUSTED_PROXIES:
        return [
            Warning(
                "DADC_HTTPS is set, but there is no DADC_PROXY whose word for https is taken.",
                hint="Set DADC_PROXY=1 for a proxy on this machine, or its address.",
                id="dadc.W001",
            )
        ]
    return []
