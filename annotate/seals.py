"""Keys of other people's servers: sealed where they are stored, opened where they are used.

Sealed with the server's secret key: whoever reads the database, or a backup without that key, has
none of them.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from ml.artifacts import ArtifactError


def seal(text: str) -> str:
    return _box().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """What was sealed; ArtifactError when that was done with another secret key."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise ArtifactError(
            "The model's key was sealed with another secret key of this server: register the "
            "model again, with its key."
        ) from error


def _box() -> Fernet:
    digest = hashlib.sha256(b"keys of models\0" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
