from django.apps import AppConfig


class DadcServerConfig(AppConfig):
    name = "dadc_server"
    verbose_name = "DADC Server"

    def ready(self) -> None:
        from dadc_server import checks, telemetry  # noqa: F401  (connects them)
