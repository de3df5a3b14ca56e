"""The connection of a worker to one MCP server: kept open in the background, and opened again when it is gone.

* The tools are listed when a session begins and when the server says that they have changed, never for a call.
* A server that is away is tried again, after longer and longer pauses. Its tools stay as they were last known; before
  the first session there are none.
* A call needs a session. If there is none, or the server has forgotten it, one attempt is made to open another, for all
  the calls that wait. A call is sent a second time only if it surely had no effect the first time (``failures``).
* A session that is given up is closed once the calls in it have ended. Each session lives in a task of its own.

Nothing here imports the MCP library before the first session is opened. See docs/adr/0033.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import RequestFailed, ServerUnavailable, refusal_of
from core.agentscope.tools.mcp.listing import ListedTool, masked

if TYPE_CHECKING:
    from core.agentscope.tools.mcp.session import McpSession, Progress

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
_CLOSE_SECONDS = 8.0
"""A program has two seconds to end by itself and two after SIGTERM."""


class McpConnection:
    """One server, as long as the worker lives.

    Args:
        endpoint: The server.
        name: For the log.
        on_demand: When the session has ended or could not be opened, wait for the next call. Otherwise the server is
            tried again and again, so that its tools come back by themselves.
    """

    def __init__(self, endpoint: McpEndpoint, name: str, *, on_demand: bool = False) -> None:
        self.endpoint = endpoint
        self.tools: tuple[ListedTool, ...] = ()
        """What the server last said it has."""
        self.version = 0
        """Grows whenever ``tools`` changes."""
        self.problem = ""
        """Why there is no session; empty while there is one."""
        self._name = name
        self._on_demand = on_demand
        self._current: _Session | None = None
        self._sessions: set[_Session] = set()
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._tried = asyncio.Event()
        self._waiting: list[asyncio.Future[_Session]] = []
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._keeper = asyncio.create_task(self._keep(), name=f"mcp {self._name}")

    async def tried(self) -> None:
        """Return when the first attempt to connect has ended, however it ended."""
        await self._tried.wait()

    async def close(self) -> None:
        """End the session and the server's program. Open calls fail."""
        tasks = {session.task for session in self._sessions}
        if self._keeper is not None:
            tasks.add(self._keeper)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    def retire(self) -> None:
        """Close the session after its last call, and open no other."""
        if self._keeper is not None:
            self._keeper.cancel()
        if (session := self._current) is not None:
            self._give_up(session, "no longer used")
            session.retire()

    async def listed(self) -> tuple[ListedTool, ...]:
        """Return the tools of the session that is open, or of one that is opened now.

        Raises:
            ServerUnavailable: There is no session, and none could be opened.
        """
        if self._current is None:
            await self._reopened()
        return self.tools

    async def call(
        self, tool: str, arguments: dict[str, Any], *, idempotency_key: str, progress: Progress | None = None
    ) -> Any:
        """Call a tool; returns the library's ``CallToolResult``.

        Raises:
            RequestFailed: There is no answer.
            ServerRefused: The server's answer is an error of the protocol.
            ServerUnavailable: There is no session, and none could be opened. Nothing was sent.
        """

        async def send(session: _Session) -> Any:
            async with session.used() as port:
                return await port.call(tool, arguments, idempotency_key=idempotency_key, progress=progress)

        session = self._current or await self._reopened()
        try:
            return await send(session)
        except RequestFailed as exc:
            if not exc.failure.repeatable:
                raise
            self._give_up(session, exc.failure.reason)
        return await send(self._current or await self._reopened())

    async def _reopened(self) -> _Session:
        """Return the session of the next attempt to connect, which begins at once."""
        if self._keeper is None or self._keeper.done():
            raise ServerUnavailable("the worker is stopping")
        waiter: asyncio.Future[_Session] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._hurry.set()
        return await waiter

    def _give_up(self, session: _Session, reason: str) -> None:
        if self._current is session:
            self._current = None
            self.problem = reason
            self._news.set()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                try:
                    session = await self._open()
                except ServerUnavailable as exc:
                    self._is_down(exc)
                except Exception:
                    log.exception("mcp_connect_failed", server=self._name)
                    self._is_down(ServerUnavailable("internal error"))
                else:
                    pause = FIRST_PAUSE_SECONDS
                    await self._watch(session)
                    log.warning("mcp_server_gone", server=self._name, reason=self.problem)
                if self._on_demand and not self._waiting:
                    await self._hurry.wait()
                elif not self._waiting:
                    await self._rest(pause * random.uniform(0.8, 1.2))  # noqa: S311  no secret
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        finally:
            self._settle(ServerUnavailable("the worker is stopping"))

    async def _open(self) -> _Session:
        self._hurry.clear()
        self._news.clear()
        session = _Session(self.endpoint, self._name, self._news.set)
        self._sessions.add(session)
        session.task.add_done_callback(lambda _: self._sessions.discard(session))
        tools = await session.ready
        self._list(tools)
        self._current, self.problem = session, ""
        self._tried.set()
        log.info("mcp_server_ready", server=self._name, tools=len(tools))
        self._settle(session)
        return session

    def _is_down(self, error: ServerUnavailable) -> None:
        reason = str(error)
        if reason != self.problem or not self._tried.is_set():
            # A server that sees the user may well refuse one: the user is asked, and the operator has nothing to do.
            of_user = self.endpoint.auth is not None and refusal_of(error) is not None
            say = log.info if of_user else log.warning
            say("mcp_server_unavailable", server=self._name, reason=reason)
        self.problem = reason
        self._tried.set()
        self._settle(error)

    def _settle(self, outcome: _Session | ServerUnavailable) -> None:
        waiting, self._waiting = self._waiting, []
        self._hurry.clear()
        for waiter in waiting:
            if waiter.done():
                continue
            if isinstance(outcome, ServerUnavailable):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

    async def _watch(self, session: _Session) -> None:
        """Return when the session is over, or was given up. Until then, list the tools again when they change."""
        while True:
            await self._news.wait()
            self._news.clear()
            if session.ended:
                self._give_up(session, "the connection ended")
            if self._current is not session:
                session.retire()
                return
            if session.changed:
                await self._list_again(session)

    async def _list_again(self, session: _Session) -> None:
        session.changed = False
        try:
            async with session.used() as port, asyncio.timeout(self.endpoint.timeout_seconds):
                self._list(await port.list_tools())
        except Exception as exc:  # noqa: BLE001  the list of before is kept
            log.warning("mcp_tools_not_listed", server=self._name, reason=type(exc).__name__)
            if isinstance(exc, RequestFailed) and exc.failure.repeatable:
                self._give_up(session, exc.failure.reason)

    def _list(self, listed: list[ListedTool]) -> None:
        tools = masked(listed, self.endpoint.secrets) if self.endpoint.secrets else tuple(listed)
        if tools != self.tools or not self.version:
            self.tools = tools
            self.version += 1

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass


class _Session:
    """One session in a task of its own. It closes when it is retired and its calls have ended."""

    def __init__(self, endpoint: McpEndpoint, name: str, news: Callable[[], None]) -> None:
        self.changed = False
        self.ended = False
        self.ready: asyncio.Future[list[ListedTool]] = asyncio.get_running_loop().create_future()
        """The tools, once the session is open."""
        self._endpoint = endpoint
        self._name = name
        self._news = news
        self._port: McpSession | None = None
        self._calls = 0
        self._retired = False
        self._idle = asyncio.Event()
        self.task = asyncio.create_task(self._live())

    @asynccontextmanager
    async def used(self) -> AsyncIterator[McpSession]:
        """Keep the session open for a call."""
        assert self._port is not None  # noqa: S101  nobody is given a session that is not open
        self._calls += 1
        try:
            yield self._port
        finally:
            self._calls -= 1
            self._look()

    def retire(self) -> None:
        """Close the session after its last call."""
        self._retired = True
        self._look()

    def _look(self) -> None:
        if self._retired and not self._calls:
            self._idle.set()

    def _on_change(self) -> None:
        self.changed = True
        self._news()

    def _on_end(self) -> None:
        self.ended = True
        self._news()

    async def _live(self) -> None:
        try:
            async with self._opened() as port:
                async with asyncio.timeout(self._endpoint.timeout_seconds):
                    tools = await port.list_tools()
                self._port = port
                self.ready.set_result(tools)
                await self._idle.wait()
        except asyncio.CancelledError:
            self.ready.cancel()
            raise
        except Exception as exc:  # noqa: BLE001  whatever a transport raises, the server is away
            if self.ready.done():
                log.debug("mcp_session_ended", reason=type(exc).__name__)
                return
            self.ready.set_exception(await self._unavailable(exc))
        finally:
            self._on_end()

    async def _unavailable(self, error: Exception) -> ServerUnavailable:
        from core.agentscope.tools.mcp.session import unavailable

        return unavailable(error, self._endpoint.secrets)

    def _opened(self) -> AbstractAsyncContextManager[McpSession]:
        # Imported here: it costs a second, and most profiles name no server.
        from core.agentscope.tools.mcp.session import open_session

        return open_session(
            self._endpoint,
            name=self._name,
            changed=self._on_change,
            ended=self._on_end,
        )
