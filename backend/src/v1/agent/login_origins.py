"""Where a browser may go at the end of a login: to pages of applications that may call this service, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self
from urllib.parse import urlsplit

from core.config import Settings
from core.loopback import is_loopback_origin
from core.origins import Origins


class LoginOrigins:
    """The allowed origins.

    Args:
        origins: Those of ``AGENT_SERVER__CORS_ORIGINS``. ``*`` and ``null`` allow nothing here: an address that may lead
            anywhere is a gift for phishing.
        loopback: Whether pages of this machine are allowed, too.
    """

    def __init__(self, origins: Iterable[str], *, loopback: bool) -> None:
        self._origins = Origins(origins)
        self._loopback = loopback

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the origins that may call the service."""
        server = settings.server
        return cls(server.cors_origins, loopback=server.cors_loopback or settings.identity.mode == "local")

    def allows(self, url: str) -> bool:
        """Return whether a browser may be sent to an address."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        return self._origins.allow(origin) or (self._loopback and is_loopback_origin(origin))
