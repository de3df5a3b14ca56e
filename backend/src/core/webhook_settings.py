"""The settings of webhooks: where the service tells of the ends of runs, and which addresses a run may name itself."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from core.secret_values import SeveralSecrets
from core.settings_section import SettingsSection

EventType = Literal["run.succeeded", "run.failed", "run.cancelled", "run.interrupted"]
EVENT_TYPES: tuple[EventType, ...] = ("run.succeeded", "run.failed", "run.cancelled", "run.interrupted")

PREFIX = "whsec_"
COMMAND = "echo whsec_$(openssl rand -base64 32)"
"""Makes a secret."""
_LEAST_BYTES, _MOST_BYTES = 24, 64
"""Standard Webhooks 1.0: of a symmetric secret."""
MAX_SECRETS = 4
MAX_URL_CHARACTERS = 2048


def decoded_secret(secret: str) -> bytes:
    """Return the bytes of a secret of the form ``whsec_...``.

    Raises:
        ValueError: It is something else. The text does not repeat it.
    """
    if not secret.startswith(PREFIX):
        raise ValueError(f"does not begin with {PREFIX}; `{COMMAND}` makes one")
    try:
        data = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not Base64 behind {PREFIX}; `{COMMAND}` makes a secret") from None
    if not _LEAST_BYTES <= len(data) <= _MOST_BYTES:
        raise ValueError(f"has {len(data)} bytes, not {_LEAST_BYTES} to {_MOST_BYTES}")
    return data


def _joined(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _checked_secrets(value: SecretStr) -> SeveralSecrets:
    secrets = SeveralSecrets(value.get_secret_value())
    if not 1 <= len(secrets.each) <= MAX_SECRETS:
        raise ValueError(f"has no secret, or more than {MAX_SECRETS}; `{COMMAND}` makes one")
    for secret in secrets.each:
        decoded_secret(secret)
    return secrets


def _checked_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value().strip()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError("must begin with http:// or https://, name a host, and have no user name")
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"has more than {MAX_URL_CHARACTERS} characters, or some that are not plain ASCII")
    return SecretStr(url)


WebhookSecrets = Annotated[SecretStr, BeforeValidator(_joined), AfterValidator(_checked_secrets)]


class WebhookEndpoint(SettingsSection):
    """One receiver of the deployment."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    """Names the endpoint for good: its backlog and its state belong to the name."""
    url: Annotated[SecretStr, AfterValidator(_checked_url)]
    """Many receivers have a secret in their address, so it is treated as one."""
    secrets: WebhookSecrets
    """``whsec_...``; several during a rotation, as a list or with spaces between them. Every message has a signature of each."""
    events: tuple[EventType, ...] = Field(default=EVENT_TYPES, min_length=1)
    approval_links: bool = True
    """``run.interrupted`` brings links with which whoever has the message can answer."""

    @property
    def host(self) -> str:
        """Host and port, for operators; the rest of the address may be a secret."""
        return urlsplit(self.url.get_secret_value()).netloc

    @property
    def signing_secrets(self) -> tuple[str, ...]:
        """The secrets, in their order."""
        return SeveralSecrets(self.secrets.get_secret_value()).each


class WebhookSettings(SettingsSection):
    """Webhooks: the ends of runs are told to HTTP endpoints (Standard Webhooks 1.0)."""

    endpoints: tuple[WebhookEndpoint, ...] = ()
    """JSON: ``[{"name": "crm", "url": "https://...", "secrets": "whsec_..."}]``. The same in all workers."""
    run_hosts: tuple[str, ...] = ()
    """Hosts of the endpoints that a run may name (headers ``Webhook-Url`` and ``Webhook-Secret``). Empty: none may."""
    private_hosts: tuple[str, ...] = ()
    """``host`` or ``host:port`` of ``run_hosts`` whose address need not be public, and that may be asked over plain http."""
    timeout_seconds: float = Field(default=20.0, ge=1, le=30)
    """Of one try, from the look-up of the name to the status of the answer."""
    retention_days: int = Field(default=7, ge=4, le=90)
    """How long messages are kept: delivered ones for a replay, others until their endpoint works again. Ten tries take 3.5 days."""

    @property
    def is_on(self) -> bool:
        """Whether anybody is told of anything."""
        return bool(self.endpoints or self.run_hosts)

    @model_validator(mode="after")
    def _names_are_unique(self) -> WebhookSettings:
        names = [endpoint.name for endpoint in self.endpoints]
        if len(names) != len(set(names)):
            raise ValueError("AGENT_WEBHOOKS__ENDPOINTS: two endpoints have the same name")
        for variable, entries in (("RUN_HOSTS", self.run_hosts), ("PRIVATE_HOSTS", self.private_hosts)):
            _check_hosts(variable, entries)
        return self


def _check_hosts(variable: str, entries: Iterable[str]) -> None:
    for entry in entries:
        try:
            parts = urlsplit(f"//{entry.strip()}")
            fine = bool(parts.hostname) and parts.netloc == entry.strip() and parts.username is None
            _ = parts.port
        except ValueError:
            fine = False
        if not fine or "*" in entry:
            raise ValueError(f"AGENT_WEBHOOKS__{variable}: {entry!r} is not a host or host:port")
