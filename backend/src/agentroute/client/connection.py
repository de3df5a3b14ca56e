"""How both clients speak HTTP: address, timeouts, the arguments of a request."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from agentroute.client.attempts import Patience
from agentroute.client.auth import AsyncToken, BearerAuth
from agentroute.client.calls import Call
from agentroute.client.following import SILENCE_SECONDS, Following

API_PATH = "/api/v1/agent"
URL_VARIABLE = "AGENTROUTE_URL"
DEFAULT_URL = "http://127.0.0.1:8000"
_CONNECT_SECONDS = 10.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Connection:
    """What every request of a client has in common."""

    address: str
    """Of the service, as its user knows it."""
    auth: BearerAuth
    timeout_seconds: float
    patience: Patience

    @classmethod
    def to(
        cls, url: str | None, token: AsyncToken | None, timeout_seconds: float, patience: Patience
    ) -> Connection:
        """Return the connection to an address.

        Args:
            url: With or without ``/api/v1/agent``. ``AGENTROUTE_URL`` if absent, otherwise this machine.
            token: Of the user.
            timeout_seconds: For an answer.
            patience: For retries.

        Raises:
            ValueError: The URL is no address of a server.
        """
        url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"{url!r} is no address: write one like http://127.0.0.1:8000")
        return cls(url.rstrip("/").removesuffix(API_PATH), BearerAuth(token), timeout_seconds, patience)

    def options(self) -> dict[str, Any]:
        """Return the arguments of an ``httpx`` client."""
        host = urlsplit(self.address).hostname
        return {
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
            # A proxy of the environment does not reach this machine.
            "trust_env": host not in _LOOPBACK,
        }

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """Return the arguments of ``httpx`` for a call."""
        sent: dict[str, Any] = {
            "method": call.method,
            "url": self.address + API_PATH + call.path,
            "headers": {"Accept": "application/json", **call.headers},
            "params": dict(call.query),
            "auth": self.auth,
            "timeout": self._timeout(call.timeout_seconds or self.timeout_seconds),
        }
        if call.json is not None:
            sent["json"] = call.json
        if call.file is not None:
            sent["files"] = {"file": call.file}
            sent["data"] = dict(call.form or {})
        return sent

    def stream(self, following: Following) -> dict[str, Any]:
        """Return the arguments of ``httpx`` for the next request of a stream."""
        return {
            "method": "GET",
            "url": f"{self.address}{API_PATH}/events",
            "headers": following.headers(),
            "params": following.query(),
            "auth": self.auth,
            "timeout": self._timeout(max(self.timeout_seconds, SILENCE_SECONDS)),
        }

    def _timeout(self, seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
