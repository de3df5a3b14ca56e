"""Which requests a server without authentication accepts, and which pages are pages of this machine.

A page of any website can send requests to 127.0.0.1, and with DNS rebinding the page can read the answers under its own
host name. So in local mode the names in ``Host`` and ``Origin`` must be loopback names, or those of configured origins.

Both headers are matched as a whole. A general URL parser would find ``127.0.0.1`` in ``evil.example@127.0.0.1``, and
drop a line break or a tab inside a name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from core.errors import ConfigurationError, Forbidden
from core.origins import OF_ANYBODY, Origins

_FOREIGN = (
    "Without authentication the server accepts requests from this machine only, but the {header} header names another machine. "
    "Add its origin to AGENT_SERVER__CORS_ORIGINS, or use AGENT_IDENTITY__MODE=jwt."
)
_ANYBODY = (
    "AGENT_SERVER__CORS_ORIGINS contains {origin}, which stands for pages of anybody, and AGENT_IDENTITY__MODE=local does "
    "not authenticate: name the origins of your pages, or use AGENT_IDENTITY__MODE=jwt."
)

# RFC 9110, section 7.2: uri-host [ ":" port ]. No userinfo, no path.
_AUTHORITY = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"
_HOST = re.compile(_AUTHORITY)
# RFC 6454, section 6.2: what a browser sends.
_ORIGIN = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://{_AUTHORITY}")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means only this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_origin(origin: str) -> bool:
    """Return whether an ``Origin`` is that of a page which a server on this machine delivered, on any port."""
    return is_loopback(_named(_ORIGIN, origin))


def refuse_origins_of_anybody(origins: Iterable[str]) -> None:
    """Check the configured origins of a server that does not authenticate.

    Raises:
        ConfigurationError: An entry allows pages of anybody.
    """
    for origin in origins:
        if origin in OF_ANYBODY:
            raise ConfigurationError(_ANYBODY.format(origin=f'"{origin}"'))


class LoopbackGuard:
    """Refuses requests that a foreign web page sends through the user's browser."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = Origins(origins)

    def check(self, headers: Mapping[str, str]) -> None:
        """Check one request.

        Raises:
            Forbidden: ``Host`` or ``Origin`` names another machine.
        """
        host = _named(_HOST, headers.get("host", ""))
        if not is_loopback(host) and host not in self._origins.hosts:
            raise Forbidden(_FOREIGN.format(header="Host"))
        origin = headers.get("origin")
        if origin is not None and not self._origins.allow(origin) and not is_loopback_origin(origin):
            raise Forbidden(_FOREIGN.format(header="Origin"))


def _named(form: re.Pattern[str], text: str) -> str:
    """Return the host that a header names, in lower case; empty if the header has another form."""
    match = form.fullmatch(text)
    return "" if match is None else match["host"].strip("[]").lower()
