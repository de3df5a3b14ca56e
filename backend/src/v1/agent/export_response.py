"""The HTTP response that carries an export. A reader who takes nothing for a minute is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

SEND_SECONDS = 60.0
"""How long a reader may take nothing: longer than a phone needs to change networks. An export holds one of few places."""

log = structlog.get_logger(__name__)


class ExportResponse(StreamingResponse):
    """Sends the chunks of an export, and closes them however it ends.

    Args:
        first: The first chunk, which was taken already.
        chunks: The others.
    """

    def __init__(self, first: bytes, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks
        self._rest = _rest(first, chunks)
        super().__init__(
            self._rest,
            media_type="application/x-ndjson",
            headers={"Content-Disposition": 'attachment; filename="agentroute-export.ndjson"'},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(message)
            except TimeoutError:
                log.info("export_stalled", send_seconds=SEND_SECONDS)
                # The answer stays unfinished, and the server closes the connection.
                raise ClientDisconnect from None

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            # Its place and its connection of the pool are free from here on, not from the next collection of garbage.
            await self._rest.aclose()
            await self._chunks.aclose()


async def _rest(first: bytes, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for chunk in chunks:
        yield chunk
