"""The addresses of this service that a login needs, as browsers and authorization servers reach them."""

from __future__ import annotations

from typing import Self
from urllib.parse import quote, urlsplit

from core.config import Settings
from core.connections.oauth.login_store import LoginStore
from core.connections.oauth.server import OAuthServer
from core.errors import ConfigurationError
from core.identity import Principal

LOGIN_PATH = "/api/v1/agent/connections/login"
CALLBACK_PATH = "/api/v1/agent/connections/callback"
NO_PUBLIC_URL = (
    "AGENT_SERVER__PUBLIC_URL is not set: set it to the address at which browsers reach this service, such as "
    "https://agents.example.com"
)


class LoginLinks:
    """Builds the addresses.

    Args:
        public_url: Where browsers reach this service, without a path of its own routes.
        lasts_seconds: How long a link is good.
    """

    def __init__(self, public_url: str, *, lasts_seconds: float) -> None:
        self._base = public_url.rstrip("/")
        self._lasts_seconds = lasts_seconds

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the links of these settings: good for as long as the interrupts that show them.

        Raises:
            ConfigurationError: There is no public address.
        """
        if not settings.server.public_url:
            raise ConfigurationError(NO_PUBLIC_URL)
        return cls(settings.server.public_url, lasts_seconds=settings.limits.interrupt_seconds)

    @property
    def is_https(self) -> bool:
        """Whether browsers reach this service over TLS."""
        return self._base.startswith("https://")

    @property
    def client_name(self) -> str:
        """What users see at the authorization server."""
        return f"AgentRoute at {urlsplit(self._base).hostname}"

    def page(self, link: str) -> str:
        """Return the address of a login's page."""
        return f"{self._base}{LOGIN_PATH}/{quote(link, safe='')}"

    def callback(self, server: str) -> str:
        """Return where browsers come back to: an address for each server, see ``login.py``."""
        return f"{self._base}{CALLBACK_PATH}/{quote(server, safe='')}"

    async def begin(
        self,
        logins: LoginStore,
        principal: Principal,
        server: OAuthServer,
        *,
        return_url: str | None = None,
    ) -> str:
        """Begin a login; returns the address that the user opens."""
        link = await logins.begin(
            principal,
            server.name,
            server.resource,
            return_url=return_url,
            lasts_seconds=self._lasts_seconds,
        )
        return self.page(link)
