"""A scripted model endpoint on a real socket: it answers the n-th request with the n-th script, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import orjson
import pytest
from agentscope.message import Msg, UserMsg
from agentscope.model import ChatResponse

from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.model_client import create_model_client
from core.agentscope.runtime.model.prices import load_prices
from core.agentscope.schemas.internal_events import ModelUsage
from core.config import ModelSettings

Step = bytes | asyncio.Event | Literal["cut", "hang"]


@dataclass
class Received:
    """A request as it came."""

    headers: dict[str, str]
    body: dict[str, Any]
    connection: int


class Endpoint:
    """Steps of a script: bytes to send, an event to wait for, ``cut`` (close at once), ``hang`` (until the peer leaves)."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.scripts: list[list[Step]] = []
        self.arrived = asyncio.Event()
        """Set by each request; clear it to wait for the next."""
        self.left = asyncio.Event()
        """Set when the peer closes the connection during ``hang``."""
        self.base_url = ""
        self._connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def script(self, *steps: Step) -> None:
        """Add the script of one more request."""
        self.scripts.append(list(steps))

    def stream(self, *documents: dict[str, Any] | bytes, end: bool = True, **headers: str) -> None:
        """Script a stream of documents; ``[DONE]`` and the end of the body follow with ``end``."""
        self.script(*self.stream_steps(*documents, end=end, **headers))

    def stream_steps(
        self, *documents: dict[str, Any] | bytes, end: bool = True, **headers: str
    ) -> list[Step]:
        """Return the steps of a stream: the head, then one HTTP chunk a document."""
        frames = [d if isinstance(d, bytes) else b"data: %s\n\n" % orjson.dumps(d) for d in documents]
        steps: list[Step] = [self.head(**headers), *map(self.http_chunk, frames)]
        return [*steps, self.http_chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"] if end else steps

    def answer(self, status: int, body: Any, content_type: str = "application/json", **headers: str) -> None:
        """Script a whole answer that is not a stream."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        length = {"content-length": str(len(data)), "content-type": content_type}
        self.script(self._head(status, length | _names(headers)) + data)

    def head(self, **headers: str) -> bytes:
        """Return the head of a stream."""
        own = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        return self._head(200, own | _names(headers))

    @staticmethod
    def http_chunk(data: bytes) -> bytes:
        """Return a chunk of HTTP's chunked coding."""
        return b"%x\r\n%s\r\n" % (len(data), data)

    @staticmethod
    def chunk(
        delta: dict[str, Any] | None = None, finish: str | None = None, **members: Any
    ) -> dict[str, Any]:
        """Return a ``chat.completion.chunk``."""
        choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "model": "m-1",
            "choices": choices,
        } | members

    @classmethod
    def text(cls, *pieces: str, finish: str | None = "stop") -> list[dict[str, Any]]:
        """Return the documents of a text answer."""
        return [*(cls.chunk({"content": piece}) for piece in pieces), cls.chunk(finish=finish)]

    @classmethod
    def call(cls, index: int, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
        """Return a chunk with a piece of a tool call."""
        function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
        piece = {"index": index, "function": function} | ({"id": call_id} if call_id else {})
        return cls.chunk({"tool_calls": [piece]})

    @classmethod
    def usage(cls, prompt: int = 11, output: int = 7, **members: Any) -> dict[str, Any]:
        """Return the last chunk as LiteLLM sends it: the choice is there, and empty."""
        counts = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        return cls.chunk(usage=counts | members) | {"choices": [{"index": 0, "delta": {}}]}

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    @staticmethod
    def _head(status: int, headers: dict[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        if task := asyncio.current_task():
            self._tasks.add(task)
        try:
            while await self._one(reader, writer, connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.left.set()
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        body = orjson.loads(await reader.readexactly(int(headers["content-length"])))
        self.received.append(Received(headers, body, connection))
        self.arrived.set()
        steps = self.scripts[len(self.received) - 1]
        for step in steps:
            if step == "cut":
                return False
            if step == "hang":
                await reader.read(1)
                self.left.set()
                return False
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                writer.write(step)
                await writer.drain()
        return True


def _names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A scripted endpoint, listening."""
    endpoint = Endpoint()
    await endpoint.start()
    yield endpoint
    await endpoint.stop()


@dataclass
class Setup:
    """A model on the endpoint, with time in the test's hands: waiting between tries moves the clock."""

    model: OpenAICompatibleChatModel
    client: httpx.AsyncClient
    records: list[ModelUsage]
    waits: list[float] = field(default_factory=list)

    async def ask(self, *messages: Msg, **options: Any) -> list[ChatResponse]:
        """Call the model as an agent does; return every response, the whole one last.

        AgentScope's base class turns a cancellation into an ordinary end. Here
        it is raised again, or a timeout around a call that hangs would pass unseen.
        """
        asked = list(messages) or [UserMsg(name="user", content="hi")]
        stream: Any = await self.model(asked, **options)
        responses = [response async for response in stream]
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError
        return responses


SetUp = Callable[..., Setup]


@pytest.fixture
async def set_up(endpoint: Endpoint) -> AsyncIterator[SetUp]:
    """Build models on the endpoint.

    ``set_up(max_retries=0, ...)`` takes settings, ``options=`` the model's own, ``services=`` what models share.
    """
    clients: list[httpx.AsyncClient] = []

    def build(
        options: dict[str, Any] | None = None, services: dict[str, Any] | None = None, **settings: Any
    ) -> Setup:
        made = ModelSettings.model_validate(
            {"base_url": endpoint.base_url, "api_key": "sk-test-0123456789"} | settings
        )
        client = create_model_client(made)
        clients.append(client)
        records: list[ModelUsage] = []
        now = [0.0]
        setup: Setup

        async def sleep(seconds: float) -> None:
            setup.waits.append(seconds)
            now[0] += seconds

        own: dict[str, Any] = {"model": "m", "stage": "execution"} | (options or {})
        given: dict[str, Any] = {"clock": lambda: now[0]} | (services or {})
        shared = CallServices(
            client, made, load_prices(made.prices_path), sleep=sleep, dice=lambda: 0.5, **given
        )
        model = OpenAICompatibleChatModel(shared, record=records.append, **own)
        setup = Setup(model, client, records)
        return setup

    yield build
    for client in clients:
        await client.aclose()
