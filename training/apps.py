from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = "Training"

    def ready(self) -> None:
        from annotate.config import register_section
        from training import tasks  # noqa: F401  (connects them)
        from training.config import EvaluationSettings, RetrainingSettings

        register_section("retraining", RetrainingSettings)
        register_section("evaluation", EvaluationSettings)
