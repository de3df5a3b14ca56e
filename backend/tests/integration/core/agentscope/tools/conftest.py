"""The place of a call, and a small HTTP server on loopback that answers with prepared bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from core.agentscope.tools.spec import ToolContext
from core.identity import Principal

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def context() -> ToolContext:
    return ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="c-1")


@dataclass
class LoopbackServer:
    port: int = 0
    requests: list[str] = field(default_factory=list)
    """Heads of the requests, as they came."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """The client hung up before the answer was complete."""


Serve = Callable[..., AbstractAsyncContextManager[LoopbackServer]]


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def run(
        answers: dict[str, Answer], tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[LoopbackServer]:
        """Serve ``answers`` by path; each connection is for one request."""
        state = LoopbackServer()
        open_connections: set[asyncio.Task[None]] = set()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                state.requests.append(head)
                answer = answers[head.split()[1]]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
            except (OSError, asyncio.IncompleteReadError):
                state.gone.set()
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(talk(reader, writer))
            open_connections.add(task)
            task.add_done_callback(open_connections.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        state.port = server.sockets[0].getsockname()[1]
        try:
            yield state
        finally:
            server.close()
            for task in list(open_connections):
                task.cancel()
            await asyncio.gather(*open_connections, return_exceptions=True)

    return run
