"""Frozen data, training runs, who is held out, regions of errors; one active run per task."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, ModelVersion, Round, Task
from kinds.answers import in_words


class Split(models.TextChoices):
    TRAIN = "train", "train"
    HELD_OUT = "held_out", "held out"
    ASIDE = "aside", "neither: the other side has what it is about"


class AuthorSplit(models.Model):
    """Which side an author is on, for ever: their foolings train or test, never both."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="+")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    split = models.CharField(max_length=10, choices=Split.choices)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "author"], name="author_split_once"),
        ]

    def __str__(self) -> str:
        return f"{self.author_id} {self.split}"


class Snapshot(models.Model):
    """A frozen set of examples; `sha256` is over its items in order of submission.

    Equal ones of a task are one: `created_at` is when it was frozen so last.
    """

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="snapshots")
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="snapshots")
    sha256 = models.CharField(max_length=64)
    generated = models.JSONField(
        default=list,
        blank=True,
        help_text="Beside its items: generated inputs of confirmed regions, by their keys.",
    )
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"snapshot {self.pk} of {self.task_id}"


class SnapshotItem(models.Model):
    """One example of a snapshot as it was: its verdict may change later, the snapshot does not."""

    class Role(models.TextChoices):
        FOOLING = "fooling", "verified fooling"
        RELABELLED = "relabelled", "relabelled"
        HONEST = "honest", "verified, fooled nobody"
        AMBIGUOUS = "ambiguous", "ambiguous"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="items")
    example = models.ForeignKey(Example, on_delete=models.PROTECT, related_name="snapshot_items")
    label = models.JSONField()
    split = models.CharField(max_length=10, choices=Split.choices)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.FOOLING)
    shares = models.JSONField(
        null=True, blank=True, help_text="Of an ambiguous one: the share of its votes by label."
    )
    votes = models.JSONField(
        null=True, blank=True, help_text="As a log names them; null in what was frozen earlier."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["snapshot", "example"], name="snapshot_item_once"),
        ]

    def __str__(self) -> str:
        return f"{self.example_id} in {self.snapshot_id}"


class TrainingRun(models.Model):
    """One attempt at a better model: its data, its progress, its gates and its end."""

    class Status(models.TextChoices):
        QUEUED = "queued", "waiting for a worker"
        RUNNING = "running", "running"
        PROMOTED = "promoted", "promoted"
        PASSED = "passed", "passed the gates, not promoted by itself"
        REFUSED = "refused", "a gate was not passed"
        FAILED = "failed", "stopped by an error"
        STOPPED = "stopped", "stopped by an owner"

    class Origin(models.TextChoices):
        TRIGGER = "trigger", "the trigger"
        OWNER = "owner", "an owner"
        COMMAND = "command", "the command line"

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    BROKEN_OFF = (Status.FAILED, Status.STOPPED)
    CONCLUDED = (Status.PROMOTED, Status.PASSED, Status.REFUSED)

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="training_runs")
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="training_runs")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.TRIGGER)
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT)
    parent = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="runs_from_it")
    candidate = models.OneToOneField(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="training_run"
    )
    snapshot = models.ForeignKey(
        Snapshot, null=True, blank=True, on_delete=models.PROTECT, related_name="runs"
    )
    claim = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="The fencing token of the process that carries it out; the newest one counts.",
    )
    config = models.JSONField(default=dict, blank=True)
    metrics = models.JSONField(default=dict, blank=True)
    gates = models.JSONField(default=list, blank=True)
    trials = models.JSONField(
        default=list, blank=True, help_text="What each recipe and seed came to, as it was trained."
    )
    progress = models.FloatField(default=0, help_text="0 to 1.")
    stage = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True, help_text="Why it was not promoted, or what went wrong.")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["task"],
                condition=Q(status__in=["queued", "running"]),
                name="one_active_training_run_per_task",
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(claim__isnull=False, heartbeat_at__isnull=False),
                name="running_means_claimed",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["task", "-id"], name="training_run_task_newest"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.task_id}"


class Evaluation(models.Model):
    """What one model answered on one frozen set: kept under the hashes of both, never asked anew.

    `figures` has more: F1, recall by label, calibration error. What `SPEED` measured stands in a
    row of its own, with the `run` that measured the models beside each other. Of a `STRESS` suite
    items are changed copies that nobody judged, and right ones those answered as what they copy;
    of `CHECKS` those that pass what the task's file asks for.
    """

    CLEAN, SPEED, CHECKS, STRESS, ROUND = "clean", "speed", "checks", "stress ", "round "

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="evaluations")
    model = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evaluations")
    data = models.CharField(max_length=40, help_text="clean, round N, or speed.")
    data_sha256 = models.CharField(max_length=64)
    items = models.PositiveIntegerField()
    right = models.PositiveIntegerField(default=0)
    figures = models.JSONField(default=dict)
    run = models.UUIDField(help_text="Of the pass over all models that made it.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model", "data", "data_sha256"], name="evaluated_once_on_the_same_data"
            ),
            models.CheckConstraint(
                condition=Q(right__lte=models.F("items")), name="right_is_part_of_items"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="evaluation_task_newest")]

    def __str__(self) -> str:
        return f"{self.model_id} on {self.data}"


class Rehearsal(models.Model):
    """What scripted people made of a task in a database of their own: a document, simulated."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="rehearsals")
    file = models.JSONField(help_text="Who took part, and what was paid.")
    report = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="rehearsal_task_newest")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(report__simulated=True), name="a_rehearsal_is_simulated"
            ),
        ]

    def __str__(self) -> str:
        return f"rehearsal {self.pk} of {self.task_id}"


class Discovery(models.Model):
    """One look for regions among the verified foolings of one model; a later one takes its place.

    Its regions are as the seed and the examples of that time made them. What of them has been
    withdrawn since, or judged otherwise, is left out wherever they are read. A `generated` one has
    no foolings but inputs that a program made: another list, with looks of its own.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", "waiting for a worker"
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "stopped by an error"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="discoveries")
    model = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="discoveries")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    requested_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    seed = models.PositiveIntegerField(default=0)
    generated = models.BooleanField(default=False)
    space = models.CharField(max_length=100, blank=True, help_text="What lies near what in it.")
    stability = models.FloatField(
        null=True, help_text="Adjusted Rand index with the regions of the next seed."
    )
    progress = models.FloatField(default=0, help_text="0 to 1.")
    stage = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["task"],
                condition=Q(status__in=["queued", "running"]),
                name="one_active_discovery_per_task",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="discovery_task_newest")]

    def __str__(self) -> str:
        return f"regions of {self.model_id}"


class Region(models.Model):
    """Foolings of one label and one answer that lie together: a bug, which an owner may name."""

    discovery = models.ForeignKey(Discovery, on_delete=models.CASCADE, related_name="regions")
    number = models.PositiveIntegerField(help_text="The largest is 1.")
    label = models.JSONField()
    answer = models.JSONField()
    name = models.CharField(max_length=80, blank=True)
    shared = models.JSONField(default=dict, help_text="Of texts: the words they share, lengths.")
    later = models.JSONField(
        default=dict,
        blank=True,
        help_text="Of generated ones: by a later model's number its errors, and of how many, among "
        "those that may be learned from and those that never are.",
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["discovery", "number"], name="region_number_once"),
        ]

    def __str__(self) -> str:
        return self.name or f"region {self.number} of {self.discovery_id}"

    @property
    def pair(self) -> str:
        return f"{in_words(self.label)} taken for {in_words(self.answer)}"

    @property
    def title(self) -> str:
        return self.name or self.pair

    @property
    def hint(self) -> str:
        """What annotators could be told of it."""
        words = ", ".join(f"“{word}”" for word, *_ in self.shared.get("words", ())[:3])
        more = self.name or (words and f"with {words}")
        told = f"It often takes {in_words(self.label)} for {in_words(self.answer)}"
        return f"{told}{more and f' ({more})'}."


class RegionExample(models.Model):
    """An example of a region, or one near to one of another author's; it may be both."""

    region = models.ForeignKey(Region, on_delete=models.CASCADE, related_name="examples")
    example = models.ForeignKey(Example, on_delete=models.PROTECT, related_name="+")
    member = models.BooleanField()
    near = models.BooleanField()
    place = models.PositiveIntegerField(help_text="The most typical first, then the nearest.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["region", "example"], name="example_once_per_region"),
            models.CheckConstraint(
                condition=Q(member=True) | Q(near=True), name="in_a_region_or_near_it"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.example_id} in {self.region_id}"


class GeneratedInput(models.Model):
    """An input of a region that a program made; nobody's submission.

    The example in which validators are asked about it is provisional and of no visit, so that
    nothing ever lets it count: on no board, in no rate, in no release.
    """

    region = models.ForeignKey(Region, on_delete=models.CASCADE, related_name="inputs")
    input = models.JSONField()
    held_out = models.BooleanField(help_text="Never learned from.")
    place = models.PositiveIntegerField()
    example = models.OneToOneField(
        Example, null=True, blank=True, on_delete=models.PROTECT, related_name="generated"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["region", "place"], name="generated_place_once"),
            models.CheckConstraint(
                condition=Q(example=None) | Q(held_out=False), name="held_out_asks_nobody"
            ),
        ]

    def __str__(self) -> str:
        return f"input {self.place} of {self.region_id}"


class LaterAnswer(models.Model):
    """Whether a later model errs on a fooling of an earlier one; asked once."""

    example = models.ForeignKey(Example, on_delete=models.PROTECT, related_name="+")
    model = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    erred = models.BooleanField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["example", "model"], name="asked_once_about_a_fooling"),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} on {self.example_id}"


class WorkerPulse(models.Model):
    """When a background worker was last there; the one row that the worker writes."""

    beat_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(pk=1), name="worker_pulse_is_one_row"),
        ]

    def __str__(self) -> str:
        return f"a worker at {self.beat_at}"
