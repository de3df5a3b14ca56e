"""An answer whose request has been left: what uvicorn's connection needs of it, and no more. See docs/adr/0037."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Protocol, cast

from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from core.flag import Flag
from v1.agent.parking import ParkedStream


class SmallFlowControl(FlowControl):
    """uvicorn's flow control; takes a sixth of its memory while nobody waits."""

    __slots__ = ("_is_writable_event", "_transport", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._is_writable_event = cast("Any", Flag())
        self._is_writable_event.set()


class Connection(Protocol):
    """What a parked answer needs of its connection."""

    transport: asyncio.Transport

    @property
    def flow(self) -> FlowControl: ...

    def park(self, cycle: RequestResponseCycle, stream: ParkedStream) -> ParkedResponse: ...

    def unpark(self, parked: ParkedResponse) -> None: ...

    def start_task(self, work: Coroutine[Any, Any, None], context: Context) -> asyncio.Task[None]: ...

    def on_response_complete(self) -> None: ...


class _NobodyWaits:
    """Stands for the event by which uvicorn wakes the task of a request."""

    def set(self) -> None:
        pass


class ParkedResponse:
    """Takes the place of uvicorn's ``RequestResponseCycle`` in its connection."""

    __slots__ = (
        "_at_end",
        "_connection",
        "_context",
        "_parked",
        "_stream",
        "disconnected",
        "keep_alive",
        "over",
    )

    message_event = _NobodyWaits()

    def __init__(self, connection: Connection, stream: ParkedStream, *, keep_alive: bool) -> None:
        self._connection = connection
        self._stream = stream
        self._context: Context = copy_context()
        """Of the request: what is logged later has its fields."""
        self._parked = True
        self._at_end: Callable[[], object] | None = None
        self.keep_alive = keep_alive
        self.disconnected = False
        self.over = False

    @property
    def response_complete(self) -> bool:
        return self.over

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call back when the answer is over."""
        if self.over:
            callback()
        else:
            self._at_end = callback

    def write(self, data: bytes) -> bool:
        """Send a part of the body; False if the client is behind."""
        transport = self._connection.transport
        if not transport.is_closing():
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return not self._connection.flow.write_paused

    async def send(self, message: Message) -> None:
        """Send a part of the body as ASGI does."""
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        if body := message.get("body", b""):
            self.write(body)
        if not message.get("more_body", False):
            self._connection.transport.write(b"0\r\n\r\n")
            self._end()

    def park(self) -> None:
        """Say that the running task ends without the end of the answer."""
        self._parked = True

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run a task for the answer."""
        self._parked = False
        return self._connection.start_task(self._run(work), self._context)

    async def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        finally:
            if not self._parked and not self.over:
                # As uvicorn does with an application that returns without the end of its answer.
                self._connection.transport.close()
                self._finish()

    def lost(self) -> None:
        """Note that the client has disconnected."""
        if not self.over:
            self.disconnected = True
            self._connection.start_task(self._leave(), self._context)

    async def _leave(self) -> None:
        try:
            await self._stream.leave()
        finally:
            self._finish()

    def _end(self) -> None:
        connection = self._connection
        self._finish()
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            self._connection.unpark(self)
            # The connection keeps its last answer: without this line they would wait for the garbage collector.
            self._connection, self._stream = cast("Any", None), cast("Any", None)
            callback, self._at_end = self._at_end, None
            if callback is not None:
                callback()


class ParkingOffer:
    """What the scope of a request offers to its response."""

    __slots__ = ("_connection", "_cycle", "_response")

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle: RequestResponseCycle | None = cycle
        self._response: ParkedResponse | None = None

    def is_possible(self) -> bool:
        """Say whether the answer may be parked: its request was read to the end."""
        return self._cycle is not None and not self._cycle.more_body

    def park(self, stream: ParkedStream) -> ParkedResponse:
        """Let the application return without the end of its answer."""
        # The offer is a part of the cycle's scope: without this line they would wait for the garbage collector.
        cycle, self._cycle = cast("RequestResponseCycle", self._cycle), None
        self._response = self._connection.park(cycle, stream)
        return self._response

    def at_end(self, callback: Callable[[], object]) -> bool:
        """Call back when a parked answer is over; False if it was not parked."""
        response, self._response = self._response, None
        if response is None:
            return False
        response.at_end(callback)
        return True
