"""The tools of a profile's MCP servers, as the runs of a worker get them: what is known at the moment a run begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import Failure, RequestFailed, ServerRefused, ServerUnavailable
from core.agentscope.tools.mcp.listing import OfferedTool, offer
from core.agentscope.tools.mcp.names import server_of
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.results import answer_text, without_secrets
from core.agentscope.tools.spec import Permission, Tool, ToolContext
from core.config import ToolSettings

log = structlog.get_logger(__name__)

START_SECONDS = 10.0
"""A worker that starts waits at most this long for servers that do not answer. Their tools come later."""


class McpConnections:
    """The connections of a worker process: one for each server, also if several profiles name it."""

    def __init__(self) -> None:
        self._open: dict[McpEndpoint, McpConnection] = {}

    def to(self, endpoint: McpEndpoint, name: str) -> McpConnection:
        """Return the connection to a server; it is begun if there is none."""
        connection = self._open.get(endpoint)
        if connection is None:
            connection = self._open[endpoint] = McpConnection(endpoint, name)
            connection.start()
        return connection

    async def tried(self) -> None:
        """Return when each server has been tried once, or did not answer for ``START_SECONDS``."""
        if self._open:
            tries = [asyncio.create_task(connection.tried()) for connection in self._open.values()]
            _, late = await asyncio.wait(tries, timeout=START_SECONDS)
            for task in late:
                task.cancel()

    async def close(self) -> None:
        """Close all connections, and end the programs that were started."""
        if self._open:
            await asyncio.gather(*(connection.close() for connection in self._open.values()))


class McpToolset:
    """The tools of one profile's servers."""

    def __init__(self, servers: Sequence[tuple[McpPolicy, McpConnection]], settings: ToolSettings) -> None:
        self._servers = [_Server(policy, connection, settings) for policy, connection in servers]
        self._names = frozenset(policy.server for policy, _ in servers)

    def tools(self) -> list[tuple[Tool, Permission]]:
        """Return the tools that are known now. Costs nothing while the lists stay the same."""
        return [tool for server in self._servers for tool in server.tools()]

    def owns(self, name: str) -> bool:
        """Return whether a tool of this name is one of these servers', known now or not."""
        return server_of(name) in self._names


class _Server:
    def __init__(self, policy: McpPolicy, connection: McpConnection, settings: ToolSettings) -> None:
        self._policy = policy
        self._connection = connection
        self._settings = settings
        self._version = 0
        self._tools: list[tuple[Tool, Permission]] = []

    def tools(self) -> list[tuple[Tool, Permission]]:
        if self._version != self._connection.version:
            self._version = self._connection.version
            made = offer(self._policy, self._connection.tools)
            for problem in made.problems:
                log.warning("mcp_tool_left_out", server=self._policy.server, reason=problem)
            self._tools = [(self._tool(tool), tool.permission) for tool in made.tools]
        return self._tools

    def _tool(self, offered: OfferedTool) -> Tool:
        server, connection = self._policy.server, self._connection

        async def call(arguments: dict[str, Any], context: ToolContext) -> str:
            return await call_tool(connection, server, offered, arguments, context)

        return Tool(
            name=offered.name,
            description=offered.description,
            schema=offered.schema,
            handler=call,
            permission=offered.permission,
            timeout_seconds=connection.endpoint.timeout_seconds,
        ).within(self._settings)


async def call_tool(
    connection: McpConnection,
    server: str,
    offered: OfferedTool,
    arguments: dict[str, Any],
    context: ToolContext,
) -> str:
    """Call a tool of a server and return its answer as text.

    Raises:
        ToolError: The server says that the call failed, or there is no answer. The text is for the model.
    """
    secrets = connection.endpoint.secrets
    steps = _Steps(context, secrets)
    began = time.monotonic()
    try:
        result = await connection.call(
            offered.listed_name, arguments, idempotency_key=context.idempotency_key, progress=steps.take
        )
    except ServerRefused as exc:
        raise ToolError(without_secrets(f"The server refused the call: {exc.message}", secrets)) from exc
    except ServerUnavailable as exc:
        raise ToolError(_unavailable(server)) from exc
    except RequestFailed as exc:
        log.warning(
            "mcp_call_failed",
            server=server,
            tool=offered.name,
            kind=exc.failure.kind,
            reason=exc.failure.reason,
            seconds=round(time.monotonic() - began, 3),
        )
        raise ToolError(_failed(server, exc.failure)) from exc
    finally:
        steps.end()
    text = answer_text(result, secrets)
    if result.isError:
        raise ToolError(text)
    return text


def _unavailable(server: str) -> str:
    return f"The server {server} cannot be reached at the moment. The call was not made; try again later."


def _failed(server: str, failure: Failure) -> str:
    match failure.kind:
        case "not-delivered" | "session-gone":
            return _unavailable(server)
        case "refused":
            return (
                f"The server {server} does not accept this application's credentials. The call was not made."
            )
        case "unreadable":
            return (
                f"The server {server} answered something that cannot be read. The call may have taken effect."
            )
        case "failed":
            return f"The server {server} failed ({failure.reason}). The call may have taken effect."
        case "lost":
            return (
                f"The connection to the server {server} broke during the call. The call may have taken effect: "
                "check before you make it again."
            )


class _Steps:
    """Passes on a call's progress. The newest step counts: the server may be faster than the steps can be shown.

    Args:
        context: Of the call.
        secrets: Masked, should the server repeat them.
    """

    def __init__(self, context: ToolContext, secrets: Sequence[str]) -> None:
        self._context = context
        self._secrets = secrets
        self._newest: tuple[float, float | None, str | None] | None = None
        self._news = asyncio.Event()
        self._reporting: asyncio.Task[None] | None = None
        if context.progress_report is not None:
            self._reporting = asyncio.create_task(self._report())
            self._reporting.add_done_callback(_log_failure)

    def take(self, done: float, total: float | None, message: str | None) -> None:
        """Take in a step; returns at once."""
        self._newest = (done, total, message)
        self._news.set()

    def end(self) -> None:
        """Report nothing more."""
        if self._reporting is not None:
            self._reporting.cancel()

    async def _report(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._newest is not None:
                done, total, message = self._newest
                line = without_secrets(message or "", self._secrets)
                await self._context.progress(line, progress=done, total=total)


def _log_failure(reporting: asyncio.Task[None]) -> None:
    """Progress is a courtesy: when it cannot be shown, the call goes on."""
    if not reporting.cancelled() and (error := reporting.exception()) is not None:
        log.warning("mcp_progress_not_shown", error=type(error).__name__)
