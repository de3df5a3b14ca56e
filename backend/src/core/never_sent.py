"""Which failures of HTTP say that a request was not sent: it took no effect, and cost nothing."""

from __future__ import annotations

import httpx

NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    ConnectionRefusedError,
)
