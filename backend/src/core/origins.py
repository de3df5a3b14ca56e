"""Origins of web pages: how an operator writes them, and which of those that browsers send are meant.

A browser sends ``scheme://host`` or ``scheme://host:port``: lower case, no path, no port that is the scheme's own. What
is written in another way would match nothing, so it is corrected where its meaning is clear, and refused otherwise.

Source: RFC 6454, section 6.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

OF_ANYBODY = frozenset({"*", "null"})
"""``null`` is the origin of every sandboxed frame and every local file."""

_OWN_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(
    r"(?P<page>(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}|\*))?"
)
_FORM = 'write "scheme://host" or "scheme://host:port"'


def read_origin(text: str) -> str:
    """Return an origin of the settings as browsers send it; ``*`` as its port stands for every port.

    Raises:
        ValueError: It matches nothing that a browser sends. The message says how to write it.
    """
    origin = text.strip().lower().removesuffix("/")
    if origin in OF_ANYBODY:
        return origin
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError(f'"{text}" is no origin: {_advice(origin)}')
    port = match["port"]
    if port and port != "*" and not 0 < int(port) < 1 << 16:
        raise ValueError(f'"{text}" is no origin: a port is a number from 1 to 65535, or * for every port')
    if port is None or port == _OWN_PORTS.get(match["scheme"]):
        return match["page"]
    return origin


def _advice(origin: str) -> str:
    if not origin.isascii():
        return "browsers send a host name with other letters as punycode (xn--...)"
    if re.search(r"[\s,;]", origin):
        return "each origin is an entry of its own in the list"
    if "://" not in origin:
        return f'{_FORM}, for example "https://{origin.split("/")[0] or "app.example.com"}"'
    scheme, _, rest = origin.partition("://")
    if "@" in rest:
        return f"it names no user; {_FORM}"
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "*" in authority.rpartition(":")[0] or authority.startswith("*"):
        return 'a wildcard stands for a port ("http://localhost:*"), not for a host: name each host'
    if authority != rest and _ORIGIN.fullmatch(f"{scheme}://{authority}"):
        return f'it has no path: write "{scheme}://{authority}"'
    return _FORM


class Origins:
    """The origins that settings allow. ``*`` and ``null`` are in no set: what they mean is for others to say.

    Args:
        origins: As :func:`read_origin` returns them.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._exact = frozenset(origins) - OF_ANYBODY
        matches = [match for origin in self._exact if (match := _ORIGIN.fullmatch(origin)) is not None]
        self._on_any_port = frozenset(match["page"] for match in matches if match["port"] == "*")
        self.hosts: frozenset[str] = frozenset(match["host"].strip("[]") for match in matches)
        """The names of their hosts."""

    def allow(self, origin: str) -> bool:
        """Return whether an ``Origin`` header is one of them."""
        if "*" in origin:
            return False
        origin = origin.lower()
        if origin in self._exact:
            return True
        match = _ORIGIN.fullmatch(origin) if self._on_any_port else None
        return match is not None and match["page"] in self._on_any_port
