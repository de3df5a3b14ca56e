"""One HTTP exchange with the model, in a task of its own, so that reads come out as the network made them.

An HTTP parser hands over one chunk at a time, but a network read often holds many. The task collects all available
chunks before the reader runs again. So deltas that arrived together are handled together; the busier the process, the
larger the batches. The task alone opens and closes the connection: when it ends, in any way, the connection is
returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

# A reader that stops (its own queue is full) stops the peer too, by TCP.
_MAX_UNREAD_BYTES = 1 << 20
# Closing is a local matter; a socket that will not close must not hold a cancelled run.
_CLOSE_SECONDS = 1.0


class Exchange:
    """Sends a request and hands out the answer's head and body. Always close it."""

    def __init__(self, client: httpx.AsyncClient, request: httpx.Request) -> None:
        """Start sending; must be called in a running event loop."""
        self.sent = False
        """Whether the complete request was sent, as far as can be known. From then on the call can cost something."""
        request.extensions["trace"] = self._trace
        self._client = client
        self._request = request
        self._response: httpx.Response | None = None
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._news.set())

    async def head(self, timeout_seconds: float) -> httpx.Response:
        """Return the answer's status and headers.

        Raises:
            TimeoutError: They did not come in time.
            httpx.HTTPError: The endpoint was not reached, or broke off.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self._response is None:
            if self._task.done():
                self._task.result()
            await self._wait(deadline)
        return self._response

    async def read(self, timeout_seconds: float) -> bytes:
        """Return all bytes of the body that are available, at least one; none at the end of the body.

        Raises:
            TimeoutError: Nothing came in time.
            httpx.HTTPError: The body broke off. What came before was returned.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while not self._unread:
            if self._task.done():
                self._task.result()
                return b""
            await self._wait(deadline)
        data = b"".join(self._unread)
        self._unread.clear()
        self._unread_bytes = 0
        self._room.set()
        return data

    async def settle(self, timeout_seconds: float) -> None:
        """Give the body a moment to end: then the connection is reused instead of closed."""
        self._unread.clear()
        self._room.set()
        await asyncio.wait([self._task], timeout=timeout_seconds)

    async def aclose(self) -> None:
        """End the exchange, wherever it is. Prompt, idempotent, raises nothing of the exchange."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
        if self._task.done() and not self._task.cancelled():
            # Retrieved here: otherwise asyncio warns about an exception that was never retrieved.
            self._task.exception()

    async def _run(self) -> None:
        response = await self._client.send(self._request, stream=True)
        try:
            self._response = response
            self._news.set()
            encoded = "content-encoding" in response.headers
            async for part in response.aiter_bytes() if encoded else response.aiter_raw():
                self._unread.append(part)
                self._unread_bytes += len(part)
                self._news.set()
                if self._unread_bytes > _MAX_UNREAD_BYTES:
                    self._room.clear()
                    await self._room.wait()
        finally:
            await response.aclose()

    async def _wait(self, deadline: float) -> None:
        self._news.clear()
        async with asyncio.timeout_at(deadline):
            await self._news.wait()

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_body.complete"):
            self.sent = True
        elif event.endswith("send_request_body.failed"):
            # When a cancellation comes while the body is written, the socket has the body already.
            self.sent = isinstance(info.get("exception"), asyncio.CancelledError)
