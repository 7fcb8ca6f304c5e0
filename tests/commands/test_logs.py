"""Logs: in through the services, out as they came, twice is once."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Event, User
from annotate.models import Example, ModelVersion, Round, Task
from scoring.models import Tally
from tests import cast
from validate.logs import import_log
from validate.models import QueueItem, Vote

Load = Callable[..., Task]


def example(id: str = "x1", **changes: Any) -> dict[str, Any]:
    return {
        "kind": "example",
        "id": id,
        "round": 1,
        "author": "w1",
        "input": {"context": "It rains.", "hypothesis": "It is dry."},
        "label": "c",
        "prediction": "n",
        "model": "roberta",
        **changes,
    }


def vote(validator: str, label: str | None = "c", id: str = "x1", **changes: Any) -> dict[str, Any]:
    answer = {} if label is None else {"label": label}
    return {"kind": "vote", "example": id, "validator": validator, **answer, **changes}


def test_the_minimal_task_takes_a_log(nli: Load, summary: Any, log_file: Any) -> None:
    nli()
    file = log_file(
        example(), vote("v1"), vote("v2"), example("x2", label="n"), vote("v1", id="x2")
    )

    numbers = summary("import_log", "my-nli", file)

    assert numbers == {
        "examples": 2,
        "fooled": 1,
        "votes": 3,
        "used": 3,
        "surplus": 0,
        "third_requests": 0,
        "verified": 1,
        "rejected": 0,
        "relabelled": 0,
        "ambiguous": 0,
        "flagged": 0,
        "open": 1,
        "new_examples": 2,
        "new_votes": 3,
        "refused_lines": 0,
        "refused": [],
    }


def test_what_came_is_kept_and_fooled_is_judged_here(
    nli: Load, command: Any, log_file: Any
) -> None:
    nli()
    line = example(
        context={"source": "wiki"},
        probabilities={"e": 0.1, "n": 0.8, "c": 0.1},
        created_at="2020-02-03T04:05:06.789012+02:00",
        fooled=False,
        status="verified",
    )

    command("import_log", "my-nli", log_file(line))

    stored = Example.objects.select_related("author", "context", "round", "model").get()
    assert stored.fooled
    assert stored.status == "open"
    assert stored.external_id == "x1"
    assert stored.input == line["input"]
    assert stored.probabilities == line["probabilities"]
    assert stored.created_at == datetime(2020, 2, 3, 2, 5, 6, 789012, tzinfo=UTC)
    assert stored.context is not None
    assert stored.context.data == {"source": "wiki"}
    assert stored.author is not None
    assert stored.author.imported
    assert not stored.author.has_usable_password()
    assert (stored.round.number, stored.round.status) == (1, Round.Status.CLOSED)
    assert list(stored.round.targets.all()) == [stored.model]
    assert (stored.model.name, stored.model.artifact) == ("roberta", "")
    assert QueueItem.objects.get().votes_wanted == 2
    assert Event.objects.filter(verb="imported", object_type="example").count() == 1


def test_a_vote_that_nobody_would_ask_for_is_surplus(
    nli: Load, summary: Any, log_file: Any
) -> None:
    nli()
    votes = [vote("v1"), vote("v2"), vote("v3", "n"), vote("v4")]

    numbers = summary("import_log", "my-nli", log_file(example(), *votes))

    assert (numbers["votes"], numbers["used"], numbers["surplus"]) == (4, 2, 2)
    assert (numbers["verified"], numbers["third_requests"]) == (1, 0)


def test_a_third_vote_is_requested_when_two_differ(nli: Load, summary: Any, log_file: Any) -> None:
    nli()
    waiting = [example("a"), vote("v1", id="a"), vote("v2", "n", id="a")]
    rejected = [
        example("b"),
        *(vote(v, label, id="b") for v, label in zip("123", "cnn", strict=True)),
    ]

    numbers = summary("import_log", "my-nli", log_file(*waiting, *rejected))

    assert (numbers["third_requests"], numbers["used"]) == (2, 5)
    assert (numbers["open"], numbers["rejected"]) == (1, 1)


def test_an_example_nobody_was_asked_about_is_queued_by_its_first_vote(
    nli: Load, summary: Any, log_file: Any
) -> None:
    nli()
    right = example("a", label="n")

    assert summary("import_log", "my-nli", log_file(right))["open"] == 1
    assert not QueueItem.objects.exists()
    numbers = summary("import_log", "my-nli", log_file(right, vote("v1", "n", id="a")))

    assert numbers["used"] == 1
    assert QueueItem.objects.get().priority == 1


def test_lines_may_come_in_any_order(nli: Load, summary: Any, log_file: Any) -> None:
    nli()
    lines = [example(), vote("v1"), vote("v2"), example("x2"), vote("v1", id="x2")]
    lines += [vote("v2", "n", id="x2"), vote("v3", "n", id="x2")]
    random.Random(5).shuffle(lines)

    numbers = summary("import_log", "my-nli", log_file(*lines))

    assert (numbers["verified"] + numbers["rejected"], numbers["refused_lines"]) == (2, 0)


def test_twice_is_once(nli: Load, summary: Any, command: Any, log_file: Any) -> None:
    nli()
    file = log_file(example(), vote("v1"), vote("v2", None, flag="unsure"), vote("v3"), vote("v4"))
    first = summary("import_log", "my-nli", file)
    log, events = command("export_log", "my-nli"), Event.objects.count()

    second = summary("import_log", "my-nli", file)

    assert second == {**first, "new_examples": 0, "new_votes": 0}
    assert command("export_log", "my-nli") == log
    assert Event.objects.count() == events
    assert Tally.objects.get().submitted == 1


def test_an_import_that_stopped_halfway_is_finished_by_repeating_it(
    nli: Load, summary: Any, log_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validate.logs.BATCH", 10)
    nli()
    lines = [example(str(n)) for n in range(25)]
    lines += [vote(v, id=str(n)) for n in range(25) for v in ("v1", "v2")]
    summary("import_log", "my-nli", log_file(*lines[:13], *lines[25:33]))

    numbers = summary("import_log", "my-nli", log_file(*lines))

    assert (numbers["examples"], numbers["verified"], numbers["votes"]) == (25, 25, 50)
    assert (numbers["new_examples"], numbers["new_votes"]) == (12, 42)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("{", "This is not JSON"),
        ("[]", 'whose "kind" is'),
        ({"kind": "verdict"}, 'whose "kind" is'),
        ('{"kind": "example", "id": "\\u0000"}', "NUL"),
        ({"kind": "example", "id": "x9"}, "round: Field required"),
        (example("x9", round="first"), "round"),
        (example(""), "id"),
        (example("x9", label="maybe"), "The label must be one of e, n, c."),
        (example("x9", prediction="maybe"), "The prediction must be one of e, n, c."),
        (example("x9", prediction=None), "prediction"),
        (example("x9", input=None), "input"),
        (example("x9", probabilities={"e": "high"}), "probabilities.e"),
        (example("x9", created_at="yesterday"), "created_at"),
        (example("x9", created_at="0001-01-01T00:00:00+10:00"), "beyond the calendar"),
        (example("x9", author="anna"), "anna is somebody with an account here"),
        (example(label="e"), "x1 is already there with other content."),
        (vote("v1", id="x8"), "There is no example x8."),
        (vote("v1", "maybe"), "The label must be one of e, n, c."),
        (vote("v1", None), "A vote is either a label or a flag."),
        (vote("v1", flag="spam"), "A vote is either a label or a flag."),
        (vote("v1", None, flag="ugly"), "The flag must be one of unsure, offensive"),
        (vote("w1"), "w1 is the author of x1."),
        (vote("v0", "n"), "v0 answered x1 differently."),
        (vote("ANNA"), "ANNA is somebody with an account here"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_line_is_named_and_the_others_are_taken(
    nli: Load, command: Any, log_file: Any, annotator: User, bad: Any, sentence: str
) -> None:
    nli()
    file = log_file(example(), vote("v0"), bad, example("x2"))

    with pytest.raises(CommandError) as refused:
        command("import_log", "my-nli", file)

    assert "line 3: " in str(refused.value)
    assert sentence in str(refused.value)
    assert set(Example.objects.values_list("external_id", flat=True)) == {"x1", "x2"}
    assert Vote.objects.count() == 1
    assert set(User.objects.filter(imported=True).values_list("username", flat=True)) == {
        "w1",
        "v0",
    }
    assert ModelVersion.objects.count() == 1


def test_a_bad_line_leaves_the_summary_as_the_last_line(
    nli: Load, log_file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    nli()

    with pytest.raises(CommandError, match="1 lines were refused"):
        call_command("import_log", "my-nli", log_file(example(), "{"), "--json")

    assert json.loads(capsys.readouterr().out.splitlines()[-1])["refused_lines"] == 1


def test_what_is_not_there_is_said_in_a_sentence(nli: Load, command: Any, tmp_path: Path) -> None:
    nli()
    with pytest.raises(CommandError, match="There is no task chess"):
        command("import_log", "chess", str(tmp_path))
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        command("import_log", "my-nli", str(tmp_path / "none.jsonl"))
    with pytest.raises(CommandError, match="cannot be read: Is a directory"):
        command("import_log", "my-nli", str(tmp_path))
    with pytest.raises(CommandError, match="There is no task chess"):
        command("export_log", "chess")


@pytest.mark.django_db(transaction=True)  # an empty database takes a commit on PostgreSQL
def test_a_log_exported_imported_and_exported_again_is_the_same(
    task: Task, command: Any, tmp_path: Path
) -> None:
    people = [cast.person(name) for name in ("ada-lovelace", "bob")]
    validators = [cast.person(name, "validator") for name in ("vic", "wes", "xia")]
    for seed in range(8):
        cast.submission(task, people[seed % 2], seed, fooled=seed % 4 != 3)
    for n in range(4):
        cast.answer(validators[0], task)
        cast.answer(validators[1], task, *([] if n else ["0"]))
    cast.answer(validators[2], task, flag="unsure")
    cast.answer(validators[2], task, flag="spam")
    original = command("export_log", "digits")
    (tmp_path / "log.jsonl").write_text(original, encoding="utf-8")
    statuses = list(Example.objects.order_by("id").values_list("status", "fooled", "tries"))
    tallies = sorted(Tally.objects.values_list("author__pseudonym", "verified", "pending"))
    assert len(original.splitlines()) == 18
    assert "ada-lovelace" not in original  # a name that no id and no picture holds by chance

    call_command("flush", interactive=False, verbosity=0)
    cast.digits_task()
    command("import_log", "digits", str(tmp_path / "log.jsonl"))

    assert command("export_log", "digits") == original
    assert list(Example.objects.order_by("id").values_list("status", "fooled", "tries")) == statuses
    assert sorted(Tally.objects.values_list("author__pseudonym", "verified", "pending")) == tallies


def test_who_has_read_enough_ends_it_quietly(nli: Load, summary: Any, log_file: Any) -> None:
    nli()
    summary("import_log", "my-nli", log_file(example()))
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as nobody:
        call_command("export_log", "my-nli", stdout=nobody)


def test_any_json_survives_the_round_trip(nli: Load, command: Any, log_file: Any) -> None:
    nli()
    strange = {
        "b": [1e300, 5e-324, 0.1, -0.0, 1e16, 12345678901234567890, 1.0, 1, True, None],
        "a": {"ü": "\u2028 😀 \u202e", "": [], "\\u0000": {}},
        "context": "“quoted”",
        "hypothesis": "said",
    }
    line = example(
        "ключ-1",
        author="Zoë Ω",
        input=strange,
        context=[{"y": 1, "x": 2}],
        probabilities={"n": 0.30000000000000004, "e": 1e-7, "c": 1},
        created_at="1999-12-31T23:59:59.000001Z",
    )
    file = log_file(line, vote("v 1", id="ключ-1"), vote("v2", None, id="ключ-1", flag="other"))
    command("import_log", "my-nli", file)
    log = command("export_log", "my-nli")

    nli("again")
    command("import_log", "again", log_file(*log.splitlines(), name="again.jsonl"))

    assert command("export_log", "again") == log
    first = json.loads(log.splitlines()[0])
    strange["b"][0], strange["b"][4] = 10**300, 10**16  # the same numbers, in one spelling
    assert {**first, "created_at": 0} == {**line, "created_at": 0}
    assert first["created_at"] == "1999-12-31T23:59:59.000001+00:00"


def test_the_same_server_knows_its_own_log(
    task: Task, annotator: User, command: Any, validator: User, tmp_path: Path
) -> None:
    cast.submission(task, annotator)
    cast.answer(validator, task)
    log = command("export_log", "digits")
    (tmp_path / "log.jsonl").write_text(log)

    command("import_log", "digits", str(tmp_path / "log.jsonl"))

    assert command("export_log", "digits") == log
    assert Example.objects.count() == Vote.objects.count() == 1


def test_what_was_taken_back_is_not_exported(
    task: Task, annotator: User, validator: User, command: Any
) -> None:
    from annotate import services
    from annotate.queries import Participant

    kept, taken = cast.submission(task, annotator, 1), cast.submission(task, annotator, 2)
    cast.answer(validator, task)
    cast.answer(validator, task)
    services.retract(participant=Participant(user=annotator), uid=taken.uid)

    lines = [json.loads(line) for line in command("export_log", "digits").splitlines()]

    assert [line.get("id") or line["example"] for line in lines] == [str(kept.uid)] * 2


def test_a_log_may_have_the_premise_beside_the_hypothesis(nli: Any) -> None:
    line = example(input={"hypothesis": "It is dry."}, context={"context": "It rains."})
    assert import_log(nli(), lambda: [json.dumps(line).encode()]).mistakes == []
    assert Example.objects.get().input == {"hypothesis": "It is dry."}  # as it came


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"input": {"text": "It is dry."}}, "context must be a text"),
        ({"input": None}, "must be an object"),
        ({"input": {"context": "It rains.", "hypothesis": " "}}, "hypothesis must be a text"),
        ({"probabilities": {"e": 1.5}}, "probabilities.e: it must be a number from 0 to 1"),
        ({"probabilities": {"e": -0.1}}, "from 0 to 1"),
        ({"probabilities": {"z": 0.1}}, "no label of the task"),
        ({"created_at": "2999-01-01T00:00:00Z"}, "in the future"),
    ],
)
def test_what_a_log_brings_is_checked_as_what_people_send(
    nli: Any, changes: dict[str, Any], sentence: str
) -> None:
    line = json.dumps(example(**changes)).encode()
    (refusal,) = import_log(nli(), lambda: [line]).mistakes
    assert sentence in refusal
    assert not Example.objects.exists()
