"""One retraining from its claim to its verdict."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from django_tasks import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from accounts.models import Event, User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, ModelVersion, Task
from core.transactions import durable
from kinds import kind_named
from ml.backends.null import NullBackend
from tests import cast
from tests.acts import adjudicate
from tests.training.world import (
    LENIENT,
    let_every_other_fail,
    serving,
    trained_task,
    verified_fooling,
    verified_foolings,
)
from training import evaluations, services, tasks
from training.heartbeat import heartbeat
from training.models import AuthorSplit, SnapshotItem, TrainingRun
from training.nearby import Usual
from training.queries import learned_examples
from training.retraining import carry_out
from training.snapshots import digest_of
from training.trials import choosable, tidy


def retrain(task: Task) -> TrainingRun:
    return carry_out(*services.begin_here(task=task))


@pytest.fixture
def authors(annotator: User, other_annotator: User) -> list[User]:
    return [annotator, other_annotator]


def test_a_candidate_that_passes_opens_the_next_round(
    trained: Task,
    owner: User,
    authors: list[User],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    verified_foolings(trained, authors, owner, 3)
    news: list[Any] = []
    monkeypatch.setattr(rounds, "tell_open_pages", lambda *what: news.append(what))
    with django_capture_on_commit_callbacks(execute=True):
        run = retrain(trained)
    assert run.status == "promoted", run.reason
    assert news == [("digits", 2, "digits-2")]
    model = serving(trained)
    assert (model, model.parent) == (run.candidate, run.parent)
    assert trained.rounds.get(number=1).status == "closed"
    assert (run.progress, run.claim) == (1.0, None)
    assert cast.prediction(trained, cast.drawing(1)) in cast.DIGITS


def test_a_model_says_where_it_came_from(trained: Task, owner: User, authors: list[User]) -> None:
    verified_foolings(trained, authors, owner, 3)
    run = retrain(trained)
    model = run.candidate
    assert model is not None
    assert run.snapshot is not None
    assert (model.backend, model.config["learner"]) == ("null", "fake")
    assert (model.config["retraining"]["seed"], model.config["retraining"]["pace"]) == (0, 1)
    assert model.config["base"] == run.parent.config["base"]
    assert model.provenance["data"]["sha256"] == run.snapshot.sha256
    assert model.provenance["training_run"] == str(run.uid)
    assert len(model.provenance["code"]["sources_sha256"]) == 64
    assert model.metrics["clean"]["items"] == run.parent.config["base"]["held_out"]
    assert model.metrics["new_round"]["before"] == 0.0
    assert "left_out" not in model.metrics
    verbs = Event.objects.filter(object_type="trainingrun").values_list("verb", flat=True)
    assert sorted(verbs) == ["began_training", "ended_training"]


def test_the_same_data_trains_the_same_weights(
    trained: Task, owner: User, authors: list[User]
) -> None:
    verified_foolings(trained, authors, owner, 2)
    first = retrain(trained)
    with durable():
        rounds.open_next_round(task=trained, models=[first.parent])
    second = retrain(trained)
    assert first.candidate is not None
    assert second.candidate is not None
    assert first.candidate.sha256 == second.candidate.sha256


def test_test_authors_are_absent_from_training(
    trained: Task, owner: User, authors: list[User]
) -> None:
    verified_foolings(trained, authors, owner, 3)
    run = retrain(trained)
    items = SnapshotItem.objects.filter(snapshot=run.snapshot)
    by_side = {
        side: set(items.filter(split=side).values_list("example__author", flat=True))
        for side in ("train", "held_out")
    }
    assert by_side["train"]
    assert by_side["held_out"]
    assert not by_side["train"] & by_side["held_out"]
    assert AuthorSplit.objects.count() == 2
    gate = next(gate for gate in run.gates if gate["name"] == "authors")
    assert gate["passed"]


def test_a_snapshot_stays_what_it_was(trained: Task, owner: User, authors: list[User]) -> None:
    examples = verified_foolings(trained, authors, owner, 2)
    run = retrain(trained)
    snapshot = run.snapshot
    assert snapshot is not None
    adjudicate(actor=owner, example_id=examples[0].pk, status="rejected", reason="A mistake.")
    items = list(snapshot.items.select_related("example__round"))
    assert len(items) == 4
    assert digest_of(reversed(items)) == snapshot.sha256
    changed = [items[0], *items[1:]]
    changed[0].label = "another"
    assert digest_of(changed) != snapshot.sha256


def test_a_refused_candidate_is_kept_with_the_reason(owner: User, authors: list[User]) -> None:
    task = trained_task(owner, gates={"min_verified": 1000})
    verified_foolings(task, authors, owner, 2)
    before = serving(task)
    run = retrain(task)
    assert run.status == "refused"
    assert "at least 1000 needed" in run.reason
    assert run.candidate is not None
    assert run.candidate.artifact
    assert serving(task) == before
    opened = rounds.change_target(actor=owner, task=task, model=run.candidate, reason="I looked.")
    assert (opened.number, serving(task)) == (2, run.candidate)


def test_one_author_alone_gives_no_test_and_no_promotion(
    trained: Task, owner: User, annotator: User
) -> None:
    verified_foolings(trained, [annotator], owner, 4)
    run = retrain(trained)
    assert run.status == "refused"
    assert "no held-out items" in run.reason


def test_an_owner_may_keep_promotion_to_themselves(owner: User, authors: list[User]) -> None:
    task = trained_task(owner, promote="by_owner")
    verified_foolings(task, authors, owner, 2)
    run = retrain(task)
    assert run.status == "passed"
    assert "leaves promotion" in run.reason
    assert task.rounds.count() == 1


def test_an_owner_looks_before_the_first_model_is_promoted_by_itself(
    owner: User, authors: list[User], client: Client
) -> None:
    task = trained_task(owner, promote="after_a_look")
    examples = verified_foolings(task, authors, owner, 2)
    run = retrain(task)
    assert run.status == "passed"
    assert "Nobody has looked yet" in run.reason
    assert run.candidate is not None

    client.force_login(owner)
    page = f"/tasks/digits/training/serve/{run.candidate.number}/"
    shown = client.get(page).content.decode()
    sides = dict(SnapshotItem.objects.values_list("example__uid", "split"))
    for example in examples:
        assert (f"/inbox/{example.uid}/" in shown) == (sides[example.uid] == "train")
    client.post(page, {"reason": "They are twos and threes."})
    assert serving(task) == run.candidate

    verified_foolings(task, authors, owner, 2, first_seed=200)
    assert retrain(task).status == "promoted"


def test_no_author_gives_more_than_their_share(owner: User, authors: list[User]) -> None:
    task = trained_task(owner, author_share=0.5, held_out_share=0.01)
    AuthorSplit.objects.create(task=task, author=authors[0], split="train")  # not by lot
    others = [authors[1], cast.person("carl"), cast.person("dora")]
    verified_foolings(task, authors[:1], owner, 9)
    verified_foolings(task, others, owner, 1, first_seed=200)
    run = retrain(task)
    assert run.candidate is not None
    learned = SnapshotItem.objects.filter(snapshot=run.snapshot, split="train").count()
    assert run.candidate.provenance["data"]["train"] < learned
    assert run.metrics["left_out"] == learned - run.candidate.provenance["data"]["train"]


def test_what_is_over_somebodys_share_was_verified_all_the_same(
    owner: User, authors: list[User]
) -> None:
    """Or what the trigger waits for would be refused as too little."""
    task = trained_task(owner, author_share=0.34, gates={**LENIENT, "min_verified": 9})
    verified_foolings(task, authors, owner, 2)
    third = cast.person("cleo")
    verified_foolings(task, [third], owner, 5, first_seed=300)
    run = retrain(task)
    gate = next(gate for gate in run.gates if gate["name"] == "verified")
    assert (gate["passed"], gate["value"]) == (True, 9), gate


def test_a_name_that_somebody_took_is_left_to_them(
    trained: Task, owner: User, authors: list[User]
) -> None:
    with durable():
        rounds.register_model(task=trained, name="digits-3", backend="null")
    verified_foolings(trained, authors, owner, 3)
    run = retrain(trained)
    assert run.status == "promoted", run.reason
    assert (serving(trained).number, serving(trained).name) == (3, "digits-4")


def test_a_model_that_was_retired_meanwhile_stands_beside_no_candidate(
    trained: Task, owner: User, authors: list[User]
) -> None:
    verified_foolings(trained, authors, owner, 3)
    first = serving(trained)
    with durable():
        other = rounds.register_model(
            task=trained, backend="null", config={"labels": list(cast.DIGITS)}
        )
        rounds.open_next_round(task=trained, models=[first, other], needed=2)
    begun = services.begin_here(task=trained)
    with durable():
        rounds.close_open(trained)  # as its quota does
    rounds.retire_model(actor=owner, task=trained, model=other, reason="Too dear.")
    run = carry_out(*begun)
    assert run.status == "promoted", run.reason
    assert (trained.rounds.get(number=3).targets.get(), serving(trained)) == (run.candidate,) * 2


@pytest.mark.parametrize("beside_another", [False, True])
def test_what_was_learned_of_a_retired_model_serves_in_its_place(
    trained: Task, owner: User, authors: list[User], beside_another: bool
) -> None:
    verified_foolings(trained, authors, owner, 3)
    parent, beside = serving(trained), []
    if beside_another:
        with durable():
            config = {"labels": list(cast.DIGITS)}
            beside = [rounds.register_model(task=trained, backend="null", config=config)]
            rounds.open_next_round(task=trained, models=[parent, *beside])
    begun = services.begin_here(task=trained)
    with durable():
        rounds.close_open(trained)  # as its quota does
    rounds.retire_model(actor=owner, task=trained, model=parent, reason="A better one comes.")
    run = carry_out(*begun)
    assert run.status == "promoted", run.reason
    assert run.candidate is not None
    opened = trained.rounds.get(status="open")
    assert {*opened.targets.all()} == {run.candidate, *beside}


def test_a_round_that_the_file_opens_later_is_no_promotion_yet(
    owner: User, authors: list[User]
) -> None:
    task = trained_task(owner)
    verified_foolings(task, authors, owner, 3)
    in_two_days = (timezone.now() + timedelta(days=2)).isoformat()
    section = {"trigger": None, "promote": "automatic", "gates": LENIENT}
    file = cast.task_file(retraining=section, rounds={"opens_at": in_two_days})
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    run = retrain(task)
    assert (run.status, "an owner opens it" in run.reason) == ("passed", True)
    assert not task.rounds.filter(status="draft").exists()


def test_a_round_that_closed_meanwhile_is_not_overruled(
    trained: Task, owner: User, authors: list[User]
) -> None:
    verified_foolings(trained, authors, owner, 2)
    older = cast.fixed_model(trained)
    run, claim = services.begin_here(task=trained)

    def roll_back(fraction: float, _: str) -> None:
        if fraction > 0.5 and serving(trained) != older:
            rounds.change_target(actor=owner, task=trained, model=older, reason="It got worse.")

    run = carry_out(run, claim, roll_back)
    assert run.status == "passed"
    assert "was closed while" in run.reason
    assert serving(trained) == older


def test_earlier_rounds_are_tested_on_what_their_promotion_froze(
    trained: Task, owner: User, authors: list[User]
) -> None:
    late = cast.submission(trained, authors[0], 77)
    verified_foolings(trained, authors, owner, 2)
    assert retrain(trained).status == "promoted"
    learned = set(learned_examples(serving(trained)).values_list("example_id", flat=True))
    assert len(learned) == 4
    adjudicate(actor=owner, example_id=late.pk, status="verified", reason="It is one.")
    verified_foolings(trained, authors, owner, 2, first_seed=200)
    run = retrain(trained)
    assert list(run.metrics["earlier_rounds"]) == ["1"]
    held_out = SnapshotItem.objects.filter(snapshot=run.snapshot, split="held_out")
    assert run.metrics["earlier_rounds"]["1"]["items"] == (
        held_out.filter(example__in=learned).count()
    )
    assert run.metrics["new_round"]["items"] == held_out.exclude(example__in=learned).count()
    verified = next(gate for gate in run.gates if gate["name"] == "verified")
    assert verified["value"] == 5  # the late one of round 1 is new to the model, too


def test_what_cannot_be_read_or_answered_is_left_out_and_counted(
    trained: Task, owner: User, authors: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = verified_foolings(trained, authors, owner, 3)
    unreadable, unanswered = [examples[0], examples[3]], [examples[1], examples[4]]
    for example in unreadable:
        Example.objects.filter(pk=example.pk).update(input={"png": "no picture"})
    bad = {kind_named("image").parse(example.input).key for example in unanswered}
    answered = NullBackend.answer

    def answer(self: NullBackend, inputs: Any) -> Any:
        if any(one.key in bad for one in inputs):
            raise ValueError("one of them is bad")
        return answered(self, inputs)

    monkeypatch.setattr(NullBackend, "answer", answer)
    stages: list[str] = []
    run = carry_out(*services.begin_here(task=trained), lambda _, stage: stages.append(stage))
    assert run.status == "promoted", run.reason
    assert run.metrics["left_out"] == 3  # of those that are not answered one tests, one trains
    assert any("on 2 verified foolings (2 left out) by 1 person" in stage for stage in stages)
    assert run.candidate is not None
    named = run.candidate.provenance["data"]["left_out"]
    assert sorted(named["unreadable"]) == sorted(example.public_id for example in unreadable)
    assert set(named["unanswered"]) < {example.public_id for example in unanswered}
    assert len(named["unanswered"]) == 1, "the other one trains"


def test_a_model_that_answers_nothing_ends_the_run(
    trained: Task, owner: User, authors: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    verified_foolings(trained, authors, owner, 2)

    def broken(*_: object) -> None:
        raise ValueError("I am broken")

    monkeypatch.setattr(NullBackend, "answer", broken)
    run = retrain(trained)
    assert (run.status, "I am broken" in run.reason) == ("failed", True)


def test_missing_clean_data_fails_with_a_sentence(
    trained: Task, owner: User, annotator: User
) -> None:
    verified_fooling(trained, annotator, owner, 1)
    base = serving(trained).config["base"]
    (Path(settings.ARTIFACT_DIR) / base["file"]).unlink()
    run = retrain(trained)
    assert run.status == "failed"
    assert "is missing" in run.reason
    assert not ModelVersion.objects.filter(parent__isnull=False).exists()


def silence(run: TrainingRun) -> None:
    """As after a kill -9: nobody writes heartbeats any more."""
    long_ago = timezone.now() - 2 * services.STALE_AFTER
    TrainingRun.objects.filter(pk=run.pk).update(heartbeat_at=long_ago, created_at=long_ago)
    run.refresh_from_db()


def test_a_run_whose_worker_was_killed_begins_again_by_itself(
    trained: Task, owner: User, authors: list[User]
) -> None:
    verified_foolings(trained, authors, owner, 2)
    run = services.request_run(actor=owner, task=trained)
    dead = services.claim_run(run.uid)
    assert dead is not None
    DBTaskResult.objects.update(status=TaskResultStatus.RUNNING)
    assert tasks.resume_interrupted() == []  # it is alive
    silence(run)
    assert tasks.resume_interrupted() == [run]
    assert tasks.resume_interrupted() == []
    job = DBTaskResult.objects.get(status=TaskResultStatus.READY)
    assert tasks.run_training.call(*job.args_kwargs["args"]) == "promoted"
    # The old process wakes up: nothing that it writes counts.
    with pytest.raises(services.Superseded):
        services.report(*dead, progress=0.5)
    assert carry_out(*dead).status == "promoted"
    assert ModelVersion.objects.count() == 2


def test_a_trial_that_kills_its_process_is_not_begun_for_ever(
    trained: Task, owner: User, authors: list[User], django_capture_on_commit_callbacks: Any
) -> None:
    verified_foolings(trained, authors, owner, 3)
    run, _ = services.begin_here(task=trained)
    left_by_it = Path(settings.ARTIFACT_DIR) / f"{run.uid}-0.part"
    left_by_it.write_bytes(b"half an epoch")
    for kill in range(services.KILLED_AT_MOST - 1):
        TrainingRun.objects.update(stage=f"Training: epoch 3 of 5. About {40 + kill} s left.")
        silence(run)
        assert services.requeue_silent_runs() == [run]
        assert services.claim_run(run.uid) is not None
    TrainingRun.objects.update(stage="Training: epoch 3 of 5. About 2 minutes left.")
    silence(run)
    with django_capture_on_commit_callbacks(execute=True):
        assert services.requeue_silent_runs() == []
    run.refresh_from_db()
    assert (run.status, "killed 3 times" in run.reason) == ("failed", True)
    assert services.start_all_due() == []
    assert not left_by_it.exists()


def test_what_another_run_makes_alike_is_left_to_it(
    trained: Task, owner: User, authors: list[User]
) -> None:
    """The same data and seed make the same bytes, and so the same name."""
    verified_foolings(trained, authors, owner, 2)
    made = [{"made": {"artifact": "alike.npz"}}]
    file = Path(settings.ARTIFACT_DIR) / "alike.npz"
    stopped, claim = services.begin_here(task=trained)
    TrainingRun.objects.update(trials=made)
    services.stop(task=trained)
    active, _ = services.begin_here(task=trained)
    file.write_bytes(b"a model")
    carry_out(stopped, claim)  # which finds its claim gone, late
    assert file.exists()
    TrainingRun.objects.filter(pk=active.pk).update(trials=made)
    stopped.refresh_from_db()
    tidy(stopped)
    assert file.exists()
    TrainingRun.objects.filter(pk=active.pk).update(trials=[])
    tidy(stopped)
    assert not file.exists()


def test_nothing_is_compared_on_what_is_no_longer_verified(
    trained: Task, owner: User, authors: list[User]
) -> None:
    examples = verified_foolings(trained, authors, owner, 1)
    assert len(list(evaluations._rounds(trained))) == 1
    for example in examples:
        adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="A mistake.")
    assert list(evaluations._rounds(trained)) == []


def test_what_lost_leaves_no_file_that_an_owner_cannot_choose(
    owner: User,
    authors: list[User],
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_every_other_fail(monkeypatch)
    task = trained_task(owner, seeds=4, promote="by_owner")
    verified_foolings(task, authors, owner, 5)
    folder = Path(settings.ARTIFACT_DIR)

    def there() -> set[str]:
        return {path.name for path in folder.glob("*.model")}

    before = there()
    with django_capture_on_commit_callbacks(execute=True):
        run = retrain(task)
    assert run.candidate is not None
    made = {trial["made"]["artifact"]: trial["gates"] for trial in run.trials}
    good = {name for name, gates in made.items() if all(gate["passed"] for gate in gates)}
    assert (len(made), len(good)) == (4, 2)
    assert there() - before == good
    assert choosable(run) == good - {run.candidate.artifact}
    assert list(folder.glob("*.part")) == []
    verified_foolings(task, authors, owner, 1, first_seed=400)
    with django_capture_on_commit_callbacks(execute=True):
        retrain(task)
    assert there() & made.keys() == {run.candidate.artifact}, "until the next run ends"


def test_a_second_worker_cannot_take_a_run_that_is_alive(
    trained: Task, owner: User, annotator: User
) -> None:
    verified_fooling(trained, annotator, owner, 1)
    run = services.request_run(actor=owner, task=trained)
    assert services.claim_run(run.uid) is not None
    assert services.claim_run(run.uid) is None
    assert tasks.run_training.call(str(run.uid)) == "not to be had"


def test_a_queued_run_that_lost_its_job_gets_another(
    trained: Task, owner: User, annotator: User
) -> None:
    verified_fooling(trained, annotator, owner, 1)
    run = services.request_run(actor=owner, task=trained)
    DBTaskResult.objects.update(status=TaskResultStatus.RUNNING)  # killed before it claimed the run
    silence(run)
    assert tasks.resume_interrupted() == [run]
    assert DBTaskResult.objects.filter(status=TaskResultStatus.READY).count() == 1


def test_a_run_that_begins_again_keeps_what_it_froze(
    trained: Task, owner: User, authors: list[User]
) -> None:
    verified_foolings(trained, authors, owner, 2)
    run = services.request_run(actor=owner, task=trained)
    claimed = services.claim_run(run.uid)
    assert claimed is not None

    class Killed(BaseException):
        pass

    def be_killed(fraction: float, _: str) -> None:
        if fraction > 0.5:
            raise Killed

    with pytest.raises(Killed):
        carry_out(*claimed, be_killed)
    frozen = TrainingRun.objects.get().snapshot
    assert frozen is not None
    verified_foolings(trained, authors, owner, 1, first_seed=300)
    silence(run)
    tasks.resume_interrupted()
    tasks.run_training.call(str(run.uid))
    run.refresh_from_db()
    assert run.status == "promoted"
    assert run.snapshot == frozen
    assert frozen.items.count() == 4


def test_every_training_of_a_run_is_judged_by_the_same_items(
    owner: User, authors: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those after its process was killed, whatever people send meanwhile."""
    task = trained_task(owner, seeds=3)
    verified_foolings(task, authors, owner, 2)
    sent = [cast.submission(task, authors[0], 500 + n, fooled=False) for n in range(3)]
    beside: list[list[str]] = []

    def compared(learned: Any, clean: Any, *_: Any, **__: Any) -> list[Any]:
        beside.append([one.item.prepared.key for one in clean if isinstance(one.item, Usual)])
        return []

    monkeypatch.setattr("training.recipe.nearby", compared)

    class Killed(BaseException):
        pass

    def be_killed(fraction: float, _: str) -> None:
        if fraction > 0.5:
            raise Killed

    run, claim = services.begin_here(task=task)
    with pytest.raises(Killed):
        carry_out(run, claim, be_killed)
    cast.submission(task, authors[0], 600, fooled=False)
    silence(run)
    again = services.requeue_silent_runs() and services.claim_run(run.uid)
    assert again
    ended = carry_out(*again)
    assert ended.status == "promoted", ended.reason
    expected = [task.kind.parse(one.input).key for one in sent]
    assert len(beside) == 2 * 3
    assert all(one == expected for one in beside)
    assert ended.metrics["usual"] == [one.pk for one in sent]
    assert ended.candidate is not None
    assert "usual" not in ended.candidate.metrics


def test_a_worker_that_is_told_to_stop_gives_the_run_back(
    trained: Task, owner: User, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified_fooling(trained, annotator, owner, 1)
    run = services.request_run(actor=owner, task=trained)

    def stop(*_: object) -> TrainingRun:
        raise SystemExit(1)

    monkeypatch.setattr(tasks, "carry_out", stop)
    DBTaskResult.objects.all().delete()
    with pytest.raises(SystemExit):
        tasks.run_training.call(str(run.uid))
    run.refresh_from_db()
    assert (run.status, run.claim) == ("queued", None)
    assert DBTaskResult.objects.count() == 1


def test_progress_is_written_while_it_trains(
    trained: Task, owner: User, authors: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.progress.WRITE_EVERY", 0)
    verified_foolings(trained, authors, owner, 2)
    run, claim = services.begin_here(task=trained)
    seen: list[tuple[float, str]] = []

    def look(fraction: float, sentence: str) -> None:
        row = TrainingRun.objects.get()
        assert (row.progress, row.stage) == (fraction, sentence)
        seen.append((fraction, sentence))

    carry_out(run, claim, look)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert any("epoch 1 of 1" in sentence for _, sentence in seen)


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_goes_on_beside_the_training(
    owner: User, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    task = trained_task(owner)
    verified_fooling(task, annotator, owner, 1)
    run, claim = services.begin_here(task=task)
    silence(run)
    beaten = threading.Event()

    def beat() -> None:
        services.report(run, claim)
        beaten.set()

    monkeypatch.setattr("training.heartbeat.INTERVAL", 0.01)
    with heartbeat(beat, str(run)):
        assert beaten.wait(20)
    run.refresh_from_db()
    assert run.heartbeat_at is not None
    assert run.heartbeat_at > timezone.now() - timedelta(seconds=25)


def test_an_unknown_setting_is_a_mistake_in_the_task_file() -> None:
    from annotate.config import parse_task_file
    from core.strict_yaml import NotYaml

    for section, complaint in [
        ({"triger": 3}, "triger"),
        ({"trigger": 0}, "greater than or equal to 1"),
        ({"gates": {"min_verifed": 3}}, "min_verifed"),
        ({"gates": {"clean_margin": 3}}, "clean_margin"),
        ({"pace": 0}, "greater than or equal to 1"),
        ({"blend": 2}, "less than or equal to 1"),
    ]:
        with pytest.raises(NotYaml, match=complaint):
            parse_task_file(cast.task_file(retraining=section))


def test_relabelled_foolings_are_not_learned_from(
    trained: Task, owner: User, annotator: User
) -> None:
    verified_fooling(trained, annotator, owner, 1)
    other = cast.submission(trained, annotator, 2)
    adjudicate(
        actor=owner,
        example_id=other.pk,
        status=Example.Status.RELABELLED,
        label=other.prediction,
        reason="It is what the model said.",
    )
    run = retrain(trained)
    assert run.snapshot is not None
    assert run.snapshot.items.count() == 1
