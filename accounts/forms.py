"""What people fill in about themselves: allauth's forms in this site's words."""

from __future__ import annotations

import re
from typing import Any

from allauth.account import forms as account
from allauth.account.adapter import get_adapter
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp import forms as totp
from django import forms
from django.conf import settings

from accounts.models import User
from accounts.names import LONGEST_NAME

_LABELS = {
    "login": "User name",
    "username": "User name",
    "email": "E-mail address",
    "oldpassword": "Your password now",
    "password": "Password",
    "code": "Code",
}
_NEW_PASSWORD = (
    "At least 8 characters; nothing common, not only digits, and not close to your name."  # noqa: S105
)


class Plain:
    """Labels instead of placeholders, and one sentence about passwords instead of a list."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            field.label = _LABELS.get(name, field.label)
        if "password1" in self.fields:
            changes = "oldpassword" in self.fields
            self.fields["password1"].label = "New password" if changes else "Password"
            self.fields["password1"].help_text = _NEW_PASSWORD
        if "password2" in self.fields:
            self.fields["password2"].label = "The same again"


class SignInForm(Plain, account.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login = self.fields["login"]
        if settings.MAIL_CONFIGURED:
            login.label = "User name or e-mail address"
        login.widget.attrs.update(autocomplete="username", autocapitalize="none", autofocus=True)


class SignUpForm(Plain, account.SignupForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        username = self.fields["username"]
        username.help_text = (
            f"2 to {LONGEST_NAME} letters, digits, dots, hyphens or underscores. Others see it."
        )
        username.widget.attrs.update(maxlength=LONGEST_NAME, autocapitalize="none", autofocus=True)
        if "email" in self.fields:
            self.fields["email"].help_text = "For a forgotten password. Nobody else sees it."


class AddEmailForm(Plain, account.AddEmailForm):
    pass


class ChangePasswordForm(Plain, account.ChangePasswordForm):
    def clean_oldpassword(self) -> str:
        return _proven(self.user, self.cleaned_data["oldpassword"])


class SetPasswordForm(Plain, account.SetPasswordForm):
    pass


class ResetPasswordForm(Plain, account.ResetPasswordForm):
    pass


class NewPasswordForm(Plain, account.ResetPasswordKeyForm):
    pass


class ConfirmForm(Plain, account.ReauthenticateForm):
    pass


class SecondFactorForm(Plain, mfa.AuthenticateForm):
    pass


class ConfirmSecondFactorForm(Plain, mfa.ReauthenticateForm):
    pass


class ActivateSecondFactorForm(Plain, totp.ActivateTOTPForm):
    pass


class PreferencesForm(forms.Form):
    """Which tasks somebody wants to be asked about, and whether boards name them."""

    languages = forms.CharField(
        label="Languages you read",
        required=False,
        max_length=400,
        help_text="Tags with commas between them, such as <code>en, de, zh-Hant</code>; "
        "<code>en</code> covers <code>en-GB</code>. Empty: whatever there is.",
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false"}),
    )
    takes_warned = forms.BooleanField(
        label="Ask me about tasks with a content warning too", required=False
    )
    unnamed = forms.BooleanField(label="Show a pseudonym for me on leaderboards", required=False)

    def clean_languages(self) -> list[str]:
        return [tag for tag in re.split(r"[\s,;]+", self.cleaned_data["languages"]) if tag]

    @classmethod
    def of(cls, user: User) -> PreferencesForm:
        said = {name: getattr(user, name) for name in ("takes_warned", "unnamed")}
        return cls(initial={"languages": ", ".join(user.languages), **said})


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
        return _proven(self.user, self.cleaned_data["password"])


def _proven(user: User, password: str) -> str:
    """The password, if it is this person's; a wrong one counts as one at sign-in does."""
    if not get_adapter().reauthenticate(user, password):
        raise forms.ValidationError("That is not your password.")
    return password
