"""Which requests a server without authentication accepts.

A page of any website can send requests to 127.0.0.1, and with DNS rebinding the page can read the answers under its own
host name. So in local mode the names in ``Host`` and ``Origin`` must be loopback names, or the names of configured
origins.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from core.errors import Forbidden

_FOREIGN = (
    "Without authentication the server accepts requests from this machine only, but the {header} header names another machine. "
    "Add its origin to AGENT_SERVER__CORS_ORIGINS, or use AGENT_IDENTITY__MODE=jwt."
)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means only this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class LoopbackGuard:
    """Refuses requests that a foreign web page sends through the user's browser."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._allowed = {_host_of(origin) for origin in origins}

    def check(self, headers: Mapping[str, str]) -> None:
        """Check one request.

        Raises:
            Forbidden: ``Host`` or ``Origin`` names another machine.
        """
        self._check_name("Host", "//" + headers.get("host", ""))
        if "origin" in headers:
            self._check_name("Origin", headers["origin"])

    def _check_name(self, header: str, url: str) -> None:
        host = _host_of(url)
        if not is_loopback(host) and host not in self._allowed:
            raise Forbidden(_FOREIGN.format(header=header))


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
