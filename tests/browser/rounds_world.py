"""Tasks for owners' journeys: `python -m tests.browser.rounds_world …`.

`begin SLUG` makes one, with a model that learns and foolings that are verified; `settle` one whose
people agree with a model that could judge; `work` does what waits for a worker.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from pathlib import Path

import django

SLUG, JUDGED = "rounds-journey", "judged-journey"
THINGS = ("film", "kettle", "ladder", "raincoat", "novel", "garden", "bicycle", "concert")
MOODS = {
    "positive": ("a delight", "wonderful", "superb"),
    "negative": ("dreadful", "a disaster", "hateful"),
}
SLY = (
    "Great, the {} broke on its very first day.",
    "What a wonderful way to spend a night: mending a {}.",
    "As charming as a wet {}.",
    "I admire the nerve of whoever sells this {}.",
)
GATES = {
    "min_verified": 1,
    "train_authors": 1,
    "train_contents": 1,
    "held_out_contents": 1,
    "clean_margin_few": -30,
    "recall_margin": -30,
    "negative_flips": 30,
    "calibration_rise": 0.5,
}
RETRAINING = {
    "trigger": None,
    "author_share": 1.0,
    "recipes": {"bold": {"strength": 0.1}, "shy": {"strength": 1000}},
    "gates": GATES,
}
REHEARSAL = """
rounds: 1
foolings: 4
seeds: 2
days: 6
exam: 10
annotators: {people: 4, a_day: 8, tries: 8, errors: 0}
validators: {people: 5, a_day: 40, errors: 0}
pay: {fooling: 0.30, vote: 0.05}
"""


def begin(slug: str) -> str:
    """The task, its first model and sixteen verified foolings by four people; the rehearsal's
    file."""
    from django.conf import settings

    from accounts.models import User
    from annotate import rounds
    from annotate.config import parse_task_file
    from annotate.queries import Participant
    from annotate.submissions import submit
    from ml.learners import learner_named, save, store_base
    from tests import cast
    from tests.training.world import verified

    owner = User.objects.get(username="olive")
    file = {"slug": slug, "name": "Fool the mood reader", "input": "text", "labels": [*MOODS]}
    more = {"validation": {"policy": "two_plus_one", "sample": 0}, "retraining": RETRAINING}
    task, _ = rounds.load_task(file=parse_task_file({**file, **more}), actor=owner)
    learner, folder = learner_named("texts"), Path(tempfile.mkdtemp())
    lines = [
        f"That {thing} of theirs was {word} from beginning to end\t{label}\n"
        for label, words in MOODS.items()
        for word in words
        for thing in THINGS
    ]
    (folder / "train.tsv").write_text("".join(lines))
    base = learner.load_base(str(folder))
    first = learner.train(base, labels=[*MOODS], seed=0)
    artifacts = Path(settings.ARTIFACT_DIR)
    version = save(first, artifacts, store_base(learner, base, artifacts))
    cast.opened(task, rounds.register_model(task=task, **version))
    for number, thing in enumerate(THINGS[:4]):
        author = cast.person(f"{thing}-{slug}")
        # By their names who tests is always the same, and not by lot.
        User.objects.filter(pk=author.pk).update(pseudonym=f"{slug}-{number}")
        for sentence in SLY:
            text = {"text": sentence.format(thing)}
            said = cast.prediction(task, text)
            label = next(mood for mood in MOODS if mood != said)
            who = Participant(user=author)
            sent = submit(
                participant=who, task_id=task.pk, client_id=uuid.uuid4(), input=text, label=label
            )
            verified(sent.example, owner)
    path = folder / "rehearsal.yaml"
    path.write_text(REHEARSAL)
    return str(path)


def settle() -> str:
    """A task of texts with sixty claims that three people settled, mostly as one of its models
    says; that model's name."""
    from accounts.models import User
    from tests import cast
    from tests.training.test_judges import bring

    how = {"policy": "k_of_n", "n": 3, "k": 2, "judge_share": 0.2}
    task = cast.text_task(slug=JUDGED, name="Judged", validation=how)
    task.owners.add(User.objects.get(username="olive"))
    able = cast.fixed_model(task, 1)
    bring(task, able, range(60))
    return able.name


def main() -> None:
    from django.core.management import call_command

    if sys.argv[1] == "work":
        call_command("worker", batch=True)
    elif sys.argv[1] == "settle":
        print(json.dumps(settle()))
    else:
        print(json.dumps(begin(sys.argv[2])))


if __name__ == "__main__":
    django.setup()
    main()
