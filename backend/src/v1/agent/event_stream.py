"""The HTTP response that carries server-sent events.

The frames are complete; this class only sends bytes. Headers are sent at once. The iterator is closed when the client
disconnects. A client that stops reading is disconnected. The class holds one frame at a time, so a slow reader needs no
additional memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from core.agentscope.events.sse import HEADERS
from v1.agent.parking import ParkedResponse, Parking, attach, close, parking_of

# 30 s: longer than a phone needs to change networks, shorter than the usual timeout of a proxy.
WRITE_TIMEOUT_SECONDS = 30.0
_CANCEL_AGAIN_SECONDS = 1.0
"""Libraries may swallow a cancellation. The cancellation is repeated until the iterator of frames ends."""
_TURN_FRAMES = 16
_CAUGHT_UP: Message = {"type": "http.response.body", "body": b"", "more_body": True}
"""Writes nothing, and waits for a client that is behind."""

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
        self._pump = _Pump(frames, write_timeout_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        pump = asyncio.create_task(self._pump.begin(start, send, parking_of(scope)))
        left = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait({pump, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            pump.cancel()
            while (await asyncio.wait({pump, left}, timeout=_CANCEL_AGAIN_SECONDS))[1]:
                pump.cancel()
            await asyncio.gather(pump, left, return_exceptions=True)
            # A task that was cancelled before its first step has closed nothing.
            await self._pump.close_unsent()
        if not pump.cancelled() and (error := pump.exception()) is not None:
            raise error


class _Pump:
    """Takes frames and sends them, in a task that ends when the stream rests."""

    __slots__ = ("_began", "_frames", "_parked", "_parking", "_task", "_write_timeout")

    def __init__(self, frames: AsyncIterator[bytes], write_timeout_seconds: float) -> None:
        self._frames = frames
        self._write_timeout = write_timeout_seconds
        self._began = False
        self._parking: Parking | None = None
        self._parked: ParkedResponse | None = None
        self._task: asyncio.Task[Any] | None = None

    async def begin(self, start: Message, send: Send, parking: Parking | None) -> None:
        """Send the head and the frames, until the end or until the stream rests."""
        if parking is not None and parking.is_possible() and attach(self._frames, self):
            self._parking = parking
        await self._send_all(send, start)

    async def close_unsent(self) -> None:
        """Close the frames of an answer that never began."""
        if not self._began:
            await close(self._frames)

    # --- the outlet of a stream that rests -----------------------------------

    def write(self, data: bytes) -> bool:
        return self._parked is not None and self._parked.write(data)

    def go_on(self) -> None:
        if (parked := self._parked) is not None:
            # The client first: a stream that has nothing to send rests again at once, and would never wait for it.
            self._task = parked.start(lambda: self._send_all(parked.send, _CAUGHT_UP))

    async def leave(self) -> None:
        """Close the frames: the client has disconnected."""
        if (task := self._task) is not None:
            task.cancel()
            while not (await asyncio.wait({task}, timeout=_CANCEL_AGAIN_SECONDS))[0]:
                task.cancel()
        # Also after a task that was cancelled before it began.
        await close(self._frames)

    # --- a task --------------------------------------------------------------

    async def _send_all(self, send: Send, start: Message) -> None:
        rests = False
        self._began = True
        try:
            await self._send(send, start)
            if rests := await self._send_frames(send):
                # Without a pause since the stream came to rest: from now on it may be served.
                self._park()
            else:
                await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # Nothing more can be sent to this client: the server closes the connection.
            log.info("stream_stalled", write_timeout_seconds=self._write_timeout)
        except OSError:
            # ASGI 2.4: how a server reports that the client has disconnected.
            log.debug("stream_abandoned")
        finally:
            if not rests:
                await close(self._frames)

    def _park(self) -> None:
        self._task = None
        if self._parking is not None:
            self._parked, self._parking = self._parking.park(self), None
        elif self._parked is not None:
            self._parked.park()

    async def _send_frames(self, send: Send) -> bool:
        """Send frames; True when the stream rests, False at its end."""
        sent = 0
        while (frame := await self._next()) is not None:
            if not frame:
                return True
            await self._send(send, {"type": "http.response.body", "body": frame, "more_body": True})
            sent += 1
            if sent % _TURN_FRAMES == 0:
                # A source with ready frames never waits, and neither does a server after a disconnect. Without this
                # line, one long replay would block every other stream.
                await asyncio.sleep(0)
        return False

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
