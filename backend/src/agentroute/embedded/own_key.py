"""The encryption key of an instance that nobody gave one: made at the first start, kept beside the data."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from pydantic import SecretStr

from agentroute.embedded.local_server import LocalServerError
from agentroute.embedded.private_file import write_private
from core.secret_values import check_encryption_keys


def own_key(path: Path) -> str:
    """Return the key in a file, which is made if it is absent. Only the user of this process may read it.

    Raises:
        LocalServerError: The file cannot be read or written, or holds no key.
    """
    try:
        try:
            key = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            key = base64.b64encode(os.urandom(32)).decode()
            write_private(path, f"{key}\n")
        if not key:
            raise ValueError("it is empty")
        check_encryption_keys(SecretStr(key))
    except OSError as exc:
        raise LocalServerError(f"{path} cannot be used: {exc.strerror}. Set AGENT_SECRETS__KEY") from exc
    except ValueError as exc:
        why = "is not text" if isinstance(exc, UnicodeError) else str(exc)
        raise LocalServerError(
            f"{path}: {why}. Put the key back, or remove the file: users connect to their servers anew then"
        ) from None
    return key
