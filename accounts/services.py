"""Writes about people and the record of what was done."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.utils import timezone

from accounts.models import Event, Role, User, WorkSession
from accounts.transactions import durable


def record_event(
    *,
    actor: User | None,
    verb: str,
    subject: models.Model,
    scope: str = "",
    data: dict[str, Any] | None = None,
) -> Event:
    """Add an Event inside the caller's transaction; `data` must be JSON."""
    return Event.objects.create(
        actor=actor,
        verb=verb,
        object_type=subject._meta.model_name or "",
        object_id=str(subject.pk),
        scope=scope,
        data=data or {},
    )


def _apply_role(user: User, role: str) -> None:
    user.role = role
    # Owners curate in the admin site, where permission is part of each query.
    user.is_staff = role in (Role.OWNER, Role.ADMIN)
    user.is_superuser = role == Role.ADMIN


def create_user(
    *,
    username: str,
    role: str = Role.ANNOTATOR,
    password: str | None = None,
    actor: User | None = None,
) -> User:
    """Create a person; without a password nobody can sign in until one is set."""
    with durable():
        user = User(username=username)
        _apply_role(user, role)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save()
        record_event(actor=actor, verb="created", subject=user, data={"role": role})
    return user


def set_role(*, user: User, role: str, actor: User | None) -> None:
    """Change what a person may do."""
    with durable():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        before = user.role
        _apply_role(user, role)
        user.save(update_fields=["role", "is_staff", "is_superuser"])
        record_event(
            actor=actor, verb="changed_role", subject=user, data={"from": before, "to": role}
        )


def guest_session(session_id: uuid.UUID) -> WorkSession:
    """The visit of somebody without an account, begun with its first use; it counts nowhere."""
    session, _ = WorkSession.objects.get_or_create(
        id=session_id, defaults={"kind": WorkSession.Kind.GUEST}
    )
    return session


def close_account(*, user: User) -> None:
    """Forget who this person is; their examples and votes stay under the pseudonym."""
    from allauth.account.models import EmailAddress
    from allauth.mfa.models import Authenticator
    from knox.models import AuthToken

    with durable():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        user.username = user.pseudonym
        user.email = user.first_name = user.last_name = ""
        user.is_active = user.is_staff = user.is_superuser = False
        user.role = Role.ANNOTATOR
        user.closed_at = timezone.now()
        user.set_unusable_password()
        user.save()
        EmailAddress.objects.filter(user=user).delete()
        Authenticator.objects.filter(user=user).delete()
        AuthToken.objects.filter(user=user).delete()
        record_event(actor=None, verb="closed_account", subject=user)
