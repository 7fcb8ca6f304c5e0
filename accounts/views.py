"""The account page and what a person may do to their own account."""

from __future__ import annotations

from allauth.account import views as allauth
from allauth.account.decorators import reauthentication_required
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from knox.models import AuthToken

from accounts import services
from accounts.caller import person
from accounts.forms import CloseAccountForm, PreferencesForm
from core.errors import Refused


@never_cache
@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return _account(request, PreferencesForm.of(person(request)))


@never_cache
@login_required
@require_POST
def set_preferences(request: HttpRequest) -> HttpResponse:
    form = PreferencesForm(request.POST)
    if form.is_valid():
        try:
            services.set_preferences(user=person(request), **form.cleaned_data)
        except Refused as refused:
            form.add_error("languages", refused.message)
        else:
            messages.success(request, "Your preferences are kept.")
            return redirect("account")
    return _account(request, form)


def _account(request: HttpRequest, preferences: PreferencesForm) -> HttpResponse:
    user = person(request)
    return render(
        request,
        "accounts/account.html",
        {
            "tokens": AuthToken.objects.filter(user=user).order_by("created"),
            "second_factor": Authenticator.objects.filter(
                user=user, type=Authenticator.Type.TOTP
            ).exists(),
            "mail_configured": settings.MAIL_CONFIGURED,
            "preferences": preferences,
        },
    )


@never_cache
@login_required
@reauthentication_required
@require_POST
def create_token(request: HttpRequest) -> HttpResponse:
    """Show the new token on this one page; reloading it asks before it would make another."""
    try:
        token = services.create_token(user=person(request))
    except Refused as refused:
        messages.error(request, refused.message)
        return redirect("account")
    return render(request, "accounts/token.html", {"token": token})


@login_required
@require_POST
def revoke_token(request: HttpRequest, token_key: str) -> HttpResponse:
    if services.revoke_token(user=person(request), token_key=token_key):
        messages.success(request, "The token is revoked: scripts that use it are shut out now.")
    return redirect("account")


@login_required
@require_POST
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    services.end_sessions(user=person(request))
    logout(request)
    messages.success(request, "You are signed out on every device.")
    return redirect("account_login")


@never_cache
@login_required
@require_http_methods(["GET", "POST"])
def close_account(request: HttpRequest) -> HttpResponse:
    user = person(request)
    form = CloseAccountForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        try:
            services.close_account(user=user)
        except Refused as refused:
            form.add_error(None, refused.message)
        else:
            logout(request)
            messages.success(request, "Your account is closed. Thank you for what you gave.")
            return redirect("home")
    return render(request, "accounts/close.html", {"form": form})


def email(request: HttpRequest) -> HttpResponseBase:
    """The person's addresses, where the server can prove them."""
    if settings.MAIL_CONFIGURED:
        return allauth.email(request)
    return redirect("account")


def reset_password(request: HttpRequest) -> HttpResponseBase:
    """A link by mail, or plain words where the server sends none."""
    if settings.MAIL_CONFIGURED:
        return allauth.password_reset(request)
    return render(request, "accounts/no_mail.html")
