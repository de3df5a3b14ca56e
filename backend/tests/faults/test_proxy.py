"""The proxy's faults, against an echo server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.faults.launcher import eventually
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.support.limits import HUNG_SECONDS

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo() -> AsyncIterator[FaultProxy]:
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1024):
                writer.write(data)
        writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server, fault_proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
        await proxy.close()
        if serving:
            await asyncio.wait(serving)


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(connection: Connection, data: bytes) -> bytes:
    connection[1].write(data)
    async with asyncio.timeout(HUNG_SECONDS):
        return await connection[0].readexactly(len(data))


async def test_forwards_both_ways() -> None:
    async with echo() as proxy, connected(proxy) as connection:
        assert await ask(connection, b"hello") == b"hello"
        assert proxy.connections == 1
        assert proxy.forwarded_bytes == 10


async def test_a_cut_breaks_what_is_open_and_nothing_else() -> None:
    async with echo() as proxy:
        async with connected(proxy) as connection:
            assert await ask(connection, b"one") == b"one"
            proxy.cut()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await ask(connection, b"two")
        async with connected(proxy) as connection:
            assert await ask(connection, b"three") == b"three"


async def test_refuses_and_comes_back_at_the_same_port() -> None:
    async with echo() as proxy:
        port = proxy.port
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await proxy.heal()
        assert proxy.port == port
        async with connected(proxy) as connection:
            assert await ask(connection, b"back") == b"back"


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_holds_one_direction_and_loses_nothing(direction: str) -> None:
    async with echo() as proxy, connected(proxy) as connection:
        assert await ask(connection, b"one") == b"one"
        before = proxy.forwarded_bytes
        proxy.hold("up" if direction == "up" else "down")
        answer = asyncio.create_task(ask(connection, b"two"))
        if direction == "down":
            await eventually(lambda: proxy.forwarded_bytes == before + 3)
        else:
            await asyncio.wait({answer}, timeout=0.05)
            assert proxy.forwarded_bytes == before
        assert not answer.done()
        proxy.release()
        assert await answer == b"two"


async def test_swallows_without_a_word_and_new_connections_work_after_it() -> None:
    async with echo() as proxy, connected(proxy) as before:
        assert await ask(before, b"one") == b"one"
        proxy.swallow()
        forwarded = proxy.forwarded_bytes
        async with connected(proxy) as during:
            for connection in (before, during):
                connection[1].write(b"two")
            await proxy.heal()
            async with connected(proxy) as after:
                assert await ask(after, b"back") == b"back"
            silent = [asyncio.create_task(reader.read(1)) for reader, _ in (before, during)]
            done, _ = await asyncio.wait(silent, timeout=0.05)
            assert not done
            assert proxy.forwarded_bytes == forwarded + 8
            for task in silent:
                task.cancel()
            await asyncio.wait(silent)


async def test_delays_every_piece() -> None:
    async with echo() as proxy, connected(proxy) as connection:
        proxy.delay_seconds = 0.05
        started = asyncio.get_running_loop().time()
        assert await ask(connection, b"slow") == b"slow"
        assert asyncio.get_running_loop().time() - started >= 0.1
