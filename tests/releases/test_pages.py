"""The owner's page: from asking for a release to a download that goes on where it broke off."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import Client
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from annotate.models import Task
from annotate.queries import Participant
from annotate.services import retract
from releases import services, tasks
from releases.models import Release
from releases.verifying import verify
from tests import cast

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
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(tmp_path, filter="data")
    assert verify(tmp_path / "digits-1.0.0").examples == 1
    card = (tmp_path / "digits-1.0.0" / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "What people made." in card

    one = client.get(f"{address}?round=1")
    with tarfile.open(fileobj=io.BytesIO(body_of(one))) as tar:
        assert "digits-1.0.0/README.md" in tar.getnames()
    assert client.get(f"{address}?round=2").status_code == 404

    retract(participant=Participant(user=annotator), uid=example.uid)
    assert "1 of its examples was withdrawn since" in client.get(PAGE).content.decode()
    listed = client.get("/api/v1/tasks/digits/releases/").json()["releases"]
    assert [(one["version"], one["withdrawn"]) for one in listed] == [("1.0.0", 1)]
    assert {"ledger.json", "log.jsonl", "SHA256SUMS"} <= {f["name"] for f in listed[0]["files"]}

    # A version without it follows by itself; nothing is left here, which it says once.
    (next_one,) = services.follow_withdrawals()
    assert (next_one.version, next_one.options["licence"]) == ("1.0.1", "CC-BY-4.0")
    assert services.follow_withdrawals() == []
    assert tasks.make_release.call(str(next_one.uid)) == "failed"
    assert services.follow_withdrawals() == []
    assert "has no example to release" in client.get(PAGE).content.decode()


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

    tasks.resume_interrupted()

    with pytest.raises(services.Superseded):
        services.report(*claimed, progress=0.5)
    (job,) = DBTaskResult.objects.all()
    assert tasks.make_release.call(*job.args_kwargs["args"]) == "published"
    assert (settings.RELEASE_DIR / "digits" / "1.0.0" / "ledger.json").exists()
