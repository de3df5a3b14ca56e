"""A TCP proxy that misbehaves on demand: cut, slow, silent in one or both directions, a black hole, or not there at all.

One proxy stands between one process and one server, so a fault can hit a
single process (a partition) or all of them (an outage).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

Direction = Literal["up", "down"]
"""``up``: from the client to the server."""

_CHUNK_BYTES = 1 << 16


class FaultProxy:
    """Forwards connections to one server; entered as an async context manager by :func:`fault_proxy`."""

    def __init__(self, host: str, port: int) -> None:
        """Describe the server; a ``host`` with a slash is a unix socket, or the directory of Postgres'."""
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._swallowing = False
        self._lost: set[asyncio.StreamWriter] = set()
        """Whatever is to be written here is dropped."""
        self._cut = asyncio.Event()
        """Set when what is open now is cut."""
        self._flowing: dict[Direction, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        for event in self._flowing.values():
            event.set()
        self.port = 0
        self.delay_seconds = 0.0
        """Added to every piece, in both directions."""
        self.forwarded_bytes = 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._writers) // 2

    async def open(self) -> None:
        """Accept connections, at the same port as before if there was one."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Be a server that is not there: every connection is cut, new ones are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()

    def cut(self) -> None:
        """Break every open connection at once; what is held back is lost."""
        for writer in list(self._writers):
            writer.transport.abort()
        self._cut.set()
        self._cut = asyncio.Event()

    def hold(self, *directions: Direction) -> None:
        """Be silent in these directions (in both when none is named): nothing is lost, nothing arrives."""
        for direction in directions or ("up", "down"):
            self._flowing[direction].clear()

    def swallow(self) -> None:
        """Be a host that is gone without a word: what is open now or until ``heal`` never carries a byte again.

        Connections are still accepted, as a load balancer does, and neither side sees the other's end.
        """
        self._swallowing = True
        self._lost |= self._writers

    def release(self) -> None:
        """Let everything flow again, without delay."""
        self.delay_seconds = 0.0
        for event in self._flowing.values():
            event.set()

    async def heal(self) -> None:
        """End every fault. Connections that were swallowed stay black holes."""
        self._swallowing = False
        self.release()
        await self.open()

    async def close(self) -> None:
        """Cut everything and stop."""
        await self.refuse()
        self.release()
        if self._serving:
            await asyncio.wait(self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._swallowing:
            ends, pumps = {writer}, [asyncio.create_task(self._pump(reader, None, "up"))]
        else:
            try:
                up_reader, up_writer = await self._connect()
            except OSError:
                writer.transport.abort()
                return
            ends = {writer, up_writer}
            pumps = [
                asyncio.create_task(self._pump(reader, up_writer, "up")),
                asyncio.create_task(self._pump(up_reader, writer, "down")),
            ]
        self._writers |= ends
        if self._server is None:
            self.cut()
        cut = self._cut
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if self._swallowing or ends & self._lost:
                await cut.wait()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            for end in ends:
                self._writers.discard(end)
                self._lost.discard(end)
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target
        if Path(host).is_socket():  # noqa: ASYNC240  one look at a name that the kernel has in memory
            return await asyncio.open_unix_connection(host)
        if "/" in host:
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, direction: Direction
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._flowing[direction].wait()
                if writer is None or writer in self._lost:
                    continue
                writer.write(data)
                self.forwarded_bytes += len(data)
                await writer.drain()


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """Open a proxy to a server on a free port of 127.0.0.1."""
    proxy = FaultProxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
