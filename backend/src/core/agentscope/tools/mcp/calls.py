"""One call of an MCP server's tool: what the server is sent, and what the model reads of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.mcp.connection import McpConnection
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import (
    Failure,
    RequestFailed,
    ServerRefused,
    ServerUnavailable,
    refusal_of,
)
from core.agentscope.tools.mcp.listing import ListedTool, OfferedTool, offer
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.mcp.results import answer_text, without_secrets
from core.agentscope.tools.spec import ConnectionCheck, Handler, LoginBegin, Permission, Tool, ToolContext
from core.config import ToolSettings

log = structlog.get_logger(__name__)

OfferedAs = tuple[Tool, Permission]


def offered_by(policy: McpPolicy, listed: Iterable[ListedTool]) -> Sequence[OfferedTool]:
    """Return what the agent has of a server's list; the log says what was left out."""
    made = offer(policy, listed)
    for problem in made.problems:
        log.warning("mcp_tool_left_out", server=policy.server, reason=problem)
    return made.tools


def tool_of(
    offered: OfferedTool,
    call: Handler,
    endpoint: McpEndpoint,
    settings: ToolSettings,
    connected: ConnectionCheck | None = None,
    login_url: LoginBegin | None = None,
) -> Tool:
    """Return a server's tool as the agent has it."""
    return Tool(
        name=offered.name,
        description=offered.description,
        schema=offered.schema,
        handler=call,
        permission=offered.permission,
        timeout_seconds=endpoint.timeout_seconds,
        connected=connected,
        login_url=login_url,
    ).within(settings)


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
        RequestFailed, ServerUnavailable: The server did not take the user's identity. The call was not made.
    """
    secrets = connection.endpoint.secrets
    of_user = connection.endpoint.auth is not None
    steps = _Steps(context, secrets)
    began = time.monotonic()
    try:
        result = await connection.call(
            offered.listed_name, arguments, idempotency_key=context.idempotency_key, progress=steps.take
        )
    except ServerRefused as exc:
        raise ToolError(without_secrets(f"The server refused the call: {exc.message}", secrets)) from exc
    except ServerUnavailable as exc:
        if of_user and refusal_of(exc):
            raise
        raise ToolError(unavailable_text(server)) from exc
    except RequestFailed as exc:
        if of_user and refusal_of(exc):
            raise
        log.warning(
            "mcp_call_failed",
            server=server,
            tool=offered.name,
            kind=exc.failure.kind,
            reason=exc.failure.reason,
            seconds=round(time.monotonic() - began, 3),
        )
        raise ToolError(_failed(server, exc.failure, of_user=of_user)) from exc
    finally:
        steps.end()
    text = answer_text(result, secrets)
    if result.isError:
        raise ToolError(text)
    return text


def unavailable_text(server: str) -> str:
    """Return what the model reads of a call that was not made because its server is away."""
    return f"The server {server} cannot be reached at the moment. The call was not made; try again later."


def _failed(server: str, failure: Failure, *, of_user: bool) -> str:
    match failure.kind:
        case "not-delivered" | "session-gone":
            return unavailable_text(server)
        case "refused" if of_user:
            return f"The server {server} does not permit this to the user. The call was not made."
        case "refused" | "unauthorized":
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
