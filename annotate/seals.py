"""Keys of other people's servers: sealed where they are stored, opened where they are used.

Sealed with the server's secret key: whoever reads the database, or a backup without that key, has
none of them. What was sealed with one of the keys before it is opened, too.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
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
            "The model's key was sealed with another secret key of this server: name that in "
            "DADC_SECRET_KEYS_BEFORE, or register the model again, with its key."
        ) from error


def _box() -> MultiFernet:
    """Seals with the first key, opens with any."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    digests = [hashlib.sha256(b"keys of models\0" + one.encode()).digest() for one in secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(one)) for one in digests])
