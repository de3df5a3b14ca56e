"""The API's end of the line to the supervisor: one JSON object a line, in both directions."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from core.embedded_errors import SupervisorUnavailable

_ANSWER_SECONDS = 15.0
"""The supervisor may be waiting for a server that it starts."""


class SupervisorClient:
    """Asks the supervisor. Several questions may be open at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @classmethod
    @asynccontextmanager
    async def connect(cls, descriptor: int) -> AsyncIterator[SupervisorClient]:
        """Open the line that this process has inherited, and say that it serves.

        Raises:
            OSError: The descriptor is no socket.
        """
        # Not for the children of this process.
        os.set_inheritable(descriptor, False)
        reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor))
        client = cls(reader, writer)
        reading = asyncio.create_task(client._read(), name="supervisor-line")
        try:
            client.tell("ready")
            yield client
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            writer.close()

    def tell(self, what: str, **members: Any) -> None:
        """Say something that is not answered."""
        self._send({"ask": what, **members})

    async def ask(self, what: str, *, seconds: float = _ANSWER_SECONDS, **members: Any) -> dict[str, Any]:
        """Ask, and return the answer.

        Args:
            what: The question.
            seconds: How long to wait.
            members: More of the question.

        Raises:
            SupervisorUnavailable: There is no answer in time.
        """
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        try:
            self._send({"id": number, "ask": what, **members})
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as exc:
            raise SupervisorUnavailable("The supervisor of the service did not answer in time.") from exc
        finally:
            self._open.pop(number, None)

    def _send(self, document: dict[str, Any]) -> None:
        self._writer.write(json.dumps(document).encode() + b"\n")

    async def _read(self) -> None:
        while line := await self._reader.readline():
            answer: dict[str, Any] = json.loads(line)
            waiting = self._open.get(answer.pop("id", 0))
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
