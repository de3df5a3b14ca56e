"""The HTTP response that carries server-sent events.

The frames are complete; this class only sends bytes. Headers are sent at once. The iterator is closed when the client
disconnects. A client that stops reading is disconnected. The class holds one frame at a time, so a slow reader needs no
additional memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from core.agentscope.events.sse import HEADERS

# 30 s: longer than a phone needs to change networks, shorter than the usual timeout of a proxy.
WRITE_TIMEOUT_SECONDS = 30.0
_CANCEL_AGAIN_SECONDS = 1.0
"""Libraries may swallow a cancellation. The cancellation is repeated until the iterator of frames ends."""
_TURN_FRAMES = 16

log = structlog.get_logger(__name__)


class EventStreamResponse(StreamingResponse):
    """Sends the frames of an iterator and ends when it ends.

    A failure of the iterator is logged and ends the body in order, so that the client reconnects with its cursor. A
    reset connection would crash some clients (Node's fetch rejects outside of any handler).
    """

    def __init__(
        self, frames: AsyncIterator[bytes], *, write_timeout_seconds: float = WRITE_TIMEOUT_SECONDS
    ) -> None:
        # With Content-Type among the headers the base class adds no charset.
        super().__init__(frames, headers=HEADERS)
        self._frames = frames
        self._write_timeout = write_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send))
        left = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait({pump, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            pump.cancel()
            while (await asyncio.wait({pump, left}, timeout=_CANCEL_AGAIN_SECONDS))[1]:
                pump.cancel()
            await asyncio.gather(pump, left, return_exceptions=True)
        if not pump.cancelled() and (error := pump.exception()) is not None:
            raise error

    async def _pump(self, send: Send) -> None:
        try:
            await self._send(
                send,
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers},
            )
            await self._send_frames(send)
            await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # Nothing more can be sent to this client: the server closes the connection.
            log.info("stream_stalled", write_timeout_seconds=self._write_timeout)
        except OSError:
            # ASGI 2.4: how a server reports that the client has disconnected.
            log.debug("stream_abandoned")
        finally:
            await _close(self._frames)

    async def _send_frames(self, send: Send) -> None:
        sent = 0
        while (frame := await self._next()) is not None:
            await self._send(send, {"type": "http.response.body", "body": frame, "more_body": True})
            sent += 1
            if sent % _TURN_FRAMES == 0:
                # A source with ready frames never waits, and neither does a server after a disconnect. Without this
                # line, one long replay would block every other stream.
                await asyncio.sleep(0)

    async def _send(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._write_timeout):
            await send(message)

    async def _next(self) -> bytes | None:
        """Return the next frame; ``None`` at the end and after a failure."""
        try:
            return await anext(self._frames, None)
        except Exception:
            log.exception("stream_failed")
            return None


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _close(frames: AsyncIterator[bytes]) -> None:
    if (close := getattr(frames, "aclose", None)) is not None:
        await close()
