"""An MCP server made with the SDK's own server, in a process of its own: it dies, forgets, lags and lies when asked to.

    python tests/support/mcp_server.py stdio|http|sse FOLDER [PORT]

Over HTTP it writes its port to ``FOLDER/port`` when it listens. Every call of ``act`` appends a line to
``FOLDER/effects``; ``wait`` does so when it begins and when it is cancelled. A test waits for these lines.

With ``FOLDER/users`` (JSON, users by their tokens) it wants the token of a user in every request, and answers 401
otherwise. Every request is a line of ``FOLDER/requests``: the user and the session.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import mcp.types as types
import uvicorn
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ANY: dict[str, Any] = {"type": "object", "properties": {}}
TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"$ref": "#/$defs/text"}},
    "required": ["text"],
    "$defs": {"text": {"type": "string"}},
}

logging.getLogger("mcp").setLevel(logging.CRITICAL)
folder = Path(sys.argv[2])
server: Server[Any, Any] = Server("tests")
more_tools: list[str] = []
sessions: StreamableHTTPSessionManager


def effect(line: str) -> None:
    with (folder / "effects").open("a") as file:
        file.write(line + "\n")


def tool(name: str, schema: dict[str, Any] = ANY, **more: Any) -> types.Tool:
    return types.Tool(name=name, description=f"The tool {name}.", inputSchema=schema, **more)


@server.list_tools()
async def list_tools() -> list[types.Tool]:
    effect("list")
    named = [
        "act",
        "wait",
        "big",
        "parts",
        "structured",
        "fail",
        "refuse",
        "die",
        "grow",
        "forget",
        "ask",
        "tell",
    ]
    strange = ["search code", "search.code", "søk", "x" * 100, "x" * 101]
    bad = tool("bad_schema", {"type": "object", "properties": {"a": {"$ref": "https://example.org/a"}}})
    hinted = tool("hinted", annotations=types.ToolAnnotations(readOnlyHint=True))
    own = [tool("whoami"), tool("leak"), tool("connect")] if (folder / "users").exists() else []
    return [*own, tool("echo", TEXT), hinted, bad, *map(tool, [*named, *strange, *more_tools])]


@server.call_tool(validate_input=False)
async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
    context = server.request_context
    match name:
        case "echo":
            return [types.TextContent(type="text", text=str(arguments["text"]))]
        case "act":
            meta = context.meta.model_dump() if context.meta else {}
            effect(f"act {meta.get('agentroute/idempotency-key', '')}".strip())
            return [types.TextContent(type="text", text="acted")]
        case "wait":
            return await wait(context)
        case "big":
            return [types.TextContent(type="text", text="ä" * (5 << 20 >> 1))]
        case "parts":
            return parts()
        case "structured":
            return {"answer": 42}
        case "fail":
            raise ValueError("there is no such order")
        case "refuse":
            raise types_error()
        case "die":
            effect("die")
            os._exit(3)
        case "grow":
            more_tools.append("grown")
            await context.session.send_tool_list_changed()
            return []
        case "forget":
            sessions._server_instances.clear()
            return []
        case "ask":
            answer = await context.session.elicit("How many?", {"type": "object", "properties": {}})
            return [types.TextContent(type="text", text=answer.model_dump_json())]
        case "whoami":
            return [types.TextContent(type="text", text=f"you are {user_of(headers_of(context))}")]
        case "leak":
            return await leak(context)
        case "tell":
            request = context.request
            headers = dict(request.headers) if isinstance(request, Request) else dict(os.environ)
            return [types.TextContent(type="text", text=json.dumps(headers))]
        case _:
            return [types.TextContent(type="text", text=f"called {name}")]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  another process meets the condition
        await asyncio.sleep(0.01)


def types_error() -> Exception:
    from mcp.shared.exceptions import UrlElicitationRequiredError

    return UrlElicitationRequiredError(
        [
            types.ElicitRequestURLParams(
                url="https://example.org/x", elicitationId="e", message="Log in first."
            )
        ]
    )


async def wait(context: Any) -> Any:
    effect("wait")
    token = context.meta.progressToken if context.meta else None
    if token is not None:
        await context.session.send_progress_notification(
            token, 1, 2, "half", related_request_id=str(context.request_id)
        )
    try:
        await until((folder / "go").exists)
    except asyncio.CancelledError:
        effect("cancelled")
        raise
    return [types.TextContent(type="text", text="waited")]


def users() -> dict[str, str]:
    return json.loads((folder / "users").read_text())


def user_of(headers: dict[str, str]) -> str | None:
    return users().get(headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-key", ""))


def headers_of(context: Any) -> dict[str, str]:
    return dict(context.request.headers)


async def leak(context: Any) -> Any:
    """Repeat the user's token wherever a server can."""
    token = headers_of(context)["authorization"]
    if context.meta and context.meta.progressToken is not None:
        await context.session.send_progress_notification(
            context.meta.progressToken, 1, 2, token, related_request_id=str(context.request_id)
        )
    return types.CallToolResult(
        content=[
            types.TextContent(type="text", text=f"{token} {base64.b64encode(token[7:].encode()).decode()}")
        ],
        structuredContent={"token": token},
        isError=True,
    )


def for_users(app: Any) -> Any:
    """Return the app behind a check of the users' tokens."""

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        user = user_of(headers)
        with (folder / "requests").open("a") as file:
            file.write(f"{user} {headers.get('mcp-session-id', '')}\n")
        if user is None:
            refusal = Response(status_code=401, headers={"www-authenticate": 'Bearer realm="tests"'})
            await refusal(scope, receive, send)
            return
        await app(scope, receive, send)

    return checked


def parts() -> list[Any]:
    return [
        types.TextContent(type="text", text="first\x00"),
        types.ImageContent(type="image", data=PIXEL, mimeType="image/png"),
        types.AudioContent(type="audio", data="AAAA", mimeType="audio/wav"),
        types.ResourceLink(type="resource_link", name="report", uri="https://example.org/report.pdf"),  # pyright: ignore[reportArgumentType]
        types.EmbeddedResource(
            type="resource",
            resource=types.TextResourceContents(uri="file:///notes.txt", text="notes", mimeType="text/plain"),  # pyright: ignore[reportArgumentType]
        ),
        types.EmbeddedResource(
            type="resource",
            resource=types.BlobResourceContents(uri="file:///a.bin", blob="AAAA", mimeType="application/x-a"),  # pyright: ignore[reportArgumentType]
        ),
    ]


def options() -> Any:
    return server.create_initialization_options(NotificationOptions(tools_changed=True))


async def over_stdio() -> None:
    if os.environ.get("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(f"begins with {os.environ.get('SHOP_TOKEN', 'nothing')}", file=sys.stderr, flush=True)
    if os.environ.get("NOISE"):
        print("this is no message of the protocol", flush=True)
    (folder / "pid").write_text(str(os.getpid()))
    async with stdio_server() as (read, write):
        await server.run(read, write, options())
    await until(lambda: not os.environ.get("STUBBORN"))


def http_app() -> Starlette:
    global sessions
    sessions = StreamableHTTPSessionManager(server, json_response=bool(os.environ.get("JSON_RESPONSE")))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with sessions.run():
            yield

    return Starlette(routes=[Mount("/mcp", app=sessions.handle_request)], lifespan=lifespan)


def sse_app() -> Starlette:
    transport = SseServerTransport("/messages/")

    async def stream(request: Request) -> Response:
        async with transport.connect_sse(request.scope, request.receive, request._send) as (read, write):
            await server.run(read, write, options())
        return Response()

    return Starlette(routes=[Route("/sse", stream), Mount("/messages/", app=transport.handle_post_message)])


def over_http(app: Any, port: int) -> None:
    if (folder / "users").exists():
        app = for_users(app)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()
    part = folder / "port.part"
    part.write_text(str(listening.getsockname()[1]))
    part.rename(folder / "port")
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    given_port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    match sys.argv[1]:
        case "stdio":
            asyncio.run(over_stdio())
        case "http":
            over_http(http_app(), given_port)
        case _:
            over_http(sse_app(), given_port)
