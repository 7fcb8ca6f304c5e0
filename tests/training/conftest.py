import pytest

from accounts.models import User
from annotate.models import Task
from tests.training.world import trained_task


@pytest.fixture
def trained(owner: User) -> Task:
    """A task with a trained model, retrained only when asked."""
    return trained_task(owner)
