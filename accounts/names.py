"""What a person may call themselves."""

from __future__ import annotations

from django.core.validators import RegexValidator

LONGEST_NAME = 30

username_validators = [
    RegexValidator(
        rf"\A[A-Za-z0-9._-]{{2,{LONGEST_NAME}}}\Z",
        f"A user name has 2 to {LONGEST_NAME} characters: letters a to z, digits, . - and _.",
        code="bad_characters",
    ),
    RegexValidator(
        r"(?i)\Ap-",
        "Names that begin with p- are kept for pseudonyms.",
        code="looks_like_a_pseudonym",
        inverse_match=True,
    ),
]
