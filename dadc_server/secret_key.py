"""The key that signs sessions and links: made at first start, kept in a file; imports no Django."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


class EmptyKey(ValueError):
    """The file has no key in it; the message says what to do."""


def kept_in(path: Path) -> str:
    """The key in this file, which only its owner may read; a new one where there is none.

    Of processes that start together one makes the key and all use it: the file appears with the key
    in it, or another one would read it in between.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(64))
            _publish(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    key = path.read_text().strip()
    if not key:
        raise EmptyKey(f"{path} is empty: delete it and start again, or set DADC_SECRET_KEY.")
    return key


def _publish(draft: Path, path: Path) -> None:
    """Let the draft be the file, unless somebody else's is."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        draft.replace(path)
