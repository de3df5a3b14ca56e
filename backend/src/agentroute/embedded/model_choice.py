"""The model that a user has chosen on the page, kept in the data directory.

The file is for the user of this process only (0600), and the key in it is encrypted with the instance's own key or with
``AGENT_SECRETS__KEY``. Whoever can read the whole data directory of an instance with a key of its own can read both.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agentroute.embedded.private_file import write_private
from core.config import SecretSettings
from core.errors import ConfigurationError
from core.secret_values import check_encryption_keys

_PURPOSE = "model key"


@dataclass(frozen=True)
class ModelChoice:
    """An OpenAI-compatible endpoint, and a model of it."""

    base_url: str
    name: str
    api_key: SecretStr
    """Empty for an endpoint that wants none."""


class ChoiceUnreadable(Exception):
    """The kept choice cannot be used. The message says why, without any part of the key."""


class ChoiceFile:
    """Keeps a choice in a file.

    Args:
        path: The file.
        secret_key: Of ``AGENT_SECRETS__KEY``; encrypts the model's key.
    """

    def __init__(self, path: Path, secret_key: str) -> None:
        self.path = path
        self._secrets = SecretSettings(key=check_encryption_keys(SecretStr(secret_key)))

    def load(self) -> ModelChoice | None:
        """Return the kept choice; None if there is none.

        Raises:
            ChoiceUnreadable: There is one, and it cannot be used.
        """
        try:
            document: Any = json.loads(self.path.read_text(encoding="utf-8"))
            base_url, name = str(document["base_url"]), str(document["name"])
            return ModelChoice(base_url, name, SecretStr(self._opened(document["api_key"], base_url)))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ChoiceUnreadable(f"it cannot be read ({exc.strerror})") from exc
        except (ValueError, KeyError, TypeError):
            raise ChoiceUnreadable("it is damaged") from None

    def save(self, choice: ModelChoice) -> None:
        """Keep a choice in place of the one before.

        Raises:
            OSError: The file cannot be written. The one before is untouched.
        """
        document = {
            "base_url": choice.base_url,
            "name": choice.name,
            "api_key": self._sealed(choice.api_key.get_secret_value(), choice.base_url),
        }
        write_private(self.path, json.dumps(document))

    def remove(self) -> None:
        """Forget the choice, if there is one.

        Raises:
            OSError: The file cannot be removed.
        """
        self.path.unlink(missing_ok=True)

    def _sealed(self, key: str, base_url: str) -> str:
        # Here, as below: most starts have no choice, and the import costs 50 ms.
        from core.connections.vault import Vault

        return base64.b64encode(Vault.of(self._secrets).seal(key, _PURPOSE, base_url)).decode() if key else ""

    def _opened(self, sealed: str, base_url: str) -> str:
        if not sealed:
            return ""
        from core.connections.vault import CannotOpen, Vault

        try:
            # Bound to the address: an edited file does not send the key to another one.
            return Vault.of(self._secrets).open(base64.b64decode(sealed), _PURPOSE, base_url)
        except (CannotOpen, ConfigurationError):
            raise ChoiceUnreadable(
                "its key was encrypted with another AGENT_SECRETS__KEY, or for another address"
            ) from None
