from django.apps import AppConfig


class ValidateConfig(AppConfig):
    name = "validate"
    verbose_name = "Validation"

    def ready(self) -> None:
        from annotate.config import register_section
        from annotate.judged import read_with
        from annotate.own_work import add_to_own_data
        from validate.config import ValidationSettings
        from validate.queries import judged_now, judges_of, own_votes

        register_section("validation", ValidationSettings)
        add_to_own_data(own_votes)
        read_with(judged_now, judges_of)
