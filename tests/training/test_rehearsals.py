"""A rehearsal plays the whole loop, and nothing of it is left but its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.test import Client
from django.urls import reverse

from accounts.models import Event, User
from annotate.models import Example, ModelVersion, Task
from dadc_server import bootstrap
from ml.learners import Base, Item, learner_named
from tests import cast
from tests.pins import Pins, shape
from tests.training.test_commands import run_command
from training.models import Rehearsal, Snapshot
from training.rehearsal_file import RehearsalFile
from training.rehearsals import plot_of, spread
from training.rehearsing import Crowd

pytestmark = pytest.mark.once

MOODS = {"1": ("a delight", "wonderful", "superb"), "0": ("dreadful", "a disaster", "hateful")}
FILE = """
rounds: 2
foolings: 4
seeds: 1
days: 6
source: texts
labels: {"0": negative, "1": positive}
exam: 20
annotators: {people: 4, a_day: 8, tries: 8, errors: 0}
validators: {people: 5, a_day: 40, errors: 0}
pay: {fooling: 0.30, vote: 0.05}
"""


@pytest.fixture
def sentiment(db: None, owner: User) -> Task:
    """The library's task with its word list, which learns."""
    (task,) = [task for task, _ in bootstrap.load_library() if task.slug == "sentiment"]
    task.owners.add(owner)
    bootstrap.register_base_model(task)
    return task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Real texts, three to a mood and a thing."""
    texts = tmp_path / "texts"
    texts.mkdir()
    things = ("film", "kettle", "ladder", "raincoat", "novel", "garden", "bicycle", "concert")
    lines = [
        f"That {thing} of theirs was {word} from beginning to end\t{label}\n"
        for label, words in MOODS.items()
        for word in words
        for thing in things
    ]
    (texts / "train.tsv").write_text("".join(lines))
    (tmp_path / "rehearsal.yaml").write_text(FILE)
    return tmp_path


def counts() -> list[int]:
    return [kind.objects.count() for kind in (User, Example, ModelVersion, Snapshot, Event)]


def test_rounds_are_played_elsewhere_and_told_on_the_owners_page(
    sentiment: Task, owner: User, folder: Path, client: Client, pinned: Pins
) -> None:
    client.force_login(owner)
    empty = client.get(reverse("rehearsals", args=["sentiment"])).content.decode()
    assert "Nothing rehearsed yet" in empty
    before = counts()

    lines = run_command("rehearse", "sentiment", str(folder / "rehearsal.yaml"), "--json")

    *words, told = lines
    summary = json.loads(told)
    for told_of in (*summary["rounds"], *summary["worlds"][0]):
        told_of.pop("failed")  # which of them it was, if any, is chance
    pinned.same("commands", "rehearse sentiment", shape(summary))
    assert counts() == [*before[:-1], before[-1] + 1], "all that is left is its record"
    for number, played in enumerate(summary["worlds"][0], start=1):
        assert played["verified"] >= 4, "each round goes on until it has them"
        assert played["wrong"] == 0, "nobody was wrong"
        assert played["fooled"] <= played["submissions"] <= played["looks"]
        assert played["cost"] == pytest.approx(0.3 * played["verified"] + 0.05 * played["votes"])
        assert played["status"] in ("promoted", "refused")
        assert words[number - 1].startswith(f"Round {number}: fooling rate ")
    assert summary["rounds"][0]["cost"]["low"] is None, "one seed has no range"
    shown = client.get(reverse("rehearsals", args=["sentiment"]), follow=True)
    text = shown.content.decode()
    assert "simulated" in text
    assert f"{summary['total']['cost']['mean']:.2f} USD" in text
    assert "<svg" in text
    address = reverse("rehearsal-plot", args=["sentiment", summary["rehearsal"], "rounds", "csv"])
    assert client.get(address).content.decode().startswith("series,round,%,low,high\nfooling rate")
    client.force_login(cast.person("stranger", "owner"))
    assert client.get(address).status_code == 404
    assert client.get(shown.request["PATH_INFO"]).status_code == 404


REFUSED = [
    ("annotators: {people: 4", "annotators: {ages: 4", "annotators.ages"),
    ('"0": negative, ', "", "labels that sentiment has not: 0"),
    ("source: texts", "source: nowhere", "has neither train.tsv"),
    ("seeds: 1", "task: {validation: {policy: chance}}", "task: validation"),
    ("seeds: 1", "task: {slug: {a: 1}}", "no section slug"),
    ("annotators: {people: 4", "annotators: {spammers: 0.7, colluders: 0.7", "more than all"),
]


def test_what_cannot_be_rehearsed_is_a_sentence(sentiment: Task, folder: Path) -> None:
    path = folder / "rehearsal.yaml"
    for old, new, sentence in REFUSED:
        assert old in FILE
        path.write_text(FILE.replace(old, new))
        with pytest.raises(CommandError, match=sentence):
            run_command("rehearse", "sentiment", str(path))
    path.write_text(FILE)
    with pytest.raises(CommandError, match="Nobody here is scripted"):
        run_command("rehearse", "qa", str(path))
    assert not Rehearsal.objects.exists()


def test_a_league_gets_wrong_labels_through(sentiment: Task, folder: Path) -> None:
    base = learner_named("texts").load_base(str(folder / "texts"))
    moods = {"0": "negative", "1": "positive"}
    train, held_out = (
        [Item(one.prepared, moods[one.label]) for one in part]
        for part in (base.train, base.held_out)
    )
    base = Base(train, held_out, "texts")
    league = {"people": 4, "errors": 0, "colluders": 1}
    file = RehearsalFile(rounds=1, foolings=4, days=2, annotators=league, validators=league)

    (turn,) = Crowd(sentiment, file, base, seed=1, tell=lambda *_: None).play()

    assert turn.verified >= 4
    assert turn.wrong == turn.verified


@pytest.mark.parametrize("pay", ["{submission: 0.10}", "{vote: 0.10}"])
def test_nobody_is_asked_more_when_the_budget_is_spent(
    sentiment: Task, folder: Path, pay: str
) -> None:
    """Not even on the day on which it runs out."""
    file = FILE.replace("pay: {fooling: 0.30, vote: 0.05}", f"pay: {pay}\nbudget: 1.00")
    (folder / "rehearsal.yaml").write_text(file)
    *_, told = run_command("rehearse", "sentiment", str(folder / "rehearsal.yaml"), "--json")
    report = json.loads(told)
    assert report["total"]["cost"]["mean"] == pytest.approx(1.0), report


def test_a_range_is_students_over_seeds() -> None:
    told = spread([1.0, 2.0, 3.0])
    assert told["mean"] == 2
    assert told["high"] == pytest.approx(2 + 4.3027 / 3**0.5, abs=1e-3)
    assert spread([])["mean"] is None
    rate = spread([0.1, 0.9], least=0, most=1)
    assert (rate["low"], rate["high"]) == (0, 1), "no rate is below none or above all"
    report = {"rounds": [{name: spread([0.5]) for name in ("fooling_rate", "altered", "clean")}]}
    assert plot_of(Rehearsal(report=report)).rows[0] == ("fooling rate", "round 1", 50, 50, 50)
