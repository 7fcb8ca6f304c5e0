"""The owner's page: from asking for a release to a download that goes on where it broke off."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import Client
from django_tasks_db.models import DBTaskResult

from accounts.models import Event, User
from annotate.models import Task
from annotate.queries import Participant
from annotate.services import retract
from benchmarks.readers import unpack
from core.errors import Refused
from releases import ledger, services, tasks
from releases.models import AuthorPlace, Keys, PersonalFind, Release
from releases.people import SPLITS, Pseudonyms, split_of
from releases.personal import Found
from releases.places import give_places
from releases.verifying import verify
from tests import cast
from training.models import AuthorSplit, Snapshot, TrainingRun
from validate.acts.adjudicate import decide
from validate.acts.gold import mark_gold, retire_gold

pytestmark = pytest.mark.once

PAGE = "/tasks/digits/releases/"


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Any) -> None:
    settings.RELEASE_DIR = tmp_path / "releases"


def body_of(response: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([part async for part in response.streaming_content])

    return async_to_sync(read)()


def test_from_asking_to_a_resumed_download(
    client: Client, task: Task, owner: User, annotator: User, tmp_path: Any
) -> None:
    client.force_login(owner)
    assert "No version yet" in client.get(PAGE).content.decode()
    example = cast.submission(task, annotator)
    words = {"licence": "CC-BY-4.0", "description": "What people made.", "waiting": "on"}
    client.post(f"{PAGE}start/", words)
    assert "waits for a worker" in client.get(PAGE).content.decode()
    answer = client.post(f"{PAGE}start/", words, follow=True)
    assert "is being made" in answer.content.decode(), "one at a time"

    (job,) = DBTaskResult.objects.filter(task_path=tasks.make_release.module_path)
    assert tasks.make_release.call(*job.args_kwargs["args"]) == "published"
    assert tasks.make_release.call(*job.args_kwargs["args"]) == "not to be had"

    page = client.get(PAGE).content.decode()
    assert "Download" in page
    assert "1.1.0" in page, "the next version is offered"
    seen = page.partition("?seen=")[2].partition('"')[0]
    assert client.get(f"{PAGE}live/?seen={seen}").status_code == 204

    address = f"{PAGE}1.0.0/download/"
    whole = client.get(address)
    content = body_of(whole)
    assert len(content) == int(whole["Content-Length"])
    asked = {"Range": "bytes=700-", "If-Range": whole["ETag"]}
    rest = client.get(address, headers=asked)
    assert (rest.status_code, rest["Content-Range"]) == (
        206,
        f"bytes 700-{len(content) - 1}/{len(content)}",
    )
    assert content[:700] + body_of(rest) == content
    last = client.get(address, headers={"Range": "bytes=-9"})
    assert body_of(last) == content[-9:]
    assert client.get(address, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    assert client.get(address, headers={"Range": "bytes=0-1", "If-Range": '"x"'}).status_code == 200
    unpack(content, tmp_path)
    assert verify(tmp_path / "digits-1.0.0").examples == 1
    card = (tmp_path / "digits-1.0.0" / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "What people made." in card

    one = client.get(f"{address}?round=1")
    with tarfile.open(fileobj=io.BytesIO(body_of(one))) as tar:
        assert "digits-1.0.0/README.md" in tar.getnames()
        assert "digits-1.0.0/log.jsonl" not in tar.getnames(), "that is of every round"
    assert client.get(f"{address}?round=1&round=1").status_code == 200
    assert client.get(f"{address}?round=2").status_code == 404
    readme = "/api/v1/tasks/digits/releases/1.0.0/files/README.md/"
    assert "of round 1 only" in client.get(f"{readme}?round=1").content.decode()
    assert client.get(f"{readme}?round=2").status_code == 404

    retract(participant=Participant(user=annotator), uid=example.uid)
    assert "1 of its examples was withdrawn since" in client.get(PAGE).content.decode()
    listed = client.get("/api/v1/tasks/digits/releases/").json()["releases"]
    assert [(one["version"], one["withdrawn"]) for one in listed] == [("1.0.0", 1)]
    assert {"ledger.json", "log.jsonl", "SHA256SUMS"} <= {f["name"] for f in listed[0]["files"]}

    # What came to lie beside it is nobody's to have; nor is there anything left to release.
    (settings.RELEASE_DIR / "digits" / "1.0.0" / "notes.txt").write_text("mine")
    assert client.get(f"{PAGE}1.0.0/files/notes.txt").status_code == 404
    assert services.follow_withdrawals() == []


def test_what_is_withdrawn_goes_and_nothing_comes(
    client: Client, task: Task, owner: User, annotator: User
) -> None:
    gone, later, kept = (cast.submission(task, annotator, seed) for seed in (1, 5, 2))
    words = {"licence": "CC-BY-4.0"}
    release = services.request(actor=owner, task=task, options=words, public=True)
    tasks.make_release.call(str(release.uid))
    cast.submission(task, annotator, 3)
    unpublished = cast.submission(task, annotator, 4)
    retract(participant=Participant(user=annotator), uid=unpublished.uid)
    assert services.follow_withdrawals() == [], "what was never published is missing from nothing"
    retract(participant=Participant(user=annotator), uid=gone.uid)

    (next_one,) = services.follow_withdrawals()

    assert (next_one.version, next_one.options["licence"]) == ("1.0.1", "CC-BY-4.0")
    assert services.follow_withdrawals() == []
    _, claimed = services.claim(next_one.uid) or (None, None)
    assert claimed is not None
    services.fail(next_one, claimed, "The disk was full.")
    assert services.follow_withdrawals() == [], "not at once"
    Release.objects.filter(pk=next_one.pk).update(heartbeat_at="2026-01-01T00:00Z")
    assert services.follow_withdrawals() == [next_one]
    shutil.rmtree(settings.RELEASE_DIR / "digits" / "1.0.0")  # elsewhere by now

    assert tasks.make_release.call(str(next_one.uid)) == "published"

    home = settings.RELEASE_DIR / "digits" / "1.0.1"
    proven = verify(home)
    assert [line["id"] for line in _lines(home)] == [str(later.uid), str(kept.uid)]
    assert proven.about["changes"][0] == {
        "version": "1.0.1",
        "previous": "1.0.0",
        "date": proven.about["frozen_at"],
        "added": 0,
        "removed": 1,
        "changed": 0,
    }
    assert proven.ledger["chain"][0] == [0, ledger.START]
    assert proven.about["left_out"]["withdrawn by their authors"] == 1
    assert services.follow_withdrawals() == []
    listed = client.get("/api/v1/tasks/digits/releases/").json()["releases"]
    assert [(one["version"], one["withdrawn"]) for one in listed] == [("1.0.1", 0), ("1.0.0", 1)]
    assert [bool(one["files"]) for one in listed] == [True, False], "nobody else gets the old one"
    assert client.get(f"{PAGE}1.0.0/files/README.md").status_code == 404

    # Where owners alone have a later one, both are made anew, each as open as it was.
    release = services.request(actor=owner, task=task, options=words)
    tasks.make_release.call(str(release.uid))
    retract(participant=Participant(user=annotator), uid=later.uid)
    made = []
    while corrections := services.follow_withdrawals():
        made += [(one.version, one.public) for one in corrections]
        assert tasks.make_release.call(str(corrections[0].uid)) == "published"
    assert made == [("1.0.2", True), ("1.1.1", False)]
    listed = client.get("/api/v1/tasks/digits/releases/").json()["releases"]
    told = [(one["version"], one["replaced_by"]) for one in listed]
    assert told == [("1.0.2", ""), ("1.0.1", "1.0.2"), ("1.0.0", "1.0.1")]
    assert client.get(f"{PAGE}1.0.2/files/README.md").status_code == 200
    client.force_login(owner)
    assert client.get(f"{PAGE}1.0.1/files/README.md").status_code == 200
    assert "replaced by 1.0.2" in client.get(PAGE).content.decode()
    retract(participant=Participant(user=annotator), uid=kept.uid)
    assert [one.version for one in services.follow_withdrawals()] == ["1.1.2"]
    client.logout()
    left = client.get("/api/v1/tasks/digits/releases/").json()["releases"]
    assert "1.0.2" not in {one["version"] for one in left}, "nothing is left of it"


def test_a_correction_waits_for_no_decision_on_what_is_found_since(
    client: Client, owner: User, annotator: User
) -> None:
    task = cast.text_task()
    task.owners.add(owner)
    gone, found, kept = (
        cast.submission(task, annotator, fooled=False, input={"text": text}, label="yes")
        for text in ("It rained.", "It snowed.", "It was dry.")
    )
    release = services.request(actor=owner, task=task, options={}, public=True)
    tasks.make_release.call(str(release.uid))
    task.examples.filter(pk=found.pk).update(explanation="Ask bob@example.com.")
    retract(participant=Participant(user=annotator), uid=gone.uid)

    (correction,) = services.follow_withdrawals()
    assert tasks.make_release.call(str(correction.uid)) == "published"

    home = settings.RELEASE_DIR / "texts" / "1.0.1"
    assert [line["id"] for line in _lines(home)] == [str(kept.uid)]
    assert b"bob@example.com" not in b"".join(p.read_bytes() for p in home.rglob("*.*"))
    about = verify(home).about
    assert about["left_out"]["waiting for an owner's word on personal data"] == 1
    assert about["changes"][0]["removed"] == 2
    assert services.follow_withdrawals() == []
    assert client.get("/tasks/texts/releases/1.0.1/files/README.md").status_code == 200
    client.force_login(owner)
    assert "bob@example.com" in client.get("/tasks/texts/releases/").content.decode()
    refused = services.request(actor=owner, task=task, options={})
    assert tasks.make_release.call(str(refused.uid)) == "failed", "what is new waits for the owner"
    waiting = PersonalFind.objects.get()
    services.decide_on_finds(actor=owner, task=task, decision="publish")
    same = {waiting.example_id: [Found(*one) for one in waiting.found]}
    services.record_finds(task, same)  # by a release that was under way meanwhile
    waiting.refresh_from_db()
    assert waiting.decision == "publish"
    release = services.request(actor=owner, task=task, options={})
    tasks.make_release.call(str(release.uid))
    there = {line["id"] for line in _lines(home.with_name("1.1.0"))}
    assert there == {str(found.uid), str(kept.uid)}

    # Where nothing but such is left, the old one is closed all the same.
    services.set_public(actor=owner, release=release, public=True)
    task.examples.filter(pk=found.pk).update(explanation="Ask eve@example.com.")
    retract(participant=Participant(user=annotator), uid=kept.uid)
    while corrections := services.follow_withdrawals():
        tasks.make_release.call(str(corrections[0].uid))
    release.refresh_from_db()
    assert not release.public
    told = Event.objects.filter(verb="closed_release", data__version=release.version)
    assert told.count() == 1
    assert "eve@example.com" in client.get("/tasks/texts/releases/").content.decode()
    # It is tried again, for the owner may decide meanwhile; that closes nothing once more.
    Release.objects.filter(status="failed").update(heartbeat_at="2026-01-01T00:00Z")
    (again,) = services.follow_withdrawals()
    assert tasks.make_release.call(str(again.uid)) == "failed"
    assert told.count() == 1


def _lines(home: Path) -> list[Any]:
    return [json.loads(line) for line in (home / "log.jsonl").read_text().splitlines()]


def test_nothing_in_a_release_tells_what_tests_validators(
    task: Task, owner: User, annotator: User
) -> None:
    tester = cast.person("tester")
    tested, waiting = cast.submission(task, tester, 1), cast.submission(task, annotator, 2)
    settled = cast.submission(task, annotator, 3)
    decide(actor=owner, task=task, uid=settled.uid, act="verify", reason="Clear.", waiting=False)
    names = Pseudonyms(bytes(Keys.objects.get_or_create(pk=1)[0].pseudonyms), task.slug)
    for author in (tester, annotator):
        other = next(one for one in SPLITS if one != split_of(names.of(author.pseudonym)))
        AuthorPlace.objects.create(task=task, author=author, split=other)
    mark_gold(actor=owner, example_id=tested.pk, answer=tested.label)
    release = services.request(actor=owner, task=task, options={"waiting": True})
    tasks.make_release.call(str(release.uid))
    home = settings.RELEASE_DIR / "digits" / "1.0.0"

    assert [line["id"] for line in _lines(home)] == [str(settled.uid)]
    about = verify(home).about
    assert about["left_out"]["still asked of validators"] == 2, "and not which of them tests"
    assert list(about["splits"]["fixed"]) == [row["author"] for row in about["figures"]["board"]]

    with pytest.raises(Refused, match=r"published in 1\.0\.0"):
        mark_gold(actor=owner, example_id=settled.pk, answer=settled.label)
    retire_gold(actor=owner, example_id=tested.pk)
    release = services.request(actor=owner, task=task, options={"waiting": True})
    tasks.make_release.call(str(release.uid))
    there = {line["id"] for line in _lines(home.with_name("1.1.0"))}
    assert there == {str(one.uid) for one in (tested, waiting, settled)}


def test_training_places_whom_a_kept_candidate_met_and_nobody_else(
    task: Task, annotator: User
) -> None:
    evaluated, taught = cast.person("eva"), cast.person("tao")
    first, second = (cast.submission(task, one) for one in (evaluated, taught))
    run = TrainingRun.objects.create(
        task=task, round=first.round, parent=first.model, candidate=second.model
    )
    for example, candidate in ((first, None), (second, run)):
        frozen = Snapshot.objects.create(task=task, round=example.round, sha256="")
        frozen.items.create(example=example, label="1", split="held_out")
        AuthorSplit.objects.create(task=task, author=example.author, split="held_out")
        if candidate is not None:
            TrainingRun.objects.filter(pk=run.pk).update(snapshot=frozen)
    names = Pseudonyms(b"key", task.slug)

    give_places(task, names)

    places = dict(AuthorPlace.objects.values_list("author", "split"))
    assert places[taught.pk] == "test"
    assert places[evaluated.pk] == split_of(names.of(evaluated.pseudonym))


def test_everybody_downloads_what_an_owner_opened(
    client: Client, task: Task, owner: User, annotator: User
) -> None:
    cast.submission(task, annotator)
    release = services.request(actor=owner, task=task, options={"waiting": True})
    tasks.make_release.call(str(release.uid))
    address = f"{PAGE}1.0.0/files/README.md"
    assert client.get(address).status_code == 404
    assert client.get("/api/v1/tasks/digits/releases/").json()["releases"] == []

    client.force_login(owner)
    client.post(f"{PAGE}1.0.0/open/", {"public": "yes"})
    client.logout()
    assert client.get(address).status_code == 200
    client.force_login(annotator)
    assert client.post(f"{PAGE}1.0.0/open/", {"public": "no"}).status_code == 404


def test_a_release_whose_worker_was_killed_is_made_by_the_next(
    task: Task, owner: User, annotator: User
) -> None:
    cast.submission(task, annotator)
    release = services.request(actor=owner, task=task, options={})
    claimed = services.claim(release.uid)
    assert claimed is not None
    assert services.claim(release.uid) is None, "somebody is at it"
    Release.objects.update(heartbeat_at="2026-01-01T00:00Z")
    DBTaskResult.objects.all().delete()
    left = settings.RELEASE_DIR / "digits" / "1.0.0" / "README.md"  # of one that was not recorded
    left.parent.mkdir(parents=True)
    left.write_text("Another one.")

    tasks.resume_interrupted()

    with pytest.raises(services.Superseded):
        services.report(*claimed, progress=0.5)
    with pytest.raises(services.Superseded):
        services.carry_out(*claimed)
    assert not left.parent.exists(), "who was given up gives no folder its name"
    (job,) = DBTaskResult.objects.all()
    assert tasks.make_release.call(*job.args_kwargs["args"]) == "published"
    assert (settings.RELEASE_DIR / "digits" / "1.0.0" / "ledger.json").exists()
