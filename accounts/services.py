"""Writes about people and the record of what was done."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models
from django.db.models.functions import Cast
from django.utils import timezone
from knox.models import AuthToken

from accounts import statements
from accounts.languages import canonical
from accounts.models import Event, Role, User, WorkSession
from core.errors import Refused
from core.transactions import durable

MAX_TOKENS = 10
MAX_LANGUAGES = 20
SALT = "salt"  # in an event's data
ERASED = "erased_sha256"


def record_event(
    *,
    actor: User | None,
    verb: str,
    subject: models.Model,
    scope: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Add an Event inside the caller's transaction; `data` must be JSON."""
    add_events([new_event(actor=actor, verb=verb, subject=subject, scope=scope, data=data)])


def add_events(events: Sequence[Event]) -> None:
    """Add Events inside the caller's transaction, where nobody changes them any more."""
    statements.add_events(events)


def new_event(
    *,
    actor: User | None,
    verb: str,
    subject: models.Model,
    scope: str = "",
    data: dict[str, Any] | None = None,
) -> Event:
    """The same, not added yet: several are added with one statement."""
    return Event(
        actor=actor,
        verb=verb,
        object_type=subject._meta.model_name or "",
        object_id=str(subject.pk),
        scope=scope,
        data=data or {},
    )


def salted(**data: str) -> dict[str, str]:
    """What an event says that its person may have erased: see `erase`."""
    return {**data, SALT: secrets.token_hex(16)}


def erase(events: models.QuerySet[Event], *names: str) -> None:
    """Take what these say under `names` out of them, inside the caller's transaction.

    What an event said in all stays as a SHA-256, by which the record is still proven. It leads to
    no word of it by trying, since the salt goes, too.
    """
    for event in events.annotate(text=Cast("data", models.TextField())):
        if any(event.data.get(name) for name in names):
            kept = {n: v for n, v in event.data.items() if n not in (*names, SALT)}
            kept.setdefault(ERASED, hashlib.sha256(event.text.encode()).hexdigest())
            Event.objects.filter(pk=event.pk).update(data=kept)


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
    email: str = "",
    actor: User | None = None,
) -> User:
    """Create a person; without a password nobody can sign in until one is set.

    Refused when the name is taken or breaks the rules for names (accounts/names.py).
    """
    user = User(username=username, email=email)
    _apply_role(user, role)
    user.set_password(password)
    try:
        with durable():
            user.full_clean(exclude=["password"])
            user.save()
            record_event(actor=actor, verb="created", subject=user, data={"role": role})
    except ValidationError as error:
        fields = {name: messages[0] for name, messages in error.message_dict.items()}
        raise Refused("bad_user", next(iter(fields.values())), fields=fields) from error
    except IntegrityError as error:  # somebody took the name between the check and the insert
        raise Refused("name_taken", "That user name is taken.", status=409) from error
    return user


def set_role(*, user: User, role: str, actor: User | None, reason: str = "") -> None:
    """Change what a person may do; Refused when nobody would be left to administer."""
    if role not in Role.values:
        raise Refused("unknown_role", f"The role must be one of {', '.join(Role.values)}.")
    with durable():
        if role != Role.ADMIN:
            _keep_an_admin(user)
        user = _lock_account(user)
        before = user.role
        _apply_role(user, role)
        user.save(update_fields=["role", "is_staff", "is_superuser"])
        record_event(
            actor=actor,
            verb="changed_role",
            subject=user,
            data={"from": before, "to": role, "reason": reason},
        )


def _lock(user: User) -> User:
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _lock_account(user: User) -> User:
    locked = _lock(user)
    if locked.closed_at is not None or locked.imported:
        raise Refused("not_an_account", f"{locked.public_name} has no account.", status=409)
    return locked


def _keep_an_admin(leaving: User) -> None:
    """Refuse that the only admin goes; their rows are locked, so of two at once one stays."""
    admins = User.objects.select_for_update(no_key=True).filter(
        role=Role.ADMIN, is_active=True, banned_at=None
    )
    if {admin.pk for admin in admins.order_by("pk")} == {leaving.pk}:
        raise Refused(
            "last_admin", "This is the only admin: make somebody else one first.", status=409
        )


def new_password(*, user: User, actor: User, reason: str = "") -> str:
    """Give a person a random password and end their sessions; it is returned once, never kept."""
    password = secrets.token_urlsafe(12)
    with durable():
        user = _lock_account(user)
        user.set_password(password)
        user.save(update_fields=["password"])
        record_event(actor=actor, verb="reset_password", subject=user, data={"reason": reason})
    return password


def remove_second_factor(*, user: User, actor: User, reason: str = "") -> None:
    """Let a person in by password alone, for one who lost both phone and recovery codes."""
    with durable():
        user = _lock_account(user)
        if not Authenticator.objects.filter(user=user).delete()[0]:
            raise Refused("no_second_factor", f"{user} has no second factor.", status=409)
        record_event(
            actor=actor, verb="removed_second_factor", subject=user, data={"reason": reason}
        )


def set_preferences(
    *, user: User, languages: Sequence[str], takes_warned: bool, unnamed: bool = False
) -> None:
    """Keep which tasks a person wants to validate, and whether boards name them; no languages:
    whatever there is.
    """
    try:
        tags = list(dict.fromkeys(canonical(tag) for tag in languages))
    except ValueError as error:
        raise Refused("bad_language", str(error), fields={"languages": str(error)}) from error
    if len(tags) > MAX_LANGUAGES:
        too_many = f"Name at most {MAX_LANGUAGES} languages."
        raise Refused("bad_language", too_many, fields={"languages": too_many})
    with durable():
        user = _lock(user)
        user.languages, user.takes_warned, user.unnamed = tags, takes_warned, unnamed
        user.save(update_fields=["languages", "takes_warned", "unnamed"])
        record_event(
            actor=user,
            verb="set_preferences",
            subject=user,
            data={"languages": tags, "takes_warned": takes_warned, "unnamed": unnamed},
        )


def end_sessions(*, user: User) -> None:
    """Sign a person out on every device; tokens for scripts stay."""
    with durable():
        user = _lock(user)
        user.sessions_ended += 1
        user.save(update_fields=["sessions_ended"])
        record_event(actor=user, verb="ended_sessions", subject=user)


def create_token(*, user: User) -> str:
    """Make a token for scripts; only its hash is kept, so this is the one time it can be read."""
    with durable():
        _lock(user)
        if AuthToken.objects.filter(user=user).count() >= MAX_TOKENS:
            raise Refused(
                "too_many_tokens", f"You have {MAX_TOKENS} tokens: revoke one first.", status=409
            )
        token, secret = AuthToken.objects.create(user=user)
        record_event(
            actor=user, verb="created_token", subject=user, data={"token": token.token_key}
        )
    return str(secret)


def revoke_token(*, user: User, token_key: str) -> bool:
    """Make a person's token useless; False when they have none that begins like this."""
    with durable():
        deleted, _ = AuthToken.objects.filter(user=user, token_key=token_key).delete()
        if deleted:
            record_event(actor=user, verb="revoked_token", subject=user, data={"token": token_key})
    return bool(deleted)


def guest_session(session_id: uuid.UUID) -> WorkSession:
    """The visit of somebody without an account, begun with its first use; it counts nowhere."""
    session, _ = WorkSession.objects.get_or_create(
        id=session_id, defaults={"kind": WorkSession.Kind.GUEST}
    )
    return session


def close_account(*, user: User) -> None:
    """Forget who this person is; their examples and votes stay under the pseudonym."""
    with durable():
        _keep_an_admin(user)
        user = _lock_account(user)
        _apply_role(user, Role.ANNOTATOR)
        user.username = user.pseudonym
        user.email = user.first_name = user.last_name = ""
        user.languages, user.takes_warned = [], True
        user.is_active = False
        user.closed_at = timezone.now()
        user.set_unusable_password()
        user.save()
        EmailAddress.objects.filter(user=user).delete()
        Authenticator.objects.filter(user=user).delete()
        AuthToken.objects.filter(user=user).delete()
        record_event(actor=None, verb="closed_account", subject=user)
