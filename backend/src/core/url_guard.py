"""Decides whether a URL may be fetched, and to which addresses the connection must go.

Against server-side request forgery: a URL written by a model, a user or a web page must not reach
what only this machine can reach. The rules, in this order:

1. http or https, no user information, port 80 or 443.
2. A host that reads like a number but is not a plain IPv4 address is refused: resolvers take
   ``2130706433``, ``0x7f.1`` and ``0177.0.0.1`` for 127.0.0.1.
3. The name is resolved once. Every address must be public; one that is not refuses the URL.
4. The caller connects to those addresses and never to the name, so that a second, different answer of the name server
   (DNS rebinding) has no effect. Each redirect starts at rule 1.

The operator's allow-list lifts the rule on addresses for a host, and also the rule on ports for a
``host:port``. The rest stays.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from core.errors import UrlNotAllowed
from core.public_address import public_address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port to IP addresses; raises ``OSError`` when there are none."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*", re.ASCII)
# WHATWG URL, "ends in a number": such a host is an IPv4 address or an error, never a name.
_ENDS_IN_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", re.ASCII)
_ENTRY = re.compile(r"(\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+?)\.?)(:(?P<port>[0-9]{1,5}))?", re.ASCII)
_MAX_ADDRESSES = 4
_HIDDEN = "The URL's host was not found, or its address is not public."


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, off the event loop."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class AllowedUrl:
    """A URL that passed, and the only addresses a connection for it may use."""

    url: httpx.URL
    host: str
    """Lower-case ASCII, without a trailing dot or brackets: for TLS and the ``Host`` header."""
    port: int
    addresses: tuple[str, ...]
    """IP literals, in the resolver's order."""


class UrlGuard:
    """The rules above for one allow-list.

    Args:
        allow_hosts: ``host`` or ``host:port``; an IPv6 address with a port is in brackets.
        resolve: The resolver; tests bring their own.
        any_port: Lifts the rule on ports, not the one on addresses.
    """

    def __init__(
        self, allow_hosts: Iterable[str] = (), resolve: Resolve = system_resolve, *, any_port: bool = False
    ) -> None:
        self._allowed: frozenset[tuple[str, int | None]] = frozenset(map(_parse_entry, allow_hosts))
        self._resolve: Resolve = resolve
        self._any_port = any_port

    async def check(self, url: str | httpx.URL) -> AllowedUrl:
        """Judge one URL.

        Raises:
            UrlNotAllowed: Its ``detail`` may be shown; it does not tell a private host from an
                absent one, or fetches would map the network.
        """
        parsed, host, port = _parse(url)
        if not self._any_port and port not in (80, 443) and (host, port) not in self._allowed:
            raise UrlNotAllowed("Only the ports 80 and 443 can be fetched.")
        addresses = await self._addresses(host, port)
        return AllowedUrl(parsed, host, port, tuple(addresses[:_MAX_ADDRESSES]))

    async def _addresses(self, host: str, port: int) -> list[str]:
        found = [host] if _is_ip_address(host) else await self._look_up(host, port)
        if (host, None) in self._allowed or (host, port) in self._allowed:
            return found
        public = [public_address(address) for address in found]
        # All, not any: a name that points both ways is an attack, or a private service.
        if not public or None in public:
            raise UrlNotAllowed(_HIDDEN)
        return [address for address in public if address is not None]

    async def _look_up(self, host: str, port: int) -> list[str]:
        try:
            found = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as exc:
            raise UrlNotAllowed(_HIDDEN) from exc
        if not found:
            raise UrlNotAllowed(_HIDDEN)
        return found


def _parse(url: str | httpx.URL) -> tuple[httpx.URL, str, int]:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as exc:  # UnicodeError is a ValueError
        raise UrlNotAllowed("This is not a valid URL.") from exc
    if parsed.scheme not in _DEFAULT_PORTS:
        raise UrlNotAllowed("Only http and https URLs can be fetched.")
    if parsed.userinfo:
        raise UrlNotAllowed("A URL with a user name or password cannot be fetched.")
    host = _canonical(parsed.raw_host.decode("ascii").lower().removesuffix("."))
    if not _is_ip_address(host) and (not _NAME.fullmatch(host) or _ENDS_IN_NUMBER.fullmatch(host)):
        raise UrlNotAllowed("The URL's host is not a valid name or address.")
    return parsed, host, _DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port


def _is_ip_address(host: str) -> bool:
    """Strict: four decimal parts without leading zeros, or IPv6 without a zone."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _canonical(host: str) -> str:
    """Give an IPv6 address its one short form, so that hosts can be compared."""
    return str(ip_address(host)) if _is_ip_address(host) else host


def _parse_entry(entry: str) -> tuple[str, int | None]:
    text = entry.strip().lower()
    if _is_ip_address(text):
        return _canonical(text), None
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise ValueError(f"{entry!r} is not a host or host:port")
    return _canonical(match["v6"] or match["name"]), int(match["port"]) if match["port"] else None
