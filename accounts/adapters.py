"""How allauth's sign-in pages meet this server's people."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import qrcode
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from qrcode.image.svg import SvgPathFillImage

from accounts import devices
from accounts.models import User, who_looks_like
from accounts.services import create_user
from core.addresses import address_of
from core.errors import Refused


class AccountAdapter(DefaultAccountAdapter):
    """People are made by the same service everywhere; banned and closed ones stay outside."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "The user name or the password is not right.",
        "email_password_mismatch": "The e-mail address or the password is not right.",
        "too_many_login_attempts": "Too many wrong attempts: wait five minutes, then try again.",
        "too_many_from_elsewhere": "Somebody is guessing this account's password. Sign in where you"
        " did before, or wait an hour.",
        "username_taken": "That user name is taken.",
        "incorrect_code": "That code is not right.",
    }

    def clean_username(self, username: str, shallow: bool = False) -> str:
        cleaned = str(super().clean_username(username, shallow=shallow))
        if not shallow and (alike := who_looks_like(cleaned)):
            raise ValidationError(f"That looks like {alike.public_name}, who is here already.")
        return cleaned

    def save_user(
        self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True
    ) -> User:
        data = form.cleaned_data
        try:
            return create_user(
                username=data["username"],
                password=data["password1"],
                email=data.get("email") or "",
            )
        except Refused as refused:  # the form was checked: somebody was quicker with the name
            messages.error(request, refused.message)
            raise ImmediateHttpResponse(HttpResponseRedirect(reverse("account_signup"))) from None

    # --- guesses ----------------------------------------------------------------------------------
    # Every door that asks for a password comes by here: sign-in, confirming, changing the password,
    # closing the account. Wrong ones are counted by account and address together, so that nobody
    # locks others out from elsewhere, or by account and device, where they have signed in before.
    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        account = _account_of(credentials)
        return f"{devices.device_of(request, account) or address_of(request)} {account}"

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        self._elsewhere = None
        super().pre_authenticate(request, **credentials)
        account = _account_of(credentials)
        if devices.device_of(request, account):
            return
        self._elsewhere = ratelimit.consume(
            request, app="allauth.account", action="login_failed_elsewhere", key=account
        )
        if not self._elsewhere:
            self._rollback_login_failed_rl_usage()
            raise self.validation_error("too_many_from_elsewhere")

    def _rollback_login_failed_rl_usage(self) -> None:
        super()._rollback_login_failed_rl_usage()
        if self._elsewhere:
            self._elsewhere.rollback()

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        response = super().post_login(request, user, **kwargs)
        devices.remember(request, response, f"user-{user.pk}")
        return response

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Show why to somebody whose password is right but who may not come in."""
        if not user.may_sign_in:
            clear_login(request)
            return self.respond_user_inactive(request, user)
        return super().pre_login(request, user, **kwargs)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account")


def _account_of(credentials: Mapping[str, Any]) -> str:
    """The account that is meant, by whichever of its names; or the name, where there is none."""
    name = str(credentials.get("username") or credentials.get("email") or "").lower()
    found = User.objects.filter(Q(username__iexact=name) | Q(email__iexact=name)).first()
    return f"user-{found.pk}" if found is not None else name


class SecondFactorAdapter(DefaultMFAAdapter):
    """A QR code on white, since phones do not read one on a dark page."""

    def build_totp_svg(self, url: str) -> str:
        image = BytesIO()
        qrcode.make(url, image_factory=SvgPathFillImage, border=3).save(image)
        return image.getvalue().decode()
