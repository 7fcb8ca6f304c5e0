"""People whom this server knows from an imported log only."""

from __future__ import annotations

from django.db.models import Q

from accounts.models import User, who_looks_like
from accounts.services import record_event
from core.errors import Refused
from core.looks import name_seen_as

MAX_NAME = 150


def known_from_a_log(name: str) -> User | None:
    """The person whom logs call `name`, None when they are new.

    Refused when the name belongs to somebody with an account here: a log cannot speak for them.
    """
    found = User.objects.filter(Q(pseudonym=name) | Q(username__iexact=name))
    for person in found.order_by("-imported"):
        if not person.imported:
            raise Refused(
                "real_person", f"{name} is somebody with an account here: rename them in the log."
            )
        if person.pseudonym == name:
            return person
    if alike := who_looks_like(name):
        raise Refused(
            "real_person",
            f"{name} looks like {alike.public_name}, who has an account here: rename them in the "
            "log.",
        )
    return None


def person_of_a_log(name: str) -> User:
    """The same person, made when new; in the caller's transaction. Nobody can sign in as them."""
    if not name_seen_as(name):
        raise Refused("bad_line", f"{name} has nothing to see: give the person a name.")
    if person := known_from_a_log(name):
        return person
    person = User(username=name, pseudonym=name, imported=True, is_active=False)
    person.set_unusable_password()
    person.save(force_insert=True)
    record_event(actor=None, verb="imported", subject=person)
    return person
