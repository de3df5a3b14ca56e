"""What an MCP server's address is to a token: the origin and the path. A token is never sent anywhere else."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def resource_of(url: str) -> str:
    """Return the origin and the path of a server's address, in one form for addresses that mean the same.

    Without the user, the password, the query and the fragment: none of them says where a request goes.

    Source: RFC 8707, section 2; MCP 2025-11-25, authorization, canonical server URI.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    port = "" if parts.port in (None, _PORTS.get(scheme)) else f":{parts.port}"
    return f"{scheme}://{host}{port}{parts.path.rstrip('/')}"
