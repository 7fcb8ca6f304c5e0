"""REST: tasks, predictions, and one's own examples."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.caller import person
from annotate import contexts, explanations, judged, services, submissions, task_text
from annotate.body import answer_body, example_body
from annotate.inference import live_model, read_apart
from annotate.models import Example, Round, Task
from annotate.queries import no_open_round, open_target, require_company
from annotate.rest import (
    asked,
    checked,
    participant_of,
    pass_door,
    signed_in,
    task_or_404,
)
from annotate.standing import require_sandbox
from core.addresses import address_of
from kinds import all_kinds

_KINDS = ", ".join(sorted(all_kinds()))
_INPUT = f"By the task's kind of input: {'; '.join(kind.shape for kind in all_kinds().values())}."

_CONTEXT = "The id of the context that you were given; the input leaves out what that says."


# --- tasks ----------------------------------------------------------------------------------------
class LabelSerializer(serializers.Serializer[Any]):
    value = serializers.CharField()
    name = serializers.CharField()
    key = serializers.CharField(allow_null=True, help_text="The key that stands for it.")


class PictureSerializer(serializers.Serializer[Any]):
    image = serializers.CharField(help_text="Path of a static file.")
    caption = serializers.CharField()
    good = serializers.BooleanField()


class SampleTextSerializer(serializers.Serializer[Any]):
    text = serializers.CharField()
    caption = serializers.CharField()
    good = serializers.BooleanField()


class InstructionsSerializer(serializers.Serializer[Any]):
    goal = serializers.CharField()
    steps = serializers.ListField(child=serializers.CharField())
    pictures = PictureSerializer(many=True)
    texts = SampleTextSerializer(many=True)
    validation = serializers.CharField()


class ExplanationRulesSerializer(serializers.Serializer[Any]):
    asked = serializers.CharField(
        help_text="`after` the answer is shown, `before` (with the submission) or `never`."
    )
    of = serializers.CharField(help_text="`fooled`, `not_fooled` or `all`.")
    required = serializers.BooleanField()  # type: ignore[assignment]
    question = serializers.CharField()


class TaskSerializer(serializers.Serializer[Task]):
    """A task as the API shows it; needs `config` loaded and `open_rounds` prefetched."""

    slug = serializers.CharField()
    name = serializers.CharField()
    input = serializers.CharField(source="input_kind", help_text=f"One of {_KINDS}.")
    labels = LabelSerializer(many=True, source="config.file.labels")
    claim = serializers.CharField(
        source="config.file.claim",
        allow_null=True,
        help_text="What the model of a chat stands for.",
    )
    instructions = InstructionsSerializer(source="config.file.instructions")
    explanation = ExplanationRulesSerializer(source="config.file.explanation")
    feedback = serializers.CharField(
        source="config.file.feedback",
        help_text="Whether the model answers `live`, or `on_submit` alone.",
    )
    language = serializers.CharField(help_text="Of what is shown, as a BCP 47 tag, or empty.")
    content_warning = serializers.CharField(help_text="A sentence, or empty.")
    sandbox = serializers.BooleanField(
        source="config.file.sandbox", help_text="Whether guests may try it, uncounted."
    )
    round = serializers.SerializerMethodField(help_text="Number of the open round.")
    models = serializers.SerializerMethodField(help_text="Names of the models it targets.")

    def get_round(self, task: Task) -> int | None:
        round_ = self._open_round(task)
        return round_.number if round_ else None

    def get_models(self, task: Task) -> list[str]:
        round_ = self._open_round(task)
        models = sorted(round_.targets.all(), key=lambda model: model.number) if round_ else []
        return [model.name for model in models]

    def _open_round(self, task: Task) -> Round | None:
        return self.context["open_rounds"].get(task.pk)


def _open_rounds(tasks: list[Task]) -> dict[int, Round]:
    """The open round of each task with its targets: two queries for any number of tasks."""
    open_ = Round.objects.filter(task__in=tasks, status=Round.Status.OPEN)
    return {round_.task_id: round_ for round_ in open_.prefetch_related("targets")}


@extend_schema_view(get=extend_schema(summary="The tasks that you may see", tags=["tasks"]))
class TaskList(ListAPIView[Task]):
    permission_classes = [AllowAny]
    serializer_class = TaskSerializer

    def get_queryset(self) -> QuerySet[Task]:
        visible = Task.objects.visible_to(self.request.user)
        return visible.filter(config__isnull=False).select_related("config")

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        tasks = list(args[0]) if args else []
        kwargs["context"] = {"open_rounds": _open_rounds(tasks)}
        return TaskSerializer(*args, **kwargs)


class TaskDetail(APIView):
    permission_classes = [AllowAny]

    @extend_schema(summary="One task", tags=["tasks"], responses=TaskSerializer)
    def get(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        context = {"open_rounds": _open_rounds([task])}
        return Response(TaskSerializer(task, context=context).data)


class TaskFileSchema(APIView):
    """The JSON Schema of task files; as a document, it is no call that OpenAPI tells of."""

    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(task_text.schema())


# --- predictions ----------------------------------------------------------------------------------
class PredictionRequest(serializers.Serializer[Any]):
    input = serializers.JSONField(help_text=_INPUT)
    context = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_null=True, help_text=_CONTEXT
    )


class TargetAnswerSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    prediction = serializers.JSONField()
    probabilities = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    fooled = serializers.BooleanField(required=False, help_text="Of what was submitted.")


class PredictionSerializer(serializers.Serializer[Any]):
    prediction = serializers.JSONField()
    probabilities = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    model = serializers.CharField()
    round = serializers.IntegerField()
    needed = serializers.IntegerField(
        required=False, help_text="Where a round asks all of its models: so many must be fooled."
    )
    targets = TargetAnswerSerializer(
        many=True, required=False, help_text="What each of them said, there."
    )


class Predictions(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Ask the live model",
        description="Nothing is stored. Guests may ask too, more slowly.",
        tags=["examples"],
        request=PredictionRequest,
        responses=PredictionSerializer,
    )
    def post(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        user = signed_in(request)
        key = f"user-{user.pk}" if user else f"address-{address_of(request)}"
        passage = pass_door("predict" if user else "sandbox-predict", request, key)
        body = checked(PredictionRequest, request)
        target = open_target(task.pk)
        if target is None:
            raise no_open_round(task.pk)
        if user is None:
            require_sandbox(target.config.file)
        require_company(target, user)
        kind = target.config.file.kind
        given = submissions.given_context(target, body.get("context"))
        raw = submissions.about(kind, body["input"], given)
        heavy = kind.heavy(raw)
        prepared = read_apart(kind, raw, passage).result() if heavy else kind.parse(raw)
        try:
            judged.require_not_judged(kind, prepared, task_id=task.pk, user=user)
        except judged.BeingJudged as refused:
            judged.record(refused, user)
            raise
        asked_ones = target.models_for(str(given.uid) if given else key)
        said = [(one, live_model(one, kind).predict_one(prepared)) for one in asked_ones]
        return Response(answer_body(said, target.round))


# --- contexts -------------------------------------------------------------------------------------
class ContextRequest(serializers.Serializer[Any]):
    skip = serializers.CharField(
        required=False,
        allow_null=True,
        help_text="The id of one that you were given and do not want: it does not come again.",
    )


class GivenSerializer(serializers.Serializer[contexts.Given]):
    context = serializers.UUIDField(source="context.uid")  # type: ignore[assignment]
    data = serializers.JSONField(source="context.data", help_text="What it says of your input.")  # type: ignore[assignment]
    source = serializers.CharField(source="context.source")  # type: ignore[assignment]
    goal = serializers.CharField(
        allow_null=True, help_text="The label to write for; null: choose it yourself."
    )
    tries_left = serializers.IntegerField(allow_null=True, help_text="null: any number.")


class NextContext(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Get what you write about next",
        description=(
            "The one you hold, until you have submitted something about it or skip it; then "
            "another, and none twice. 204 when none is left for you."
        ),
        tags=["examples"],
        request=ContextRequest,
        responses={200: GivenSerializer, 204: None},
    )
    def post(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        participant = participant_of(request)
        pass_door("write", request, participant.key)
        body = checked(ContextRequest, request)
        given = contexts.next_context(participant=participant, task=task, **body)
        if given is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(GivenSerializer(given).data)


# --- examples -------------------------------------------------------------------------------------
class SubmissionRequest(serializers.Serializer[Any]):
    client_id = serializers.UUIDField(
        help_text="Made by you; the same one again is the same example."
    )
    input = serializers.JSONField(help_text=_INPUT)
    label = serializers.JSONField(help_text="What it really is, by your judgement.")  # type: ignore[assignment]
    context = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_null=True, help_text=_CONTEXT
    )
    explanation = serializers.CharField(
        required=False, allow_blank=True, max_length=explanations.MAX_EXPLANATION
    )


class SubmittedSerializer(PredictionSerializer):
    id = serializers.UUIDField()
    fooled = serializers.BooleanField()
    status = serializers.ChoiceField(Example.Status.choices)


class Submissions(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Submit an example",
        description=(
            "The server predicts, compares and stores it. 201 when it is new, 200 with the same "
            "body when this `client_id` was used before for the same input and label, 409 when "
            "for others."
        ),
        tags=["examples"],
        request=SubmissionRequest,
        responses={200: SubmittedSerializer, 201: SubmittedSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        task = task_or_404(request, slug)
        participant = participant_of(request)
        door = "sandbox-submit" if participant.sandbox else "submit"
        pass_door(door, request, participant.key)
        body = checked(SubmissionRequest, request)
        if task.kind.heavy(body["input"]):  # reading it is work, which predictions count
            to_predict = "sandbox-predict" if participant.sandbox else "predict"
            passage = pass_door(to_predict, request, participant.key)
            body["input"] = read_apart(task.kind, body["input"], passage).result().stored
        example, new, _ = submissions.submit(participant=participant, task_id=task.pk, **body)
        return Response(
            example_body(example), status=status.HTTP_201_CREATED if new else status.HTTP_200_OK
        )


class ExampleSerializer(serializers.Serializer[Example]):
    """An example as its author and the task's owners see it."""

    id = serializers.UUIDField(source="uid")
    task = serializers.CharField(source="task.slug")
    round = serializers.IntegerField(source="round.number")
    model = serializers.CharField(source="model.name")
    author = serializers.SerializerMethodField(help_text="The author's pseudonym.")
    context = serializers.SerializerMethodField()  # type: ignore[assignment]
    input = serializers.JSONField()
    label = serializers.JSONField()  # type: ignore[assignment]
    prediction = serializers.JSONField()
    probabilities = serializers.DictField(
        source="shares", child=serializers.FloatField(), allow_null=True
    )
    fooled = serializers.BooleanField()
    explanation = serializers.CharField()
    status = serializers.ChoiceField(Example.Status.choices)
    created_at = serializers.DateTimeField()
    retracted = serializers.SerializerMethodField()
    hidden = serializers.SerializerMethodField()

    def get_author(self, example: Example) -> str | None:
        return example.author.pseudonym if example.author else None

    @extend_schema_field(OpenApiTypes.ANY)
    def get_context(self, example: Example) -> Any:
        return example.context.data if example.context else None

    def get_retracted(self, example: Example) -> bool:
        return example.retracted_at is not None

    def get_hidden(self, example: Example) -> bool:
        return example.hidden_at is not None


class ExampleQuery(serializers.Serializer[Any]):
    task = serializers.SlugField(required=False, help_text="Slug of a task.")
    status = serializers.ChoiceField(Example.Status.choices, required=False)
    mine = serializers.BooleanField(
        required=False, help_text="1: only your own, also if you own tasks."
    )
    fooled = serializers.BooleanField(required=False)


def _examples(request: Request) -> QuerySet[Example]:
    return (
        Example.objects.visible_to(request.user)
        .counted()
        .select_related("task", "round", "model", "author", "context")
    )


@extend_schema_view(
    get=extend_schema(
        summary="Your examples, and those of the tasks you own",
        tags=["examples"],
        parameters=[ExampleQuery],
    )
)
class ExampleList(ListAPIView[Example]):
    serializer_class = ExampleSerializer

    def get_queryset(self) -> QuerySet[Example]:
        chosen = asked(ExampleQuery, self.request)
        examples = _examples(self.request)
        if chosen.get("mine"):
            examples = examples.filter(author=person(self.request))
        if "task" in chosen:
            examples = examples.filter(task__slug=chosen["task"])
        if "status" in chosen:
            examples = examples.filter(status=chosen["status"])
        if "fooled" in chosen:
            examples = examples.filter(fooled=chosen["fooled"])
        return examples


@extend_schema_view(get=extend_schema(summary="One example", tags=["examples"]))
class ExampleDetail(RetrieveAPIView[Example]):
    serializer_class = ExampleSerializer
    lookup_field = "uid"

    def get_queryset(self) -> QuerySet[Example]:
        return _examples(self.request)


class Retraction(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Take your example back",
        description="It still counts as submitted, and is used for nothing else.",
        tags=["examples"],
        request=None,
        responses=ExampleSerializer,
    )
    def post(self, request: Request, uid: UUID) -> Response:
        participant = participant_of(request)
        pass_door("write", request, participant.key)
        return Response(ExampleSerializer(services.retract(participant=participant, uid=uid)).data)


class ExplanationRequest(serializers.Serializer[Any]):
    explanation = serializers.CharField(allow_blank=True, max_length=explanations.MAX_EXPLANATION)


class Explanation(APIView):
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Say why the model was wrong",
        description="Adds your explanation to your example, or replaces it.",
        tags=["examples"],
        request=ExplanationRequest,
        responses=ExampleSerializer,
    )
    def post(self, request: Request, uid: UUID) -> Response:
        participant = participant_of(request)
        pass_door("write", request, participant.key)
        body = checked(ExplanationRequest, request)
        example = explanations.explain(participant=participant, uid=uid, **body)
        return Response(ExampleSerializer(example).data)
