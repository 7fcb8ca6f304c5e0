"""How allauth's sign-in pages meet this server's people."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import qrcode
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from qrcode.image.svg import SvgPathFillImage

from accounts.models import User
from accounts.services import create_user
from core.errors import Refused


class AccountAdapter(DefaultAccountAdapter):
    """People are made by the same service everywhere; banned and closed ones stay outside."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "The user name or the password is not right.",
        "email_password_mismatch": "The e-mail address or the password is not right.",
        "too_many_login_attempts": "Too many wrong attempts: wait five minutes, then try again.",
        "username_taken": "That user name is taken.",
        "incorrect_code": "That code is not right.",
    }

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

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Show why to somebody whose password is right but who may not come in."""
        if not user.may_sign_in:
            clear_login(request)
            return self.respond_user_inactive(request, user)
        return super().pre_login(request, user, **kwargs)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account")


class SecondFactorAdapter(DefaultMFAAdapter):
    """A QR code on white, since phones do not read one on a dark page."""

    def build_totp_svg(self, url: str) -> str:
        image = BytesIO()
        qrcode.make(url, image_factory=SvgPathFillImage, border=3).save(image)
        return image.getvalue().decode()
