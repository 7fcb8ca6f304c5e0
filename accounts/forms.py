"""What people fill in about themselves."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm, SignupForm
from django import forms
from django.conf import settings

from accounts.models import User
from accounts.names import LONGEST_NAME


def _labels_instead_of_placeholders(form: forms.Form) -> None:
    for field in form.fields.values():
        field.widget.attrs.pop("placeholder", None)


class SignInForm(LoginForm):
    """User name (or e-mail address, where the server knows them) and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _labels_instead_of_placeholders(self)
        login = self.fields["login"]
        login.label = "User name or e-mail address" if settings.MAIL_CONFIGURED else "User name"
        login.widget.attrs.update(autocomplete="username", autocapitalize="none", autofocus=True)


class SignUpForm(SignupForm):
    """A name that others see, and a password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _labels_instead_of_placeholders(self)
        username = self.fields["username"]
        username.label = "User name"
        username.help_text = (
            f"2 to {LONGEST_NAME} letters, digits, dots, hyphens or underscores. Others see it."
        )
        username.widget.attrs.update(maxlength=LONGEST_NAME, autocapitalize="none", autofocus=True)
        self.fields["password2"].label = "Password again"
        if "email" in self.fields:
            self.fields["email"].label = "E-mail address"
            self.fields["email"].help_text = "For a forgotten password. Nobody else sees it."


class CloseAccountForm(forms.Form):
    """The password once more, since nothing brings an account back."""

    password = forms.CharField(
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError("That is not your password.")
        return password
