"""Clients as they are in the field: they post, follow, lose the connection, come back with their cursor; and write it all down."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from tests.faults.evidence import Evidence
from tests.faults.launcher import Node, Plot
from tests.faults.model import Wish
from tests.support.limits import HUNG_SECONDS

BASE = "/api/v1/agent"
TERMINAL = ("RUN_FINISHED", "RUN_ERROR")
_LOST = (httpx.TransportError, httpx.StreamError)
Event = dict[str, Any]


class GaveUpError(Exception):
    """A client did not get an answer in the time it had."""


@dataclass(frozen=True)
class Owner:
    """Whose run it is."""

    tenant: str = "tenant-1"
    user: str = "ada"


@dataclass
class Following:
    """What one client has seen of one run."""

    run_id: str
    thread_id: str
    owner: Owner
    reader: str
    cursor: str = ""
    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each event arrived, on the event loop's clock."""
    heartbeats: int = 0
    reconnects: int = 0
    seconds: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def end(self) -> Event | None:
        last = self.events[-1] if self.events else None
        return last if last is not None and last["type"] in TERMINAL else None

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == "TEXT_MESSAGE_CONTENT")

    async def until(self, condition: Callable[[Following], object], seconds: float = HUNG_SECONDS) -> None:
        """Wait until what was seen meets a condition."""
        async with asyncio.timeout(seconds):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()

    async def shows(self, type_: str, seconds: float = HUNG_SECONDS) -> None:
        """Wait until an event of a type was seen."""
        await self.until(lambda seen: any(event["type"] == type_ for event in seen.events), seconds)


class Recorder:
    """The clients of one service.

    Args:
        seed: Of the choices a client makes: which API process, which form.
    """

    def __init__(self, plot: Plot, client: httpx.AsyncClient, *, seed: int = 0) -> None:
        self.plot = plot
        self.client = client
        self.evidence = Evidence()
        self._random = random.Random(seed)

    def wish(self, **members: Any) -> Wish:
        """Return a wish for a run nobody has made."""
        return Wish(f"run-{uuid.uuid4().hex[:12]}", **members)

    def following(self, run_id: str, thread_id: str, owner: Owner) -> Following:
        return Following(run_id, thread_id, owner, reader=f"reader-{uuid.uuid4().hex[:12]}")

    async def run(
        self,
        wish: Wish,
        *,
        thread_id: str = "",
        owner: Owner | None = None,
        stream: bool | None = None,
        seconds: float = 2 * HUNG_SECONDS,
        following: Following | None = None,
        body: dict[str, Any] | None = None,
        path: str = "/runs",
        kind: str = "post",
        agent: str = "",
    ) -> Following:
        """Start a run and follow it to its end, whatever happens on the way.

        Args:
            wish: What the model shall do.
            thread_id: A new thread when empty.
            owner: Whose run it is.
            stream: The answer's form: a stream, or 202 and ``GET /events``; by chance when None.
            seconds: How long the client has patience.
            following: Where to note what is seen, for those who watch.
            body: Another body than the wish's own.
            path: ``/runs`` or ``/resume``.
            kind: How the requests are recorded.
            agent: Of the run; the thread's, or the default one, when empty.

        Raises:
            GaveUpError: The run was refused, or the patience is over.
        """
        owner = owner or Owner()
        thread_id = thread_id or f"thread-{wish.run_id}"
        stream = self._random.random() < 0.5 if stream is None else stream
        seen = following or self.following(wish.run_id, thread_id, owner)
        body = body or self.body(wish, thread_id, agent)
        started = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await self._start(seen, body, path, kind, stream=stream)
                while seen.end is None and await self._follow(seen):
                    seen.reconnects += seen.end is None
                    await asyncio.sleep(0.05 + 0.1 * self._random.random())
        except TimeoutError:
            raise GaveUpError(
                f"{wish.run_id}: no end in {seconds:.0f} s; seen {len(seen.events)} events"
            ) from None
        finally:
            seen.seconds = time.monotonic() - started
        return seen

    def body(self, wish: Wish, thread_id: str, agent: str = "") -> dict[str, Any]:
        """Return the body of a run that says a wish."""
        message = {"id": f"user-{wish.run_id}", "role": "user", "content": wish.message()}
        named = {"forwardedProps": {"agentId": agent}} if agent else {}
        return {
            "threadId": thread_id,
            "runId": wish.run_id,
            "protocolVersion": "1.0",
            "messages": [message],
            **named,
        }

    async def post(
        self, owner: Owner, body: dict[str, Any], *, kind: str, path: str = "/runs", api: Node | None = None
    ) -> int:
        """Send one request once; returns the status, 0 when there was no answer."""
        try:
            response = await self.client.post(
                await self._address(path, api), json=body, headers=self._headers(owner)
            )
        except _LOST:
            return 0
        self._note(kind, body["runId"], owner, response, response.content)
        if response.status_code == 202:
            self._accepted(self.following(body["runId"], body["threadId"], owner))
        return response.status_code

    async def follow(self, seen: Following) -> Following:
        """Follow a run that exists to its end."""
        while seen.end is None and await self._follow(seen):
            seen.reconnects += seen.end is None
            await asyncio.sleep(0.05)
        return seen

    async def cancel(self, seen: Following) -> int:
        """Ask for a run's cancellation once."""
        path = f"/runs/{seen.run_id}/cancel"
        try:
            response = await self.client.post(
                await self._address(path),
                json={"threadId": seen.thread_id},
                headers=self._headers(seen.owner),
            )
        except _LOST:
            return 0
        self._note("cancel", seen.run_id, seen.owner, response, response.content)
        return response.status_code

    async def intrude(self, seen: Following, intruder: Owner) -> None:
        """Try to read and to stop somebody else's run, and one that does not exist."""
        for absent in (False, True):
            thread, run = (f"none-{uuid.uuid4().hex}",) * 2 if absent else (seen.thread_id, seen.run_id)
            requests: list[tuple[str, str, str, dict[str, Any]]] = [
                ("foreign-events", "GET", "/events", {"params": {"threadId": thread, "runId": run}}),
                ("foreign-cursor", "GET", "/events", {"params": {"threadId": thread, "cursor": "1-1"}}),
                ("foreign-history", "GET", "/history", {"params": {"threadId": thread}}),
                ("foreign-status", "GET", f"/runs/{run}", {"params": {"threadId": thread}}),
                ("foreign-cancel", "POST", f"/runs/{run}/cancel", {"json": {"threadId": thread}}),
            ]
            for kind, method, path, options in requests:
                try:
                    async with self.client.stream(
                        method, await self._address(path), headers=self._headers(intruder), **options
                    ) as response:
                        # The body of a stream would not end: its status says enough.
                        content = await response.aread() if response.status_code >= 400 else b""
                        self._note(kind, run, intruder, response, content, absent=absent)
                except _LOST:
                    continue

    # --- parts

    async def _start(
        self, seen: Following, body: dict[str, Any], path: str, kind: str, *, stream: bool
    ) -> None:
        """Post until there is an answer; the same body is the same run."""
        accepted = False
        while not accepted:
            headers = self._headers(seen.owner)
            if stream:
                headers["Accept"] = "text/event-stream"
            try:
                async with self.client.stream(
                    "POST", await self._address(path), json=body, headers=headers
                ) as response:
                    status = response.status_code
                    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
                    content = b"" if is_stream else await response.aread()
                    self._note(kind, seen.run_id, seen.owner, response, content)
                    if status in (200, 202):
                        accepted = True
                        self._accepted(seen)
                    if is_stream:
                        await self._read(seen, response)
                    if accepted:
                        return
            except _LOST:
                status = 0
            if not accepted and status not in (0, 503, 429):
                raise GaveUpError(f"{seen.run_id} was refused with {status}")
            await asyncio.sleep(0.1 + 0.1 * self._random.random())

    async def _follow(self, seen: Following) -> bool:
        """Follow from the cursor until the connection ends; False when nothing is left."""
        headers = self._headers(seen.owner) | {"Accept": "text/event-stream"}
        if seen.cursor:
            headers["Last-Event-ID"] = seen.cursor
        try:
            async with self.client.stream(
                "GET",
                await self._address("/events"),
                params={"threadId": seen.thread_id, "runId": seen.run_id},
                headers=headers,
            ) as response:
                content = b"" if response.status_code < 400 else await response.aread()
                self._note("events", seen.run_id, seen.owner, response, content)
                if response.status_code == 200:
                    await self._read(seen, response)
                return response.status_code != 204
        except _LOST:
            return True

    async def _read(self, seen: Following, response: httpx.Response) -> None:
        start, events, rest = seen.cursor, list[tuple[str, str]](), b""
        loop = asyncio.get_running_loop()
        end = "error"
        try:
            async for chunk in response.aiter_raw():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for block in blocks:
                    if block.startswith(b"id: "):
                        name, data = block.split(b"\n", 1)
                        payload = data.removeprefix(b"data: ")
                        seen.cursor = name.removeprefix(b"id: ").decode()
                        events.append((seen.cursor, payload.decode()))
                        # What is no JSON is no event either: the checker says where it came from.
                        seen.events.append(orjson.loads(payload) if payload else {"type": ""})
                        seen.times.append(loop.time())
                    else:
                        seen.heartbeats += block.startswith(b": hb")
                    seen.changed.set()
            end = "disconnect" if seen.end is None else "terminal"
        finally:
            self.evidence.reader.append(
                {
                    "reader": seen.reader,
                    "run_id": seen.run_id,
                    "cursor_start": start,
                    "events": events,
                    "end": end,
                }
            )

    def _accepted(self, seen: Following) -> None:
        self.evidence.accepted.append(
            {
                "run_id": seen.run_id,
                "thread": seen.thread_id,
                "tenant": seen.owner.tenant,
                "user": seen.owner.user,
                "t202": time.time(),
            }
        )

    def _note(
        self,
        kind: str,
        run_id: str,
        owner: Owner,
        response: httpx.Response,
        content: bytes,
        *,
        absent: bool = False,
    ) -> None:
        body: dict[str, Any] = {}
        if content.startswith(b"{"):
            body = orjson.loads(content)
        task_id = body.get("taskId", "") if response.status_code == 202 else ""
        for member in ("requestId", "instance", "taskId"):
            body.pop(member, None)
        self.evidence.http.append(
            {
                "kind": kind,
                "run_id": run_id,
                "tenant": owner.tenant,
                "user": owner.user,
                "status": response.status_code,
                "retry_after": response.headers.get("retry-after", ""),
                "task_id": task_id,
                "body": orjson.dumps(body).decode(),
                "absent": absent,
                "t": time.time(),
            }
        )

    def _headers(self, owner: Owner) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.plot.token(owner.tenant, owner.user)}"}

    async def _address(self, path: str, api: Node | None = None) -> str:
        """Return the URL of a path at one of the API processes that serve; waits for one."""
        while api is None:
            if serving := self.plot.apis:
                api = self._random.choice(serving)
            else:
                await asyncio.sleep(0.02)
        return f"{api.url}{BASE}{path}"
