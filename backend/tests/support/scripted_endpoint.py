"""A model endpoint that plays any answer, byte by byte, and refuses any request: one directive a shape.

``Reply`` is a directive: a status, headers, and the parts of the body. ``ScriptedEndpoint`` chooses one for each
request: the first rule that fits, else the next reply of the script, else ``otherwise``. The same endpoint is reached
without a socket (``client``, ``services``: fast) or over one (``async with endpoint.serving() as base_url``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import httpx
import orjson

from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.prices import load_prices
from core.config import ModelSettings

RESET: Literal["reset"] = "reset"
"""In a body: the connection breaks."""
HANG: Literal["hang"] = "hang"
"""In a body: nothing more comes until the caller leaves."""
STRUCTURED_TOOL = "generate_structured_output"
"""The tool by which AgentScope asks for structured output."""

Part = bytes | asyncio.Event | Literal["reset", "hang"]
"""Bytes to send, an event to wait for, or an end without an end. Each ``bytes`` is one read of the peer."""

_STREAM = {"content-type": "text/event-stream"}
_JSON = {"content-type": "application/json"}
_NO_HEADERS: Mapping[str, str] = {}


@dataclass
class Request:
    """A request as it came."""

    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def structured(self) -> bool:
        """Whether it asks for structured output, as the intent stage does."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or ()] == [STRUCTURED_TOOL]


@dataclass(frozen=True)
class Reply:
    """An answer: what the head says, then the body's parts in order."""

    parts: tuple[Part, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: _STREAM)


When = Callable[[Request], bool]


# --- directives ----------------------------------------------------------------------------------------


def event(document: Any, *, end: bytes = b"\n\n") -> bytes:
    """Return one frame: ``data:`` and the document as JSON, or a text as it is."""
    data = document.encode() if isinstance(document, str) else orjson.dumps(document)
    return b"data: " + data + end


def c(delta: dict[str, Any], finish: str | None = None, **members: Any) -> bytes:
    """Return a frame with one chunk; ``members`` are further members of the choice."""
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish} | members]})


def said(*texts: str) -> bytes:
    """Return frames with texts of the answer."""
    return b"".join(c({"content": text}) for text in texts)


def calls(name: str, arguments: str = "{}", *, id: str = "c1", index: int = 0) -> bytes:  # noqa: A002  OpenAI's word
    """Return a frame with a whole tool call."""
    function = {"name": name, "arguments": arguments}
    return c({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})


D = b"data: [DONE]\n\n"
USAGE = event({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
S = c({}, "stop") + USAGE + D
"""The end of an answer: finish reason, token counts, end marker."""
T = c({}, "tool_calls") + USAGE + D
"""The end of an answer that asks for tools."""


def stream(*parts: Part, **headers: str) -> Reply:
    """Answer with a stream of exactly these parts."""
    return Reply(parts, headers=_STREAM | _names(headers))


def refusal(
    status: int, message: str = "refused", *, headers: Mapping[str, str] = _NO_HEADERS, **error: Any
) -> Reply:
    """Answer with an HTTP error in OpenAI's form; ``error`` are further members of it."""
    return document({"error": {"message": message, **error}}, status=status, headers=headers)


def document(body: Any, *, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> Reply:
    """Answer with one document: JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Reply((data,), status, _JSON | dict(headers))


def intent(kind: str = "task", *, needs_tools: bool = True) -> Reply:
    """Answer a request for structured output, as the intent stage wants it."""
    found = {"kind": kind, "needs_tools": needs_tools, "plan": []}
    return stream(calls(STRUCTURED_TOOL, orjson.dumps(found).decode(), id="intent"), T)


# --- predicates ----------------------------------------------------------------------------------------


def has(member: str) -> When:
    """Fit requests whose body has a member."""
    return lambda request: member in request.body


def has_message(test: Callable[[dict[str, Any]], bool]) -> When:
    """Fit requests with a message for which ``test`` is true."""
    return lambda request: any(test(message) for message in request.body["messages"])


def is_structured(request: Request) -> bool:
    """Fit requests for structured output."""
    return request.structured


# --- the endpoint --------------------------------------------------------------------------------------


class ScriptedEndpoint:
    """Chooses a reply for each request, and keeps the requests."""

    def __init__(self, *script: Reply, otherwise: Reply | None = None) -> None:
        """Begin with a script.

        Args:
            script: Replies to the requests that no rule fits, one each.
            otherwise: Reply to every request after the script; without it such a request is a failure of the test.
        """
        self.script = list(script)
        self.otherwise = otherwise
        self.requests: list[Request] = []
        """All requests, in order."""
        self.hangs = asyncio.Event()
        """Set when a body came to ``HANG``."""
        self.left = asyncio.Event()
        """Set when a caller left a body that hangs."""
        self._rules: list[tuple[When, Reply]] = []

    def when(self, fits: When, reply: Reply) -> ScriptedEndpoint:
        """Answer every request that fits with this reply. Earlier rules go first."""
        self._rules.append((fits, reply))
        return self

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of all requests."""
        return [request.body for request in self.requests]

    def reply_to(self, request: Request) -> Reply:
        """Keep a request and return its reply."""
        self.requests.append(request)
        for fits, reply in self._rules:
            if fits(request):
                return reply
        if self.script:
            return self.script.pop(0)
        if self.otherwise is None:
            raise AssertionError(f"request {len(self.requests)} was not expected")
        return self.otherwise

    # --- without a socket

    def client(self) -> httpx.AsyncClient:
        """Return a client whose every request comes here."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    def services(self, *, settings: Mapping[str, Any] | None = None, **changes: Any) -> CallServices:
        """Return the services of models that call this endpoint, one try each unless ``settings`` say otherwise.

        ``changes`` replaces some services.
        """
        values: dict[str, Any] = {"base_url": "http://model.test/v1", "name": "m", "max_retries": 0}
        made = ModelSettings.model_validate(values | dict(settings or {}))
        return replace(CallServices(self.client(), made, load_prices()), **changes)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        reply = self.reply_to(Request(dict(request.headers), orjson.loads(request.content)))
        return httpx.Response(reply.status, headers=dict(reply.headers), content=self._play(reply))

    async def _play(self, reply: Reply) -> AsyncIterator[bytes]:
        for part in reply.parts:
            match part:
                case "reset":
                    raise httpx.ReadError("the connection broke")
                case "hang":
                    await self._hang(asyncio.Event().wait())
                case asyncio.Event():
                    await part.wait()
                case _:
                    yield part

    async def _hang(self, leaving: Any) -> None:
        self.hangs.set()
        try:
            await leaving
        finally:
            self.left.set()

    # --- over a socket

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen on a free port of this machine; gives the base URL."""
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if task := asyncio.current_task():
                tasks.add(task)
            try:
                while await self._exchange(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request and answer it; returns whether the connection can be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        data = await reader.readexactly(int(headers.get("content-length", "0")))
        reply = self.reply_to(Request(headers, orjson.loads(data or b"{}")))
        lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{k}: {v}" for k, v in reply.headers.items())]
        writer.write("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode("latin-1"))
        for part in reply.parts:
            match part:
                case "reset":
                    writer.transport.abort()
                    return False
                case "hang":
                    await self._hang(reader.read(1))
                    return False
                case asyncio.Event():
                    await part.wait()
                case b"":
                    pass
                case _:
                    writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
