"""Who calls the API in these tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token


@pytest.fixture
def guest() -> APIClient:
    return APIClient()


@pytest.fixture
def as_user() -> Callable[[User], APIClient]:
    """A client that calls with a person's own token."""

    def client(user: User) -> APIClient:
        caller = APIClient()
        caller.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=user)}")
        return caller

    return client
