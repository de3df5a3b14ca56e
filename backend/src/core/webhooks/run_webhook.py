"""The endpoint that one run has named: what of it is allowed, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from core.connections.vault import NO_KEY, Vault
from core.errors import ConfigurationError, InvalidRequest, UrlNotAllowed
from core.identity import Principal
from core.webhook_settings import MAX_URL_CHARACTERS, WebhookSettings, decoded_secret

PURPOSE = "run-webhook"
URL_HEADER, SECRET_HEADER = "Webhook-Url", "Webhook-Secret"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RunWebhook:
    """Where the end of a run is told, and with which secret the message is signed."""

    host: str
    """As the settings name it: it is the lane of the messages, too."""
    url: str = field(repr=False)
    secret: str = field(repr=False)

    def sealed(self, vault: Vault, principal: Principal) -> bytes:
        """Return address and secret, encrypted for this user and host."""
        value = orjson.dumps({"url": self.url, "secret": self.secret}).decode()
        return vault.seal(value, PURPOSE, principal.tenant_id, principal.user_id, self.host)


def open_sealed(vault: Vault, sealed: bytes, tenant_id: str, user_id: str, host: str) -> tuple[str, str]:
    """Return address and secret of a stored endpoint.

    Raises:
        CannotOpen: The key is gone, or the row was changed.
    """
    value: Mapping[str, str] = orjson.loads(vault.open(sealed, PURPOSE, tenant_id, user_id, host))
    return value["url"], value["secret"]


class RunWebhookPolicy:
    """What runs may name.

    Args:
        settings: The hosts.
        vault: Seals the secrets.

    Raises:
        ConfigurationError: Runs may name endpoints, and there is no key for their secrets.
    """

    def __init__(self, settings: WebhookSettings, vault: Vault) -> None:
        if settings.run_hosts and not vault.is_on:
            raise ConfigurationError(NO_KEY)
        self.vault: Vault = vault
        self._hosts = {_canonical(entry): entry.strip().lower() for entry in settings.run_hosts}
        self._private = {_canonical(entry) for entry in settings.private_hosts}

    def read(self, url: str | None, secret: str | None) -> RunWebhook | None:
        """Return the endpoint that the headers of a request name; ``None`` if they name none.

        Raises:
            UrlNotAllowed: This deployment does not allow it.
            InvalidRequest: A header is missing, or is not what it should be.
        """
        if url is None and secret is None:
            return None
        if not self._hosts:
            raise UrlNotAllowed("Runs of this deployment name no webhook. Leave the header out.")
        if url is None or secret is None:
            raise InvalidRequest(f"{URL_HEADER} and {SECRET_HEADER} belong together: send both.")
        host = self._host(url.strip())
        try:
            decoded_secret(secret.strip())
        except ValueError as exc:
            raise InvalidRequest(f"{SECRET_HEADER} {exc}.") from None
        return RunWebhook(host, url.strip(), secret.strip())

    def _host(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError:
            raise InvalidRequest(f"{URL_HEADER} is no address.") from None
        host = (parts.hostname or "").rstrip(".").lower()
        if not host or parts.username is not None or parts.scheme not in _DEFAULT_PORTS:
            raise InvalidRequest(
                f"{URL_HEADER} must begin with https://, name a host, and have no user name."
            )
        if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
            raise InvalidRequest(f"{URL_HEADER} is longer than {MAX_URL_CHARACTERS}, or not plain ASCII.")
        for place in ((host, port), (host, None)):
            if place in self._hosts and (place[1] is not None or port == _DEFAULT_PORTS[parts.scheme]):
                if parts.scheme == "http" and not {(host, port), (host, None)} & self._private:
                    raise UrlNotAllowed(f"{URL_HEADER} must begin with https://.")
                return self._hosts[place]
        raise UrlNotAllowed(f"{URL_HEADER} names a host that this deployment does not allow.")


def _canonical(entry: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{entry.strip().lower()}")
    return (parts.hostname or "").rstrip("."), parts.port
