"""Whatever people answer, in whatever order: through the services, no example waits for ever."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from annotate.models import Example, Task
from tests import cast
from validate import services
from validate.models import QueueItem
from validate.standing_recount import repair

POLICIES = ("two_plus_one", "k_matching", "k_of_n", "bayes")
answers = st.lists(
    st.sampled_from(["author", "model", "0", "unsure", "spam"]), min_size=7, max_size=7
)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(answers=answers)
def test_no_vote_sequence_strands_an_example(
    db: None, owner: User, annotator: User, answers: list[str]
) -> None:
    people = _people(len(answers))
    for policy in POLICIES:
        task = _task(owner, policy)
        example = cast.submission(task, annotator, Example.objects.count())
        for person, answer in zip(people, answers, strict=True):
            lease = services.next_item(validator=person, task=task)
            if lease is None:
                break
            said = {"author": example.label, "model": example.prediction}.get(answer, answer)
            how = {"flag": said} if answer in ("unsure", "spam") else {"label": said}
            services.vote(validator=person, lease_id=lease.pk, **how)
        example.refresh_from_db()
        assert example.status != Example.Status.OPEN, (policy, answers)
        assert not QueueItem.objects.filter(task=task).exists()
        assert repair(task).agrees


def _people(count: int) -> list[User]:
    names = [f"v{place}" for place in range(count)]
    return [
        User.objects.filter(username=name).first() or cast.person(name, "validator")
        for name in names
    ]


def _task(owner: User, policy: str) -> Task:
    slug = policy.replace("_", "-")
    known = Task.objects.filter(slug=slug).first()
    rules = {"policy": policy, "sample": 0, "share_cap": 1}
    return known or cast.digits_task(owner, slug=slug, name=policy, validation=rules)
