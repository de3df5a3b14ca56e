"""One try to deliver a message: an HTTP request to an address that was checked, and what its answer means.

Rules:

1. The address of an endpoint of the deployment is the operator's word: its host and port may be private. A host that a
   run has named has to be public, unless ``private_hosts`` names it.
2. The connection goes to the addresses that were checked. Redirects are not followed; proxies and cookies play no part.
3. 2xx is success. The body of an answer is not read.
4. What is logged and stored of a failure is a status or a word of ours: an address and an answer may hold secrets.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from core.errors import UrlNotAllowed
from core.pinned_request import NotConnected, send_pinned, system_trust
from core.url_guard import Resolve, UrlGuard, system_resolve
from core.webhooks.outbox import Failure
from core.webhooks.schedule import read_retry_after
from core.webhooks.signing import signed_headers

_HEADERS = {"Content-Type": "application/json", "User-Agent": "AgentRoute-Webhooks", "Accept": "*/*"}
_GONE = 410
NOT_ALLOWED = "the host was not found, or its address is not allowed"
NO_ANSWER = "no answer in time"
NOT_REACHED = "not reached, or its certificate is not valid"
BROKEN_OFF = "the connection broke off"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a message goes, and what signs it."""

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    private: tuple[str, ...] = ()
    """``host`` or ``host:port`` whose address need not be public."""


def own_target(url: str, secrets: Iterable[str]) -> Target:
    """Return the target of an endpoint that the operator has named."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return Target(url, tuple(secrets), (f"{host}:{port}",))


class WebhookSender:
    """Sends messages.

    Args:
        timeout_seconds: Of one try.
        resolve: The resolver; tests bring their own.
        trust: Certificate authorities; the system's when absent.
    """

    def __init__(
        self,
        timeout_seconds: float,
        *,
        resolve: Resolve = system_resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._seconds = timeout_seconds
        self._resolve: Resolve = resolve
        self._trust = trust

    async def send(self, target: Target, message_id: str, body: bytes) -> Failure | None:
        """Try once; returns why it failed, or ``None``."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._send(target, message_id, body)
        except (UrlNotAllowed, ValueError):
            # A host that is none at all is an error of the guard's list.
            return Failure(NOT_ALLOWED)
        except TimeoutError:
            return Failure(NO_ANSWER)
        except NotConnected:
            return Failure(NOT_REACHED)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return Failure(BROKEN_OFF)

    async def _send(self, target: Target, message_id: str, body: bytes) -> Failure | None:
        allowed = await UrlGuard(target.private, self._resolve, any_port=True).check(target.url)
        trust = self._trust or await asyncio.to_thread(system_trust)
        headers = {**_HEADERS, **signed_headers(message_id, int(time.time()), body, target.secrets)}
        async with httpx.AsyncClient(
            verify=trust, trust_env=False, follow_redirects=False, timeout=httpx.Timeout(None)
        ) as client:
            response = await send_pinned(client, "POST", allowed, headers=headers, content=body)
            try:
                return _meaning(response)
            finally:
                await response.aclose()


def _meaning(response: httpx.Response) -> Failure | None:
    if response.is_success:
        return None
    status = response.status_code
    asked = read_retry_after(response.headers.get("retry-after"), datetime.now(UTC))
    return Failure(f"status {status}", asked, gone=status == _GONE)
