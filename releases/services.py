"""Writes about releases: ask for one, carry it out, publish it, open it to everybody.

Who makes one holds its claim, and every write names it: a process that was thought dead and wakes
up finds that its writes no longer count. A folder has its name only when it is whole; whoever
takes a release up begins again.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError
from django.db.models import Q
from django.dispatch import Signal
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import Task
from core.errors import Conflict, Refused
from core.transactions import durable
from releases.changes import packed, unpacked
from releases.folders import all_sums
from releases.known_answers import spend_known_answers
from releases.models import Contents, PersonalFind, Release
from releases.orders import Made, Order, Progress, bytes_of, shortened
from releases.personal import Found, PersonalData, digest_of
from releases.queries import (
    by_version,
    corrected_version,
    newest,
    next_version,
    number_of,
    withdrawn_since,
)

STALE_AFTER: Final = timedelta(seconds=30)
AGAIN_AFTER: Final = timedelta(hours=1)
LONGEST_WORDS: Final = 20_000

Status = Release.Status

# release: one that waits for a worker. Sent inside the transaction that makes it wait.
release_queued = Signal()


class Superseded(Exception):
    """Another process has taken the release up: this one drops it without a word."""


# --- ask ------------------------------------------------------------------------------------------
def request(
    *,
    actor: User | None,
    task: Task,
    version: str = "",
    options: dict[str, Any],
    public: bool = False,
) -> Release:
    """Queue the next version of a task's data; Refused when it cannot be."""
    if actor is not None and not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    _check_words(options)
    with durable():
        release = Release(
            task=task,
            version=version if "corrects" in options else checked_version(task, version),
            requested_by=actor,
            options=options,
            public=public,
            stage="Waiting for a worker.",
        )
        _insert(release)
        record_event(
            actor=actor,
            verb="asked_for_release",
            subject=release,
            scope=task.slug,
            data={"version": release.version},
        )
        release_queued.send(Release, release=release)
    return release


def _insert(release: Release) -> None:
    Release.objects.bulk_create([release], ignore_conflicts=True)
    kept = Release.objects.filter(uid=release.uid).first()
    if kept is None:
        raise Conflict(
            "being_released",
            f"A release of {release.task.slug} is being made, or {release.version} is there.",
        )
    release.pk = kept.pk


def checked_version(task: Task, version: str) -> str:
    """The version that is asked for, or the one that comes next; Refused when it cannot be."""
    if not version:
        return next_version(newest(task))
    if not re.fullmatch(r"(0|[1-9]\d{0,5})(\.(0|[1-9]\d{0,5})){2}", version):
        raise Refused("bad_version", "A version has three numbers, as in 1.0.0.")
    last = newest(task)
    if last is not None and number_of(version) <= number_of(last.version):
        raise Conflict("old_version", f"The last version is {last.version}: choose a later one.")
    return version


def _check_words(options: dict[str, Any]) -> None:
    for name in ("licence", "description", "citation"):
        if len(options.get(name, "")) > LONGEST_WORDS:
            raise Refused("too_long", f"The {name} has more than {LONGEST_WORDS} characters.")


def order_of(task: Task, version: str, uid: str, options: dict[str, Any]) -> Order:
    """What `make` is to make of what was asked for."""
    words = {
        name: str(options[name])
        for name in ("licence", "description", "citation", "url")
        if options.get(name)
    }
    corrects, published = options.get("corrects"), task.releases.filter(status=Status.PUBLISHED)
    previous = published.get(version=corrects) if corrects else newest(task)
    before = Contents.objects.filter(release=previous).first() if previous is not None else None
    return Order(
        task=task,
        version=version,
        uid=uid,
        waiting=bool(options.get("waiting", True)),
        replay=bool(options.get("replay", True)),
        models=bool(options.get("models", True)),
        cleared=dict(
            PersonalFind.objects.filter(task=task, decision=PersonalFind.Decision.PUBLISH)
            .order_by("example")
            .values_list("example", "sha256")
        ),
        previous=previous,
        then=unpacked(bytes(before.prints)) if before is not None else None,
        chain=before.chain if before is not None else [],
        only_then=bool(corrects),
        **words,
    )


# --- carry out ------------------------------------------------------------------------------------
def claim(uid: uuid.UUID) -> tuple[Release, uuid.UUID] | None:
    """Take a queued release, or one whose process fell silent; None when it is not to be had."""
    now, mine = timezone.now(), uuid.uuid4()
    free = Q(status=Status.QUEUED) | Q(status=Status.RUNNING, heartbeat_at__lt=now - STALE_AFTER)
    taken = Release.objects.filter(free, uid=uid).update(
        status=Status.RUNNING, claim=mine, heartbeat_at=now, stage="Starting."
    )
    return (Release.objects.select_related("task__config").get(uid=uid), mine) if taken else None


def report(release: Release, mine: uuid.UUID, **values: Any) -> None:
    """Write progress and a sign of life; Superseded when the claim is lost."""
    held = Release.objects.filter(pk=release.pk, claim=mine, status=Status.RUNNING)
    if not held.update(heartbeat_at=timezone.now(), **values):
        raise Superseded(f"{release} was taken up by another process")


def carry_out(release: Release, mine: uuid.UUID, progress: Progress = lambda *_: None) -> Release:
    """Make the folder of a claimed release below the data folder, and publish it."""
    from releases.writing import make  # and with it pyarrow, which web processes do without

    folder = Path(settings.RELEASE_DIR) / release.task.slug / release.version

    def tell(fraction: float, stage: str) -> None:
        if fraction == 1:  # the folder gets its name: not that of what another has taken up
            report(release, mine)
        progress(fraction, stage)

    try:
        clear_away(folder)
        order = order_of(release.task, release.version, str(release.uid), release.options)
        made = make(order, folder, tell)
    except Refused as refused:
        if isinstance(refused, PersonalData):
            record_finds(release.task, refused.found)
        report(release, mine, status=Status.FAILED, claim=None, stage=refused.message[:300])
        release.refresh_from_db()
        if release.corrects and refused.code in ("nothing_to_release", "personal_data"):
            # Nothing else is left of it; where an owner decides, it is tried again.
            for old in release.task.releases.filter(
                version=release.corrects, public=True, status=Status.PUBLISHED
            ):
                _close(old)
        return release
    with durable():
        report(release, mine)
        release.refresh_from_db()
        _publish(release, made, folder)
    if made.undecided:
        record_finds(release.task, made.undecided)
    return release


def clear_away(folder: Path) -> None:
    """Take away what was made here and never published, so that it stands in nobody's way."""
    if not Release.objects.filter(folder=str(folder), status=Status.PUBLISHED).exists():
        shutil.rmtree(folder, ignore_errors=True)


def record(*, task: Task, made: Made, folder: Path, options: dict[str, Any]) -> Release:
    """Publish a release that was made at the terminal."""
    release = Release(
        uid=uuid.UUID(made.about["release"]),
        task=task,
        version=made.about["version"],
        options=options,
    )
    try:
        with durable():
            release.status = Status.PUBLISHED
            _insert(release)
            _publish(release, made, folder)
    except IntegrityError as error:
        raise Conflict("version_taken", f"{release.version} is there already.") from error
    return release


def _publish(release: Release, made: Made, folder: Path) -> None:
    release.status, release.claim, release.progress = Status.PUBLISHED, None, 1.0
    release.folder, release.about = str(folder), shortened(made.about)
    release.about |= {"bytes": bytes_of(folder), "files": all_sums(folder)}
    release.frozen_at, release.last_example = made.frozen_at, made.ledger["last_example"]
    if release.corrects:  # as open as it is by now
        release.public = release.task.releases.filter(
            version=release.corrects, public=True, status=Status.PUBLISHED
        ).exists()
    release.stage = "It is there."
    release.save()
    Contents.objects.create(release=release, prints=packed(made.prints), chain=made.ledger["chain"])
    spend_known_answers(release, made.prints)
    record_event(
        actor=release.requested_by,
        verb="released",
        subject=release,
        scope=release.task.slug,
        data={"version": release.version, "examples": made.about["figures"]["examples"]},
    )


def requeue(release: Release, mine: uuid.UUID | None) -> bool:
    """Let another worker take up what was broken off; False when the claim was lost."""
    with durable():
        freed = Release.objects.filter(pk=release.pk, claim=mine, status=Status.RUNNING).update(
            status=Status.QUEUED,
            claim=None,
            progress=0,
            stage="It was interrupted: it begins anew.",
        )
        if freed:
            release_queued.send(Release, release=release)
    return bool(freed)


def fail(release: Release, mine: uuid.UUID, reason: str) -> None:
    """End a release that an error stopped, with the sentence that an owner reads."""
    report(release, mine, status=Status.FAILED, claim=None, stage=reason[:300])


def silent() -> list[Release]:
    """Releases whose process was killed."""
    since = timezone.now() - STALE_AFTER
    return list(Release.objects.filter(status=Status.RUNNING, heartbeat_at__lt=since))


# --- personal data --------------------------------------------------------------------------------
def record_finds(task: Task, found: Mapping[int, Sequence[Found]]) -> None:
    """Keep what was found for an owner to decide on; another find takes a decision away, and the
    same one does not, made while this was looked for."""
    with durable():
        known = dict(PersonalFind.objects.filter(task=task).values_list("example", "sha256"))
        finds = [
            PersonalFind(
                example_id=pk,
                task=task,
                found=[list(one) for one in each],
                sha256=digest_of(each),
            )
            for pk, each in found.items()
        ]
        PersonalFind.objects.bulk_create(
            [find for find in finds if find.sha256 != known.get(find.example_id)],
            batch_size=500,
            update_conflicts=True,
            unique_fields=["example"],
            update_fields=["found", "sha256", "decision"],
        )


def decide_on_finds(
    *, actor: User | None, task: Task, decision: str, uids: Sequence[uuid.UUID] | None = None
) -> int:
    """Let what was found go out, or keep its examples here; without `uids`, all that waits."""
    if actor is not None and not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    if decision not in PersonalFind.Decision.values:
        raise Refused("unknown_decision", "Say publish or leave_out.")
    with durable():
        finds = PersonalFind.objects.filter(task=task, decision="")
        if uids is not None:
            finds = finds.filter(example__uid__in=uids)
        names = [str(pk) for pk in finds.values_list("example", flat=True)]
        decided = finds.update(decision=decision, decided_by=actor, decided_at=timezone.now())
        record_event(
            actor=actor,
            verb="decided_on_personal_data",
            subject=task,
            scope=task.slug,
            data={"decision": decision, "examples": names},
        )
    return decided


# --- withdrawals ----------------------------------------------------------------------------------
def follow_withdrawals() -> list[Release]:
    """Queue versions that are the last one, and the last public one, without what was withdrawn
    since, and as open as these; one without it takes the place of public ones that hold it.

    Nothing comes in with them that the corrected one did not hold. One that failed is tried again
    every hour; where nothing would be left, there is none to make, and it is closed.
    """
    published = Release.objects.filter(status=Status.PUBLISHED, replaced_by="").defer("about")
    by_task: defaultdict[int, list[Release]] = defaultdict(list)
    for release in published.select_related("task__config"):
        by_task[release.task_id].append(release)
    live = [
        (releases[0], [release for release in releases if release.public])
        for releases in map(by_version, by_task.values())
    ]
    gone = withdrawn_since({release for last, public in live for release in (last, *public)})
    queued = []
    for last, public in live:
        for release in dict.fromkeys((*public[:1], last)):
            number = gone.get(release.pk, 0)
            if number and number < release.figures["examples"]:
                with suppress(Refused):  # an owner was quicker, or the other one is corrected first
                    queued.append(_failed_correction(release) or _correct(release))
            elif number and release.public:
                _close(release)
        for release in public[1:]:
            if release.pk in gone and public[0].pk not in gone:
                _close(release, replaced_by=public[0].version)
    return [release for release in queued if release.status == Status.QUEUED]


def _close(release: Release, replaced_by: str = "") -> None:
    """Give nobody but owners any more what was withdrawn; what stands for it is told."""
    with durable():
        Release.objects.filter(pk=release.pk).update(
            replaced_by=replaced_by, public=bool(replaced_by)
        )
        record_event(
            actor=None,
            verb="closed_release",
            subject=release,
            scope=release.task.slug,
            data={"version": release.version, "replaced_by": replaced_by},
        )


def _correct(release: Release) -> Release:
    return request(
        actor=None,
        task=release.task,
        version=corrected_version(release),
        options={**release.options, "corrects": release.version},
        public=release.public,
    )


def _failed_correction(release: Release) -> Release | None:
    """The attempt that failed, queued again when an hour has passed."""
    failed = release.task.releases.filter(
        status=Status.FAILED, options__corrects=release.version
    ).last()
    if failed is None or failed.heartbeat_at is None:
        return failed
    if failed.heartbeat_at < timezone.now() - AGAIN_AFTER:
        try:
            with durable():
                failed.status, failed.progress, failed.stage = (
                    Status.QUEUED,
                    0,
                    "It is tried again.",
                )
                failed.save(update_fields=["status", "progress", "stage"])
                release_queued.send(Release, release=failed)
        except IntegrityError:  # an owner was quicker
            failed.refresh_from_db()
    return failed


# --- who may have it ------------------------------------------------------------------------------
def set_public(*, actor: User, release: Release, public: bool) -> None:
    """Let everybody who sees the task download it, or its owners alone."""
    if not release.task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    with durable():
        Release.objects.filter(pk=release.pk).update(public=public)
        record_event(
            actor=actor,
            verb="opened_release" if public else "closed_release",
            subject=release,
            scope=release.task.slug,
            data={"version": release.version},
        )
