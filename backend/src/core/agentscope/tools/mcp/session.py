"""One session with an MCP server, over the official SDK: the only file that imports it.

The SDK 1.x is what AgentScope 2.0.10 allows; its next release needs 2.x, which has another client. What of the SDK is
not public and used here: the number of the next request, and the streams of open requests. Both are needed to cancel a
call at the server, and to end a call of which the transport knows that it has no answer. ``test_session.py`` holds them.

A session is opened and closed in one task, as anyio demands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import httpx
import mcp.types as types
import structlog
from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

from core.agentscope.tools.mcp.delivery import SHORT_SECONDS, new_http_client, unauthorized
from core.agentscope.tools.mcp.endpoint import McpEndpoint
from core.agentscope.tools.mcp.failures import (
    Failure,
    Report,
    RequestFailed,
    ServerRefused,
    ServerUnavailable,
)
from core.agentscope.tools.mcp.listing import ListedTool
from core.agentscope.tools.mcp.results import without_secrets
from core.agentscope.tools.mcp.server_log import server_log
from core.redaction import secret_forms

log = structlog.get_logger(__name__)

_MAX_PAGES = 100
_SHOWN_CHARACTERS = 200
"""Of the server's own text, where it says why it refuses."""
_FAILED = "agentroute: "
"""Begins the message of an error that came from here and not from the server."""
NO_QUESTIONS = (
    "This application cannot put a question of a tool to the user. Answer with what is missing, so that the agent can "
    "ask the user and call the tool again with all arguments."
)

Progress = Callable[[float, float | None, str | None], None]


class McpSession:
    """An open session. Calls may overlap."""

    def __init__(self, sdk: _SdkSession) -> None:
        self._sdk = sdk

    async def list_tools(self) -> list[ListedTool]:
        """Return what the server offers, all pages of it.

        Raises:
            RequestFailed, ServerRefused: There is no list.
        """
        tools: list[ListedTool] = []
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(_MAX_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            request = types.ClientRequest(types.ListToolsRequest(params=params))
            page = await self._send(request, types.ListToolsResult)
            tools += [
                ListedTool(tool.name, tool.description or tool.title or "", tool.inputSchema)
                for tool in page.tools
            ]
            cursor = page.nextCursor
            if not cursor or cursor in seen:
                break
            seen.add(cursor)
        return tools

    async def call(
        self, tool: str, arguments: dict[str, Any], *, idempotency_key: str, progress: Progress | None = None
    ) -> types.CallToolResult:
        """Call a tool once. A cancelled call is cancelled at the server, too.

        Args:
            tool: The server's own name of it.
            arguments: A JSON object.
            idempotency_key: Passed on in ``_meta``, for servers that look at it.
            progress: Told of the call's progress. Must return at once.

        Raises:
            RequestFailed: There is no answer; the failure says what is known of the call.
            ServerRefused: The server's answer is an error of the protocol.
        """
        meta = types.RequestParams.Meta.model_validate({"agentroute/idempotency-key": idempotency_key})
        params = types.CallToolRequestParams(name=tool, arguments=arguments, _meta=meta)
        return await self._send(
            types.ClientRequest(types.CallToolRequest(params=params)), types.CallToolResult, progress
        )

    async def _send(
        self, request: types.ClientRequest, kind: type[Any], on_progress: Progress | None = None
    ) -> Any:
        request_id = self._sdk.next_request_id

        async def report(progress: float, total: float | None, message: str | None) -> None:
            if on_progress is not None:
                on_progress(progress, total, message)

        try:
            # Not by `call_tool`, which lists the tools again and drops the result of a call that has acted when the
            # result does not fit the tool's own schema.
            return await self._sdk.send_request(
                request, kind, progress_callback=None if on_progress is None else report
            )
        except McpError as exc:
            raise _error(exc.error) from exc
        except ValidationError as exc:
            raise RequestFailed(Failure("unreadable", "the answer has another form")) from exc
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as exc:
            # The message was not handed to the transport.
            raise RequestFailed(Failure("not-delivered", "the session is closed")) from exc
        except asyncio.CancelledError:
            if isinstance(request.root, types.CallToolRequest):
                self._sdk.cancel_later(request_id)
            raise


class _SdkSession(ClientSession):
    """The SDK's session, and what it keeps to itself."""

    def __init__(self, *streams: Any, changed: Callable[[], None], ended: Callable[[], None]) -> None:
        super().__init__(*streams, message_handler=self._heard, client_info=_client_info())
        self._changed = changed
        self._ended = ended
        self._cancelling: set[asyncio.Task[None]] = set()

    @property
    def next_request_id(self) -> int:
        return self._request_id

    def fail(self, request_id: int, failure: Failure) -> None:
        """End an open request that will have no answer; one that has its answer already stays as it is."""
        stream = self._response_streams.pop(request_id, None)
        if stream is not None:
            error = types.ErrorData(code=0, message=_FAILED + failure.reason, data=failure)
            stream.send_nowait(types.JSONRPCError(jsonrpc="2.0", id=request_id, error=error))

    def cancel_later(self, request_id: int) -> None:
        """Tell the server that nobody waits for a call any more. The caller is being cancelled and cannot wait."""
        task = asyncio.create_task(self._cancel(request_id))
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def settle(self) -> None:
        """Return when the server has been told of every cancelled call, or cannot be told."""
        if self._cancelling:
            await asyncio.wait(self._cancelling)

    def refuse_questions(self) -> None:
        """Answer questions to the user. Set only now, so that the server was not promised that they can be asked."""
        self._elicitation_callback = _no_questions

    async def _cancel(self, request_id: int) -> None:
        params = types.CancelledNotificationParams(requestId=request_id, reason="the run was stopped")
        notification = types.ClientNotification(types.CancelledNotification(params=params))
        with contextlib.suppress(Exception):
            async with asyncio.timeout(SHORT_SECONDS):
                await self.send_notification(notification)

    async def _heard(self, message: Any) -> None:
        # Called by the loop that receives answers: whatever waits for an answer here would wait for ever.
        if isinstance(message, types.ServerNotification) and isinstance(
            message.root, types.ToolListChangedNotification
        ):
            self._changed()
        elif isinstance(message, Exception):
            log.debug("mcp_message_unreadable", reason=type(message).__name__)

    async def _receive_loop(self) -> None:
        try:
            await super()._receive_loop()
        finally:
            self._ended()


@asynccontextmanager
async def open_session(
    endpoint: McpEndpoint,
    *,
    name: str,
    changed: Callable[[], None],
    ended: Callable[[], None],
) -> AsyncIterator[McpSession]:
    """Connect to a server and agree on the protocol. Opened and closed in the same task.

    Args:
        endpoint: The server.
        name: Of the server in the log.
        changed: Called when the server says that its tools have changed.
        ended: Called when the transport has ended; every open call fails then.

    Raises:
        ServerUnavailable: There is no such server, or it does not speak the protocol.
    """
    _silence_the_sdk()
    session: _SdkSession | None = None

    def report(request_id: int, failure: Failure) -> None:
        if session is not None:
            session.fail(request_id, failure)

    began = False
    try:
        async with AsyncExitStack() as resources:
            async with asyncio.timeout(endpoint.timeout_seconds):
                streams = await resources.enter_async_context(_transport(endpoint, name, report))
                session = await resources.enter_async_context(
                    _SdkSession(*streams, changed=changed, ended=ended)
                )
                try:
                    await session.initialize()
                except McpError as exc:
                    raise _error(exc.error) from exc
            session.refuse_questions()
            resources.push_async_callback(session.settle)
            began = True
            yield McpSession(session)
    except Exception as exc:
        if began:
            raise
        raise unavailable(exc, endpoint.secrets) from exc


@asynccontextmanager
async def _transport(endpoint: McpEndpoint, name: str, report: Report) -> AsyncIterator[tuple[Any, Any]]:
    if endpoint.transport == "stdio":
        program, *arguments = endpoint.command
        if program == "python":
            # Of what the worker runs with: the one on PATH may be another, without the packages that are installed here.
            program = sys.executable
        if not _is_there(program, endpoint):
            raise ServerUnavailable(f"there is no program {program}")
        guard = ["-I", "-m", "core.agentscope.tools.mcp.stdio_guard", str(os.getpid())]
        parameters = StdioServerParameters(
            command=sys.executable,
            args=[*guard, program, *arguments],
            env=dict(endpoint.env),
            cwd=endpoint.cwd,
            encoding_error_handler="replace",
        )
        async with server_log(name) as errors, stdio_client(parameters, errors) as streams:
            yield streams
        return
    client = new_http_client(
        report,
        connect_seconds=endpoint.timeout_seconds,
        headers=dict(endpoint.headers),
        answers_elsewhere=endpoint.transport == "sse",
    )
    if endpoint.transport == "sse":
        async with sse_client(endpoint.url, httpx_client_factory=_Always(client)) as streams:
            yield streams
        return
    async with client, streamable_http_client(endpoint.url, http_client=client) as (read, write, _):
        yield read, write


def _is_there(program: str, endpoint: McpEndpoint) -> bool:
    if "/" in program:
        # It starts in the endpoint's folder; `which` looks from the worker's.
        program = str((Path(endpoint.cwd or ".") / program).absolute())
    return shutil.which(program, path=endpoint.variables.get("PATH")) is not None


class _Always:
    """A maker of clients that returns one that is there. The SDK closes it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    def __call__(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        return self._client


def unavailable(error: BaseException, secrets: Iterable[str]) -> ServerUnavailable:
    """Return why there is no session, in a form that tells a refused user from a server that is away."""
    if isinstance(error, ServerUnavailable):
        return error
    return ServerUnavailable(reason_of(error, secrets), _failure_of(error))


def _failure_of(error: BaseException) -> Failure | None:
    match error:
        case BaseExceptionGroup():
            return _failure_of(error.exceptions[0])
        case RequestFailed():
            return error.failure
        case httpx.HTTPStatusError() if error.response.status_code == 401:
            # The stream of the older transport.
            return unauthorized(error.response)
        case _:
            return None


def reason_of(error: BaseException, secrets: Iterable[str]) -> str:
    """Return why a connection failed, in a few words that hold no secret.

    Args:
        error: What was raised.
        secrets: Of the endpoint; the server may have repeated one.
    """
    match error:
        case BaseExceptionGroup():
            return reason_of(error.exceptions[0], secrets)
        case RequestFailed() | ServerUnavailable():
            return str(error)
        case ServerRefused():
            # Masked before the cut: nobody recognises a part of a secret afterwards.
            forms = [form for secret in secrets for form in secret_forms(secret)]
            return f"it answered: {without_secrets(error.message, forms)[:_SHOWN_CHARACTERS]}"
        case httpx.HTTPStatusError():
            return f"HTTP {error.response.status_code}"
        case TimeoutError() | httpx.TimeoutException():
            return "it did not answer in time"
        case httpx.ConnectError():
            return "it cannot be reached"
        case RuntimeError():
            return "it speaks another version of the protocol"
        case _:
            return type(error).__name__


async def _no_questions(*_: Any) -> types.ErrorData:
    return types.ErrorData(code=types.INVALID_REQUEST, message=NO_QUESTIONS)


def _client_info() -> types.Implementation:
    return types.Implementation(name="agentroute", version=version("agentroute"))


class _FromTheSdk(logging.Filter):
    """Keeps the bodies of messages out of the log: the SDK writes some of them, to the root logger too."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.pathname.endswith("mcp/shared/session.py")


_FILTER = _FromTheSdk()


def _silence_the_sdk() -> None:
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_FILTER)


def _error(error: types.ErrorData) -> Exception:
    if (error.code, error.message) == (types.CONNECTION_CLOSED, "Connection closed"):
        return RequestFailed(Failure("lost", "the connection was closed"))
    if error.message.startswith(_FAILED) and isinstance(error.data, Failure):
        return RequestFailed(error.data)
    if error.message == "Session terminated":
        return RequestFailed(Failure("session-gone", "the server ended the session"))
    return ServerRefused(error.message)
