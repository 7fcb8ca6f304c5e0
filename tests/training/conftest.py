import pytest

from accounts.models import User
from annotate.models import Task
from tests.training.world import let_the_fake_learn, trained_task


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_fake_learn(monkeypatch)


@pytest.fixture
def trained(owner: User) -> Task:
    """A task whose model can be trained, retrained only when asked."""
    return trained_task(owner)
