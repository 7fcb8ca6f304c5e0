"""Examples with their votes, the queue, leases and votes, in the admin site."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.caller import person
from accounts.curation import CuratedAdmin, Panel, act, history
from accounts.models import User
from annotate.admin import OfTask, OfTaskAdmin, pretty
from annotate.models import Example, Task
from validate import admin_people  # noqa: F401  (registers the page about people)
from validate.acts.gold import mark_gold, retire_gold
from validate.models import AuthorShare, Gold, Lease, QueueItem, Reliability, Review, Vote
from validate.people.quarantine import lift_quarantine
from validate.people.ties import clear_tie

MATCHES = 200
_HEX = set("0123456789abcdef")


def picture(example: Example, size: int) -> SafeString | str:
    """A picture of an example, or the beginning of its last text."""
    kind = example.task.kind
    address = kind.picture(example.input)
    if address is None:
        texts = kind.texts(example.input)
        return texts[-1][1][:80] if texts else ""
    return format_html(
        '<img class="picture" src="{}" alt="{} labelled {}" width="{}" height="{}">',
        address,
        kind.words.thing.capitalize(),
        example.label,
        size,
        size,
    )


class Standing(admin.SimpleListFilter):
    """By what became of it; verdicts are offered within one task, where an index knows them."""

    title = "standing"
    parameter_name = "standing"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        withdrawn = [("hidden", "hidden"), ("retracted", "retracted")]
        one_task = (
            OfTask.parameter_name in request.GET
            or len(Task.objects.owned_by(person(request))[:2]) == 1
        )
        return [*Example.Status.choices, *withdrawn] if one_task else withdrawn

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "hidden":
            return queryset.filter(hidden_at__isnull=False)
        if value == "retracted":
            return queryset.filter(retracted_at__isnull=False)
        return queryset.filter(status=value) if value in Example.Status.values else queryset


class Claim(admin.SimpleListFilter):
    """By whether the model was fooled, or was only played with."""

    title = "claim"
    parameter_name = "claim"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return [("fooled", "fooled"), ("not", "not fooled"), ("sandbox", "sandbox")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "fooled":
                return queryset.filter(fooled=True, sandbox=False)
            case "not":
                return queryset.filter(fooled=False, sandbox=False)
            case "sandbox":
                return queryset.filter(sandbox=True)
            case _:
                return queryset


def _effect(vote: Vote) -> str:
    if vote.purpose != Vote.Purpose.VERDICT:
        return "gold"
    if vote.surplus:
        return "surplus"
    return "lost its weight" if vote.dropped else "counts"


def _visible(example: Example) -> bool:
    return example.hidden_at is None


@admin.register(Example)
class ExampleAdmin(OfTaskAdmin):
    list_display = (
        "thumbnail",
        "short_id",
        "task",
        "round",
        "author",
        "said",
        "read_as",
        "fooled",
        "status",
        "created_at",
    )
    list_display_links = ("thumbnail", "short_id")
    list_select_related = ("task", "round", "author")
    list_filter = (OfTask, Standing, Claim)
    search_fields = ("uid",)  # shows the field; get_search_results decides
    search_help_text = (
        "By the id or its first characters, the id it had in a log, or the author's user name or "
        "pseudonym, whole or its beginning."
    )
    actions = ("make_gold",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "thing",
                    "author",
                    "said",
                    "read_as",
                    "likely",
                    "explanation",
                    "status",
                    "decide",
                )
            },
        ),
        (
            "Details",
            {
                "classes": ("collapse",),
                "fields": (
                    "uid",
                    "external_id",
                    "task",
                    "round",
                    "model",
                    "fooled",
                    "final_label",
                    "adjudicated",
                    "settled_at",
                    "queued",
                    "retracted_at",
                    "hidden_at",
                    "probes",
                    "tries",
                    "seconds",
                    "created_at",
                    "sandbox",
                    "data",
                ),
            },
        ),
    )
    readonly_fields = ("thing", "said", "read_as", "likely", "decide", "data")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Example], search_term: str
    ) -> tuple[QuerySet[Example], bool]:
        """Find ids first, each by its index, so that no search reads the table."""
        term = search_term.strip()
        if not term:
            return queryset, False
        tasks = list(Task.objects.owned_by(person(request)).values_list("pk", flat=True))
        of_a_log = queryset.order_by().filter(task__in=tasks, external_id=term)
        found = {*_by_uid(queryset, term), *of_a_log.values_list("pk", flat=True)[:MATCHES]}
        begins = Q(username__istartswith=term) | Q(pseudonym__startswith=term)
        authors = list(User.objects.filter(begins).values_list("pk", flat=True)[:MATCHES])
        if not found:
            return queryset.filter(author__in=authors), False
        return queryset.filter(Q(pk__in=found) | Q(author__in=authors)), False

    def summary(self, instance: Example) -> str | SafeString:
        return format_html(
            "{} {} by {}",
            picture(instance, 40),
            self.short_id(instance),
            instance.author or "a guest",
        )

    @admin.display(description="input")
    def thumbnail(self, example: Example) -> SafeString | str:
        return picture(example, 40)

    @admin.display(description="id")
    def short_id(self, example: Example) -> str:
        return str(example.uid)[:8]

    @admin.display(description="label")
    def said(self, example: Example) -> str:
        return str(example.label)

    @admin.display(description="prediction")
    def read_as(self, example: Example) -> str:
        return str(example.prediction)

    @admin.display(description="input")
    def thing(self, example: Example) -> SafeString | str:
        return picture(example, 196)

    @admin.display(description="probabilities")
    def likely(self, example: Example) -> str:
        likely = sorted((example.shares or {}).items(), key=lambda pair: -pair[1])
        return ", ".join(f"{label} at {share:.0%}" for label, share in likely[:3])

    @admin.display(description="an owner’s word")
    def decide(self, example: Example) -> SafeString:
        """The way to where it is decided: the inbox, whether it waits there or not."""
        address = reverse("inbox-case", args=[example.task.slug, example.uid])
        return format_html('<a href="{}">Decide on it in the inbox</a>', address)

    @admin.display(description="as stored")
    def data(self, example: Example) -> SafeString:
        shown = {"input": example.input}
        if example.task.kind.picture(example.input) is not None:
            shown = {"input": f"{len(str(example.input))} characters"}
        return pretty({**shown, **({"context": example.context.data} if example.context else {})})

    def panels(self, request: HttpRequest, instance: Example) -> list[Panel]:
        votes = instance.votes.select_related("validator").order_by("id")
        rows = [
            (
                vote.created_at,
                vote.validator.public_name,
                vote.flag.replace("_", " ") if vote.flag else vote.label,
                vote.reason,
                f"{vote.seconds:.1f} s" if vote.seconds is not None else "",
                _effect(vote),
            )
            for vote in votes
        ]
        columns = ("When", "Validator", "Answer", "Why", "Took", "Effect")
        return [Panel("Votes", columns, rows, "Nobody has voted yet."), history(instance)]

    @act(
        "Make gold",
        warning="Its label is known to be right: the one that was settled on, or the author's. "
        "Validators are asked about it unseen, to learn how often they are right.",
        fits=_visible,
    )
    def make_gold(self, request: HttpRequest, example: Example, reason: str) -> None:
        answer = example.label if example.final_label is None else example.final_label
        mark_gold(actor=person(request), example_id=example.pk, answer=answer, reason=reason)


def _by_uid(examples: QuerySet[Example], term: str) -> QuerySet[Example, int]:
    """The examples whose id begins with these hexadecimal digits, found as a range."""
    digits = term.lower().replace("-", "")
    if not 4 <= len(digits) <= 32 or not set(digits) <= _HEX:
        return examples.none().values_list("pk", flat=True)
    least, most = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    begins = examples.order_by().filter(uid__gte=least, uid__lte=most)
    return begins.values_list("pk", flat=True)[:MATCHES]


@admin.register(QueueItem)
class QueueItemAdmin(OfTaskAdmin):
    list_display = (
        "example", "task", "author", "priority", "urgency", "votes_wanted", "leases_active",
        "withdrawn",
    )  # fmt: skip
    list_select_related = ("example", "task", "author")

    def panels(self, request: HttpRequest, instance: QueueItem) -> list[Panel]:
        return []


class OfExampleAdmin(CuratedAdmin[Any]):
    """Something about an example: the owners of its task see it."""

    def owned(self, queryset: QuerySet[Any], user: User) -> QuerySet[Any]:
        ids = list(Task.objects.owned_by(user).values_list("pk", flat=True))
        return queryset.filter(example__task__in=ids)

    def panels(self, request: HttpRequest, instance: Any) -> list[Panel]:
        return []


@admin.register(Lease)
class LeaseAdmin(OfExampleAdmin):
    list_display = (
        "created_at", "example", "validator", "expires_at", "ended_at", "end",
    )  # fmt: skip
    list_select_related = ("example", "validator")
    ordering = ("-created_at",)


@admin.register(Vote)
class VoteAdmin(OfExampleAdmin):
    list_display = (
        "created_at", "example", "validator", "label", "flag", "purpose", "surplus", "dropped",
        "seconds", "fast", "hasty", "close",
    )  # fmt: skip
    list_select_related = ("example", "validator")


@admin.register(Gold)
class GoldAdmin(OfTaskAdmin):
    list_display = ("example", "task", "answer", "created_by", "created_at", "retired_at")
    list_select_related = ("example", "task", "created_by")
    actions = ("retire",)

    @act(
        "Retire",
        warning="Nobody is asked about it any more; what was answered stays scored.",
        fits=lambda gold: gold.retired_at is None,
    )
    def retire(self, request: HttpRequest, gold: Gold, reason: str) -> None:
        retire_gold(actor=person(request), example_id=gold.pk, reason=reason)


def _kept_out(row: Reliability) -> bool:
    return row.quarantined_at is not None or (row.qualified_at is None and row.gold_seen > 0)


@admin.register(Reliability)
class ReliabilityAdmin(OfTaskAdmin):
    list_display = (
        "validator", "task", "right", "scored", "gold_seen", "gold_right", "answered", "skipped",
        "quarantined_at", "qualified_at",
    )  # fmt: skip
    list_select_related = ("validator", "task")
    actions = ("lift",)

    @admin.display(description="right")
    def right(self, row: Reliability) -> str:
        return f"{row.mean:.1%}"

    @act(
        "Let back in",
        warning="Their votes weigh again, and what was learnt about them is forgotten.",
        fits=_kept_out,
    )
    def lift(self, request: HttpRequest, row: Reliability, reason: str) -> None:
        lift_quarantine(
            actor=person(request), task=row.task, validator=row.validator, reason=reason
        )


class Named(admin.SimpleListFilter):
    title = "tie"
    parameter_name = "tie"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("named", "judges this author no more")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(named_at__isnull=False) if self.value() else queryset


@admin.register(AuthorShare)
class AuthorShareAdmin(OfTaskAdmin):
    """How often somebody judged an author; `named_at`: they do no more, for the evidence given."""

    list_display = ("validator", "author", "task", "votes", "agreed", "named_at", "evidence")
    list_select_related = ("validator", "author", "task")
    list_filter = (Named,)
    actions = ("clear",)

    @act(
        "Let them judge again",
        warning="They are asked about this author again, their votes on them weigh again, and what "
        "was seen until now is held against nobody.",
        fits=lambda share: share.named_at is not None,
    )
    def clear(self, request: HttpRequest, share: AuthorShare, reason: str) -> None:
        clear_tie(actor=person(request), share=share, reason=reason)


@admin.register(Review)
class ReviewAdmin(OfTaskAdmin):
    list_display = ("opened_at", "example", "task", "kind", "closed_at")
    list_select_related = ("example", "task")
    ordering = ("-pk",)
