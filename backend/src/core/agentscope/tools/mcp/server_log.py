"""What an MCP server that a worker started writes to its standard error: lines of the worker's log, without secrets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TextIO

import structlog

log = structlog.get_logger(__name__)

_MAX_LINE_BYTES = 8 << 10


@asynccontextmanager
async def server_log(name: str) -> AsyncIterator[TextIO]:
    """Yield a file whose lines become lines of the log; the log masks what it knows as secrets.

    Args:
        name: The server's name in the profile.
    """
    read_end, write_end = os.pipe()
    source = os.fdopen(read_end, "rb", buffering=0)
    reader = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    copying = asyncio.create_task(_copy(reader, name))
    try:
        with os.fdopen(write_end, "w", encoding="utf-8") as file:
            yield file
    finally:
        # Without a wait for the end: a process that outlives the server may hold the pipe open.
        copying.cancel()
        with suppress(asyncio.CancelledError):
            await copying
        transport.close()


async def _copy(reader: asyncio.StreamReader, name: str) -> None:
    while True:
        try:
            line = await reader.readuntil()
        except asyncio.IncompleteReadError as exc:
            line = exc.partial
            if not line:
                return
        except asyncio.LimitOverrunError as exc:
            line = await reader.read(exc.consumed)
        if text := line.decode(errors="replace").strip():
            log.info("mcp_server_says", server=name, line=text)
