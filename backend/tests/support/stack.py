"""The whole service inside the test process: API servers on real sockets, workers, the demo model.

The fixtures of ``tests/integration/conftest.py`` open it. What a test waits for
is a condition; every timeout means failure.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, NamedTuple, Protocol

import asyncpg
import httpx
import jwt
import orjson
import uvicorn
from ag_ui_validate.pytest_plugin import validate_agui
from fastapi import FastAPI
from tests.support.agui_reducer import AguiClient
from tests.support.limits import HUNG_SECONDS

from agentroute.app import create_app
from agentroute.worker import Worker, _listen, open_worker
from core.agentscope.events.history_fold import fold
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.config import Settings

BASE = "/api/v1/agent"
SECRET = "a-secret-of-more-than-thirty-two-bytes"
TERMINAL = frozenset({"RUN_FINISHED", "RUN_ERROR"})

Event = dict[str, Any]
Row = dict[str, Any]
Condition = Callable[[], Awaitable[Any]]


# --- server-sent events ----------------------------------------------------------


class Frame(NamedTuple):
    """One event as it came over the wire."""

    id: str
    data: bytes
    raw: bytes

    @property
    def event(self) -> Event:
        return orjson.loads(self.data)


def parse_block(block: bytes) -> Frame | None:
    """Read one block without its empty line; comments, the retry line and what is not in the log are no frame."""
    if block.startswith(b'data: {"type":"CUSTOM","name":"agentroute.input",'):
        assert b"\n" not in block, block
        return None
    if block.startswith(b":") or block.startswith(b"retry: "):
        assert b"\n" not in block, block
        return None
    name, data = block.split(b"\n")
    assert name.startswith(b"id: "), block
    assert data.startswith(b"data: "), block
    return Frame(name[4:].decode(), data[6:], block + b"\n\n")


class EventStream:
    """An open event stream, read frame by frame; keeps every byte."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.body = b""
        self.frames: list[Frame] = []
        self.blocks: list[bytes] = []
        """Everything that ended with an empty line, comments too."""
        self._chunks = response.aiter_raw()
        self._rest = b""

    @property
    def events(self) -> list[Event]:
        return [frame.event for frame in self.frames]

    async def next(self) -> Frame | None:
        """Return the next event; ``None`` when the body has ended in order."""
        async with asyncio.timeout(HUNG_SECONDS):
            while True:
                block, separator, rest = self._rest.partition(b"\n\n")
                if separator:
                    self._rest = rest
                    self.blocks.append(block)
                    if frame := parse_block(block):
                        self.frames.append(frame)
                        return frame
                    continue
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    assert self._rest == b"", self._rest
                    return None
                self.body += chunk
                self._rest += chunk

    async def until(self, type_: str, **members: Any) -> Event:
        """Read on to the first event of a type with these members."""
        while frame := await self.next():
            event = frame.event
            if event["type"] == type_ and members.items() <= event.items():
                return event
        raise AssertionError(f"the stream ended without {type_} {members}: {self.events}")

    async def to_end(self) -> list[Event]:
        """Read to the end of the body; returns all events since the beginning."""
        while await self.next():
            pass
        return self.events


@dataclass
class Reply:
    """A whole answer. Of an event stream: its frames too."""

    status: int
    headers: httpx.Headers
    body: bytes
    frames: list[Frame] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def events(self) -> list[Event]:
        return [frame.event for frame in self.frames]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def cursors(self) -> list[str]:
        return [frame.id for frame in self.frames]

    @property
    def raw(self) -> bytes:
        """The bytes of the frames, without the retry line and the heartbeats."""
        return b"".join(frame.raw for frame in self.frames)

    @property
    def end(self) -> Event:
        """The terminal event, which has to be the last."""
        terminal = [event for event in self.events if event["type"] in TERMINAL]
        assert terminal == self.events[-1:], self.types
        return terminal[0]

    @property
    def text(self) -> str:
        """All text of the assistant."""
        return "".join(event["delta"] for event in self.events if event["type"] == "TEXT_MESSAGE_CONTENT")

    @property
    def interrupts(self) -> list[dict[str, Any]]:
        assert self.end["outcome"]["type"] == "interrupt", self.end
        return self.end["outcome"]["interrupts"]

    def of(self, type_: str) -> list[Event]:
        return [event for event in self.events if event["type"] == type_]

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """Check that the answer is this refusal, and return its document."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        assert (self.status, self.json["code"]) == (status, code), self.body
        return self.json


# --- the parts -------------------------------------------------------------------


class _Server(uvicorn.Server):
    """Says when it accepts connections; leaves the signals of the test process alone."""

    def __init__(self, app: Any, *, lifespan: bool) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="on" if lifespan else "off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serving(app: Any, *, lifespan: bool = True) -> AsyncIterator[str]:
    """Serve an application on a free port; yields its base URL."""
    server = _Server(app, lifespan=lifespan)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # As uvloop does it, which a test does not have: without it, each answer on a connection that is kept takes 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(HUNG_SECONDS):
                accepting = asyncio.create_task(server.accepting.wait())
                await asyncio.wait({accepting, task}, return_when=asyncio.FIRST_COMPLETED)
                accepting.cancel()
            assert not task.done(), "the server did not start"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@dataclass
class DemoModel:
    """The scripted model, and what it was asked."""

    url: str
    requests: list[dict[str, Any]]

    def asked(self, text: str) -> list[dict[str, Any]]:
        """Return the requests whose conversation holds a text, oldest first."""
        return [body for body in self.requests if text in orjson.dumps(body["messages"]).decode()]


@dataclass
class Web:
    """A web site for ``fetch_url``: every path says its name, except ``/hang``, which never answers."""

    url: str = ""
    hits: list[str] = field(default_factory=list)
    """Paths asked for, oldest first."""

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.hits.append(scope["path"])
        if scope["path"].startswith("/hang"):
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        head = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": f"This is {scope['path']}.".encode()})


@dataclass
class Api:
    """An API process' inside, on a socket of its own."""

    url: str
    app: FastAPI
    _exit: AsyncExitStack
    _clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def client(self, user: str) -> httpx.AsyncClient:
        """Return the client of a user."""
        if user not in self._clients:
            now = int(time.time())
            token = jwt.encode({"sub": user, "iat": now, "exp": now + 3600}, SECRET, algorithm="HS256")
            self._clients[user] = httpx.AsyncClient(
                base_url=self.url + BASE,
                headers={"Authorization": f"Bearer {token}"},
                timeout=HUNG_SECONDS,
                limits=httpx.Limits(max_connections=None),
                trust_env=False,
            )
        return self._clients[user]

    def drain(self) -> None:
        """Begin to stop, as a signal does: every open stream ends."""
        self.app.state.container.drain.set()

    async def stop(self) -> None:
        """Stop in order."""
        self.drain()
        for client in self._clients.values():
            await client.aclose()
        await self._exit.aclose()


@dataclass
class RunningWorker:
    """A worker process' inside, listening for hints."""

    worker: Worker
    _finish: asyncio.Event
    _listening: asyncio.Task[None]
    _exit: AsyncExitStack

    async def stop(self, grace_seconds: float = 0.0) -> None:
        """Stop as a signal does: no more hints, then the grace, then the shutdown of what still runs."""
        self._finish.set()
        await self.worker.executor.drain(grace_seconds)
        self._listening.cancel()
        await asyncio.wait({self._listening})
        await self._exit.aclose()


class Stack:
    """API processes and workers over one database and one Redis, as clients see them.

    Methods take ``user`` (a name in a token) and ``api`` (another than the first).
    """

    def __init__(self, settings: Settings, demo: DemoModel) -> None:
        self.settings = settings
        self.demo = demo
        self.apis: list[Api] = []
        self.workers: list[RunningWorker] = []
        self._names = itertools.count(1)

    # --- processes

    async def start_api(self, **sections: Mapping[str, Any]) -> Api:
        """Start an API process; ``sections`` override settings."""
        exits = AsyncExitStack()
        app = create_app(merged(self.settings, sections))
        api = Api(await exits.enter_async_context(serving(app)), app, exits)
        self.apis.append(api)
        return api

    async def start_worker(self, **sections: Mapping[str, Any]) -> RunningWorker:
        """Start a worker; ``sections`` override settings."""
        settings = merged(self.settings, sections)
        exits = AsyncExitStack()
        worker = await exits.enter_async_context(open_worker(settings))
        finish = asyncio.Event()
        listening = asyncio.create_task(_listen(worker, settings, finish))
        running = RunningWorker(worker, finish, listening, exits)
        self.workers.append(running)
        return running

    async def stop_api(self, api: Api) -> None:
        self.apis.remove(api)
        await api.stop()

    async def stop_worker(self, worker: RunningWorker, grace_seconds: float = 0.0) -> None:
        self.workers.remove(worker)
        await worker.stop(grace_seconds)

    async def close(self) -> None:
        for api in list(self.apis):
            await self.stop_api(api)
        for worker in list(self.workers):
            await self.stop_worker(worker)

    # --- requests

    def new_id(self, kind: str) -> str:
        """Return an id nobody has used."""
        return f"{kind}-{next(self._names)}"

    def run_body(
        self, text: str | None = None, *, thread: str | None = None, run: str | None = None, **members: Any
    ) -> dict[str, Any]:
        """Return the body of a run that says ``text``; an AG-UI 1.0 client's, unless ``members`` say otherwise."""
        run = run or self.new_id("run")
        messages = [] if text is None else [{"id": f"user-{run}", "role": "user", "content": text}]
        body = {
            "threadId": thread or self.new_id("thread"),
            "runId": run,
            "protocolVersion": "1.0",
            "messages": messages,
            "state": {},
            "tools": [],
            "context": [],
            "forwardedProps": {},
        }
        return {name: value for name, value in (body | members).items() if value is not None}

    async def request(
        self, method: str, path: str, *, user: str = "ada", api: Api | None = None, **options: Any
    ) -> Reply:
        """Send any request and read the whole answer."""
        async with self._stream(method, path, user, api, **options) as stream:
            if stream.response.headers.get("content-type", "").startswith("text/event-stream"):
                await stream.to_end()
            else:
                stream.body = await stream.response.aread()
            response = stream.response
            return Reply(response.status_code, response.headers, stream.body, stream.frames)

    @asynccontextmanager
    async def _stream(
        self, method: str, path: str, user: str, api: Api | None, **options: Any
    ) -> AsyncIterator[EventStream]:
        client = (api or self.apis[0]).client(user)
        async with client.stream(method, path, **options) as response:
            yield EventStream(response)

    async def post_run(
        self,
        text: str | None = None,
        *,
        body: dict[str, Any] | None = None,
        user: str = "ada",
        api: Api | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> Reply:
        """``POST /runs`` in its 202 form."""
        body = body or self.run_body(text, **members)
        return await self.request("POST", "/runs", user=user, api=api, json=body, headers=headers)

    async def stream_run(
        self,
        text: str | None = None,
        *,
        body: dict[str, Any] | None = None,
        path: str = "/runs",
        accept: str = "text/event-stream",
        user: str = "ada",
        api: Api | None = None,
        **members: Any,
    ) -> Reply:
        """``POST /runs`` (or ``/resume``) as a stream, to its end."""
        body = body or self.run_body(text, **members)
        headers = {"Accept": accept}
        return await self.request("POST", path, user=user, api=api, json=body, headers=headers)

    @asynccontextmanager
    async def open_run(
        self,
        text: str | None = None,
        *,
        body: dict[str, Any] | None = None,
        user: str = "ada",
        api: Api | None = None,
        **members: Any,
    ) -> AsyncIterator[EventStream]:
        """``POST /runs`` as a stream that is read while it runs; leaving it does not stop the run."""
        body = body or self.run_body(text, **members)
        headers = {"Accept": "text/event-stream"}
        async with self._stream("POST", "/runs", user, api, json=body, headers=headers) as stream:
            assert stream.response.status_code == 200, await stream.response.aread()
            yield stream

    async def resume(
        self,
        thread: str,
        answers: list[dict[str, Any]],
        *,
        user: str = "ada",
        api: Api | None = None,
        **members: Any,
    ) -> Reply:
        """``POST /resume`` as a stream, to its end."""
        body = self.run_body(thread=thread, resume=answers, **members)
        return await self.stream_run(body=body, path="/resume", user=user, api=api)

    async def read_events(
        self,
        thread: str,
        run: str | None = None,
        cursor: str | None = None,
        *,
        last_event_id: str | None = None,
        user: str = "ada",
        api: Api | None = None,
    ) -> Reply:
        """``GET /events`` to the end of the stream."""
        params, headers = _place(thread, run, cursor, last_event_id)
        return await self.request("GET", "/events", user=user, api=api, params=params, headers=headers)

    @asynccontextmanager
    async def open_events(
        self,
        thread: str,
        run: str | None = None,
        cursor: str | None = None,
        *,
        last_event_id: str | None = None,
        user: str = "ada",
        api: Api | None = None,
    ) -> AsyncIterator[EventStream]:
        """``GET /events`` as a stream that is read while it goes on."""
        params, headers = _place(thread, run, cursor, last_event_id)
        async with self._stream("GET", "/events", user, api, params=params, headers=headers) as stream:
            assert stream.response.status_code == 200, await stream.response.aread()
            yield stream

    async def history(self, thread: str, *, user: str = "ada", api: Api | None = None, **params: Any) -> Any:
        """``GET /history``, which has to succeed."""
        query = {"threadId": thread, "limit": 200, **params}
        reply = await self.request("GET", "/history", user=user, api=api, params=query)
        assert reply.status == 200, reply.body
        return reply.json

    async def cancel(self, thread: str, run: str, *, user: str = "ada", api: Api | None = None) -> Reply:
        """``POST /runs/{runId}/cancel``."""
        path = f"/runs/{run}/cancel"
        return await self.request("POST", path, user=user, api=api, json={"threadId": thread})

    async def run_status(self, thread: str, run: str, *, user: str = "ada") -> Any:
        """``GET /runs/{runId}``, which has to succeed."""
        reply = await self.request("GET", f"/runs/{run}", user=user, params={"threadId": thread})
        assert reply.status == 200, reply.body
        return reply.json

    # --- the database behind them

    async def fetch(self, sql: str, *arguments: Any) -> list[Row]:
        """Run a statement on a connection of its own."""
        connection = await asyncpg.connect(self.settings.database.url.get_secret_value())
        try:
            return [dict(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def log(self, thread: str, ordinal: int | None = None) -> list[Row]:
        """Return the rows of a thread's log (or of one run of it), in order."""
        return await self.fetch(
            """SELECT e.* FROM agent_run_event AS e JOIN agent_chat_session AS s ON s.id = e.session_id
            WHERE s.thread_id = $1 AND ($2::int IS NULL OR e.ordinal = $2) ORDER BY e.ordinal, e.seq""",
            thread,
            ordinal,
        )

    async def runs(self, thread: str) -> list[Row]:
        """Return the run rows of a thread, oldest first."""
        return await self.fetch(
            """SELECT r.* FROM agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id
            WHERE s.thread_id = $1 ORDER BY r.id""",
            thread,
        )

    async def ended(self, thread: str) -> list[Row]:
        """Wait until every run of a thread has ended; returns their rows."""

        async def rows() -> list[Row]:
            found = await self.runs(thread)
            return found if found and all(row["ended_at"] for row in found) else []

        return await eventually(rows)


def _place(
    thread: str, run: str | None, cursor: str | None, last_event_id: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    params = {"threadId": thread, "runId": run, "cursor": cursor}
    headers = {"Accept": "text/event-stream"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    return {name: value for name, value in params.items() if value is not None}, headers


async def eventually(condition: Condition, timeout_seconds: float = HUNG_SECONDS) -> Any:
    """Return the first true value of a condition that is looked at again and again."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            if value := await condition():
                return value
            await asyncio.sleep(0.01)


def bundled_profile() -> str:
    """Return the text of the profile that ships, to be changed for a test."""
    return files("core.agentscope.runtime.profile").joinpath("default_profile.toml").read_text()


def merged(settings: Settings, sections: Mapping[str, Any]) -> Settings:
    """Return settings with some members of some sections replaced."""
    values = deepcopy(settings.model_dump())
    for name, members in sections.items():
        values[name] = values[name] | dict(members) if isinstance(members, Mapping) else members
    return Settings.model_validate(values)


async def client_view(stack: Stack, thread: str, *, user: str = "ada") -> list[dict[str, Any]]:
    """Return what a stock client holds that started every run of a thread and saw every event."""
    client = AguiClient()
    for run in await stack.runs(thread):
        if run["user_id"] == user:
            client.messages += orjson.loads(run["input"])["messages"]
            for row in await stack.log(thread, run["ordinal"]):
                client.see(orjson.loads(row["payload"]))
    return client.messages


def fold_of_log(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the messages a client holds after the events of a log, run by run."""
    by_run = itertools.groupby(rows, key=lambda row: row["ordinal"])
    return [
        message
        for _, run in by_run
        for message in fold(AgUiWireEvent.from_json(row["payload"]) for row in run)
    ]


def assert_valid(events: list[Event]) -> None:
    """Check events with the protocol's validator: neither an error nor a warning."""
    report = validate_agui(events)
    assert report.diagnostics == [], report.diagnostics
    assert report.internal_errors == []


class OpenStack(Protocol):
    """Opens a stack with stores of its own, unless they are named; sections override settings."""

    def __call__(
        self,
        *,
        apis: int = 1,
        workers: int = 1,
        database_url: str | None = None,
        redis_url: str | None = None,
        **sections: Any,
    ) -> AbstractAsyncContextManager[Stack]: ...
