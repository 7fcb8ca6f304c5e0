"""Make an account from the command line, for the first admin and for scripts."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services
from accounts.models import Role
from core.errors import Refused


class Command(BaseCommand):
    help = "Create a person and print their account as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", metavar="NAME")
        parser.add_argument("--role", choices=Role.values, default=Role.ANNOTATOR.value)
        parser.add_argument("--password", help="made up and printed when it is left out")
        parser.add_argument("--token", action="store_true", help="also make a token for scripts")

    def handle(
        self, *_: Any, username: str, role: str, password: str | None, token: bool, **__: Any
    ) -> None:
        account = {"username": username, "role": role}
        if password is None:
            password = account["password"] = secrets.token_urlsafe(12)
        try:
            user = services.create_user(username=username, role=role, password=password)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        if token:
            account["token"] = services.create_token(user=user)
        self.stdout.write(json.dumps(account))
