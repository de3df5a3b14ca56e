"""Sends a request to the addresses that the URL guard has checked, and to no other."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping

import httpx

from core.url_guard import AllowedUrl


class NotConnected(Exception):
    """No address of the host could be connected to, or its certificate is not valid. Nothing was sent."""


@functools.cache
def system_trust() -> ssl.SSLContext:
    """Return the system's certificate authorities. Honours ``SSL_CERT_FILE``, the operator's own ones.

    Made once: it parses the whole bundle, which takes a while.
    """
    return httpx.create_ssl_context()


async def send_pinned(
    client: httpx.AsyncClient,
    method: str,
    target: AllowedUrl,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
) -> httpx.Response:
    """Send a request to the first address that can be connected to; the body of the answer is unread.

    Args:
        client: Follows no redirects: a redirect has to pass the guard, too.
        method: Of HTTP.
        target: What the guard has allowed.
        headers: Beside ``Host``.
        content: The body.

    Raises:
        NotConnected: Nothing was sent.
        httpx.HTTPError: The exchange broke off.
    """
    for address in target.addresses:
        request = client.build_request(
            method,
            # The address replaces the name, so that no resolver is asked again.
            target.url.copy_with(host=address),
            headers={**headers, "Host": _host_header(target)},
            content=content,
            # The name for TLS: it is sent as SNI and the certificate is checked against it.
            extensions={"sni_hostname": target.host},
        )
        try:
            return await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
    raise NotConnected


def _host_header(target: AllowedUrl) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.url.port is None else f"{host}:{target.url.port}"
