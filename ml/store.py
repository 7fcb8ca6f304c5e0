"""Where files of models are that several machines use and no folder of theirs has: S3, or whatever
else fsspec knows.

A folder of this machine stands in front of it. Files are named by their hashes and never change, so
that what is in the folder is right, and what is not is fetched once. Imports no Django.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from ml.files import written_whole

logger = logging.getLogger(__name__)

# By itself it would try for three minutes.
PATIENCE: Final = {"connect_timeout": "5s", "timeout": "120s"}
TRIES: Final = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}

_behind: dict[Path, tuple[Any, str]] = {}


class StoreError(RuntimeError):
    """The store cannot be had, in a sentence for the operator."""


def put_behind(folder: Path, address: str) -> None:
    """Let the folder's files be those of this address, `s3://bucket/prefix`, from now on."""
    try:
        import fsspec

        how: dict[str, Any] = {}
        if address.startswith("s3://"):
            from obstore.fsspec import register

            register("s3")
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"
            options = {**PATIENCE, "allow_http": plain}
            how = {"client_options": options, "retry_config": TRIES}
        system, home = fsspec.core.url_to_fs(address, **how)
    except ImportError as error:
        raise StoreError(
            f"{address} takes a package that this server has not ({error.name}): start it with "
            "`bin/serve --with s3`."
        ) from error
    except ValueError as error:
        raise StoreError(f"{address} is no address of a store: {error}") from error
    _behind[folder] = system, home.rstrip("/")


def take_away(folder: Path) -> None:
    """Let the folder be all that there is."""
    _behind.pop(folder, None)


def put(path: Path) -> None:
    """Give the store a file of the folder, if it has it not."""
    if behind := _behind.get(path.parent):
        system, home = behind
        with _told(home):
            if not system.exists(f"{home}/{path.name}"):
                system.put_file(str(path), f"{home}/{path.name}")


def fetch(path: Path) -> bool:
    """Whether the file is in the folder, now that it was fetched if it was not."""
    if path.exists():
        return True
    behind = _behind.get(path.parent)
    if behind is None:
        return False
    system, home = behind
    with _told(home):
        try:
            data = system.cat_file(f"{home}/{path.name}")
        except FileNotFoundError:
            return False
    with written_whole(path) as out:
        out.write(data)
    return True


def has(path: Path) -> bool:
    """Whether the file is in the folder or could be fetched; False where nobody can tell."""
    if path.exists():
        return True
    behind = _behind.get(path.parent)
    if behind is None:
        return False
    system, home = behind
    try:
        with _told(home):
            return bool(system.exists(f"{home}/{path.name}"))
    except StoreError:
        logger.warning("whether there is %s cannot be told", path.name, exc_info=True)
        return False


def drop(path: Path) -> None:
    """Take a file away from the store and from the folder."""
    path.unlink(missing_ok=True)
    if behind := _behind.get(path.parent):
        system, home = behind
        with _told(home):
            if system.exists(f"{home}/{path.name}"):
                system.rm_file(f"{home}/{path.name}")


@contextmanager
def _told(home: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # of a dozen classes
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"The store of files {home} does not answer: {why}") from error
