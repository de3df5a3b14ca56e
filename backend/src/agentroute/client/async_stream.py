"""Event streams of the asynchronous client: they come back by themselves.

``sync_stream.py`` is written from this file by ``script/sync_client.py``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self, cast

import anyio
import httpx

from agentroute.client.answers import Accepted
from agentroute.client.attempts import unreachable
from agentroute.client.connection import Connection
from agentroute.client.errors import AgentRouteError
from agentroute.client.events import Event
from agentroute.client.following import Following
from agentroute.client.run_record import RunRecord, RunResult


class AsyncEventStream:
    """Events, in order, each one once, across broken lines and restarts of the service. An iterator.

    Closing it stops nothing but the reading; a run goes on. Leave a ``with`` block, or the loop and call ``aclose()``.
    """

    def __init__(self, http: httpx.AsyncClient, connection: Connection, following: Following) -> None:
        self._http = http
        self._connection = connection
        self._following = following
        self._events = self._read()

    @property
    def thread_id(self) -> str:
        """The thread."""
        return self._following.thread_id

    @property
    def cursor(self) -> str | None:
        """The place of the last event that you got. Keep it, and ``events(cursor=…)`` goes on from there."""
        return self._following.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            ConnectionFailed: The service could not be reached for ``reconnect_seconds``.
            ProblemError: The service refuses to go on: the thread is gone, or the token is not valid any more.
        """
        return await self._events.__anext__()

    async def aclose(self) -> None:
        """Stop reading. The cursor stays."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read(self) -> AsyncGenerator[Event]:
        following = self._following
        while not following.is_over:
            error: AgentRouteError | None = None
            try:
                async with self._http.stream(**self._connection.stream(following)) as answer:
                    body = b"" if answer.status_code == 200 else await answer.aread()
                    error = following.opened(answer.status_code, answer.headers, body)
                    if error is None and not following.is_over:
                        async with aclosing(_bytes_of(answer)) as chunks:
                            async for chunk in chunks:
                                for event in following.receive(chunk):
                                    yield event
                                if following.is_over:
                                    break
            except httpx.RequestError as exc:
                error = unreachable(exc, self._connection.address)
            if not following.is_over:
                await anyio.sleep(following.lost(error))


def _bytes_of(answer: httpx.Response) -> AsyncGenerator[bytes]:
    # It is a generator, and closed in order: not some time later, when nobody looks.
    return cast("AsyncGenerator[bytes]", answer.aiter_bytes())


class AsyncRun(AsyncEventStream):
    """The events of one run, from its first to its last.

    Attributes:
        accepted: What the service answered when it had stored the run.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        connection: Connection,
        accepted: Accepted,
        cancel: Callable[[str, str], Awaitable[None]],
    ) -> None:
        place = Following(
            accepted.thread_id,
            run_id=accepted.run_id,
            cursor=accepted.cursor,
            patience=connection.patience,
        )
        super().__init__(http, connection, place)
        self.accepted = accepted
        self._cancel = cancel
        self._record = RunRecord(accepted.thread_id, accepted.run_id)

    @property
    def run_id(self) -> str:
        """The run."""
        return self.accepted.run_id

    @property
    def text(self) -> str:
        """What the agent has said in the events so far, its messages separated by empty lines."""
        return self._record.text

    async def __anext__(self) -> Event:
        """Return the next event. See ``AsyncEventStream``."""
        event = await super().__anext__()
        self._record.see(event)
        return event

    async def result(self) -> RunResult:
        """Read on to the end of the run and return how it ended.

        Raises:
            RunFailed: It ended with ``RUN_ERROR``.
            ConnectionFailed: The service could not be reached for ``reconnect_seconds``.
        """
        async for _ in self:
            pass
        return self._record.result()

    async def cancel(self) -> None:
        """Ask the run to stop. Its last event comes when it has: the outcome ``cancelled``.

        Raises:
            Conflict: It has ended already (``run-finished``).
        """
        await self._cancel(self.thread_id, self.run_id)
