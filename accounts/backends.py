"""Who is let in: by password, by an open session, by a token."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import get_user
from drf_spectacular import authentication as drf_spectacular
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox import auth as knox
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from accounts import statements
from accounts.models import User
from core.errors import Refused


class PasswordBackend(AuthenticationBackend):
    """Sign-in by password; it also decides, at every request, whether a session still counts."""

    def user_can_authenticate(self, user: AbstractBaseUser | None) -> bool:
        return isinstance(user, User) and user.may_sign_in

    def get_user(self, user_id: int) -> User | None:
        user = statements.person(user_id)
        return user if self.user_can_authenticate(user) else None


class PageOutOfDate(Refused):
    """A page's token is that of a session which ended, or of one that had not begun."""

    def __init__(self) -> None:
        super().__init__(
            "page_out_of_date",
            "You signed in or out in another tab meanwhile: reload the page and send it again. "
            "What you made is kept.",
            status=403,
        )


class SessionAuthentication(authentication.SessionAuthentication):
    """By an open session, as REST framework's, but the person is no lazy object.

    Each of the hundreds of times that a call asks it for something, that one looks twice.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        if super().authenticate(request) is None:
            return None
        return get_user(request._request), None

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied:
            raise PageOutOfDate from None


class SessionScheme(drf_spectacular.SessionScheme):
    """The same, as the OpenAPI schema describes it."""

    target_class = "accounts.backends.SessionAuthentication"


class TokenAuthentication(knox.TokenAuthentication):
    """`Authorization: Token …`, for as long as its bearer may sign in."""

    def authenticate_credentials(self, token: bytes) -> Any:
        if not token.isascii():
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)

    def validate_user(self, auth_token: Any) -> tuple[User, Any]:
        if not auth_token.user.may_sign_in:
            raise AuthenticationFailed("This account is closed or banned.")
        return auth_token.user, auth_token


class TokenScheme(KnoxTokenScheme):
    """The same, as the OpenAPI schema describes it."""

    target_class = "accounts.backends.TokenAuthentication"
    name = "token"
