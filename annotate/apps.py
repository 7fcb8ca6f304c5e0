from django.apps import AppConfig
from django.conf import settings


class AnnotateConfig(AppConfig):
    name = "annotate"
    verbose_name = "Annotation"

    def ready(self) -> None:
        from annotate.seals import unseal
        from ml import remote

        remote.configure(allowed=lambda: settings.MODEL_HOSTS, unseal=unseal)
