"""Sign-in and the account page, below /accounts/."""

from django.urls import include, path

from accounts import views

urlpatterns = [
    path("me/", views.account, name="account"),
    path("me/preferences/", views.set_preferences, name="set_preferences"),
    path("me/tokens/", views.create_token, name="create_token"),
    path("me/tokens/<str:token_key>/revoke/", views.revoke_token, name="revoke_token"),
    path("me/sign-out-everywhere/", views.sign_out_everywhere, name="sign_out_everywhere"),
    path("me/close/", views.close_account, name="close_account"),
    # Before allauth's pages of the same address: without mail these have nothing to offer.
    path("email/", views.email),
    path("password/reset/", views.reset_password),
    path("", include("allauth.urls")),
]
