from django.apps import AppConfig


class ValidateConfig(AppConfig):
    name = "validate"
    verbose_name = "Validation"

    def ready(self) -> None:
        from annotate.config import register_section
        from validate import receivers  # noqa: F401  (connects them)
        from validate.config import ValidationSettings

        register_section("validation", ValidationSettings)
