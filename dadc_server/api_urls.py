"""Every address of the REST API, version 1."""

from django.urls import path, re_path
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularAPIView

from annotate import api as annotate
from annotate import chat_api as chats
from annotate.why_api import WhyIt
from crowd import api as crowd
from dadc_server.api import NoSuchCall
from releases import api as releases
from scoring import api as scoring
from scoring import owner_api as owners
from scoring import round_api as rounds
from training import api as training
from training import run_api as runs
from validate import api as validate

urlpatterns = [
    path("tasks/", annotate.TaskList.as_view(), name="api-tasks"),
    path("task-file/schema/", annotate.TaskFileSchema.as_view(), name="api-task-file-schema"),
    path("tasks/<slug:slug>/", annotate.TaskDetail.as_view(), name="api-task"),
    path("tasks/<slug:slug>/predictions/", annotate.Predictions.as_view(), name="api-predictions"),
    path("tasks/<slug:slug>/examples/", annotate.Submissions.as_view(), name="api-submissions"),
    path("tasks/<slug:slug>/contexts/next/", annotate.NextContext.as_view(), name="api-context"),
    path("tasks/<slug:slug>/chats/", chats.Chats.as_view(), name="api-chats"),
    path("chats/<uuid:chat>/", chats.ChatDetail.as_view(), name="api-chat"),
    path("chats/<uuid:chat>/turns/", chats.Turns.as_view(), name="api-turns"),
    path("examples/", annotate.ExampleList.as_view(), name="api-examples"),
    path("examples/<uuid:uid>/", annotate.ExampleDetail.as_view(), name="api-example"),
    path("examples/<uuid:uid>/retract/", annotate.Retraction.as_view(), name="api-retract"),
    path("examples/<uuid:uid>/explain/", annotate.Explanation.as_view(), name="api-explain"),
    path("examples/<uuid:uid>/why/", WhyIt.as_view(), name="api-why"),
    path("tasks/<slug:slug>/validations/next/", validate.NextItem.as_view(), name="api-next"),
    path("tasks/<slug:slug>/validations/undo/", validate.Undo.as_view(), name="api-undo"),
    path(
        "tasks/<slug:slug>/validations/progress/", validate.Progress.as_view(), name="api-progress"
    ),
    path("validations/<uuid:lease>/vote/", validate.CastVote.as_view(), name="api-vote"),
    path("validations/<uuid:lease>/release/", validate.Release.as_view(), name="api-release"),
    path("validations/<uuid:lease>/heartbeat/", validate.Heartbeat.as_view(), name="api-heartbeat"),
    path("tasks/<slug:slug>/leaderboard/", scoring.Leaderboard.as_view(), name="api-leaderboard"),
    path("tasks/<slug:slug>/rounds/", rounds.Rounds.as_view(), name="api-rounds"),
    path("tasks/<slug:slug>/rounds/<int:number>/", rounds.RoundDetail.as_view(), name="api-round"),
    path("tasks/<slug:slug>/models/", scoring.Models.as_view(), name="api-models"),
    path(
        "tasks/<slug:slug>/models/uploads/",
        scoring.ModelUploads.as_view(),
        name="api-model-uploads",
    ),
    path("tasks/<slug:slug>/agreement/", owners.AgreementDetail.as_view(), name="api-agreement"),
    path("models/<int:id>/", scoring.ModelDetail.as_view(), name="api-model"),
    path("tasks/<slug:slug>/releases/", releases.Releases.as_view(), name="api-releases"),
    path(
        "tasks/<slug:slug>/releases/<str:version>/files/<path:name>/",
        releases.ReleaseFile.as_view(),
        name="api-release-file",
    ),
    path(
        "tasks/<slug:slug>/comparison/", training.ModelComparison.as_view(), name="api-comparison"
    ),
    path("models/<int:id>/robustness/", training.Robustness.as_view(), name="api-robustness"),
    path("tasks/<slug:slug>/runs/", runs.Runs.as_view(), name="api-runs"),
    path("tasks/<slug:slug>/runs/<uuid:uid>/", runs.RunDetail.as_view(), name="api-run"),
    path("tasks/<slug:slug>/runs/<uuid:uid>/stop/", runs.StopRun.as_view(), name="api-run-stop"),
    path(
        "tasks/<slug:slug>/runs/<uuid:uid>/choose/",
        runs.ChooseTrial.as_view(),
        name="api-run-choose",
    ),
    path("tasks/<slug:slug>/judges/", training.Judges.as_view(), name="api-judges"),
    path("visits/this/", crowd.Notice.as_view(), name="api-visit"),
    path("visits/this/ticket/", crowd.Ticket.as_view(), name="api-visit-ticket"),
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs/", TemplateView.as_view(template_name="api_docs.html"), name="api-docs"),
    re_path(r"", NoSuchCall.as_view(), name="api-nothing"),
]
