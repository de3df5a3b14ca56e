"""Runs and their observers, as an AG-UI client starts and follows them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson
from run_trace import RunTrace
from sse_client import StreamBroken, Target, read_stream

BASE_PATH = "/api/v1/agent"


@dataclass(frozen=True, slots=True)
class Load:
    """What each run asks the bench model for."""

    deltas: int = 100
    rate: float = 50.0
    first_ms: float = 0.0
    request: str = ""
    """What it asks for beside the words, such as a tool."""

    @property
    def text(self) -> str:
        return f"{self.request} deltas={self.deltas} rate={self.rate:g} first={self.first_ms:g}".lstrip()


@dataclass(slots=True)
class BenchRun:
    """One run on a thread of its own, with what its reader saw."""

    load: Load
    run_id: str = field(default_factory=lambda: f"run-{uuid.uuid4().hex}")
    thread_id: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex}")
    earlier: Sequence[dict[str, str]] = ()
    """Messages that the thread gets with the run, before the one that it answers."""
    snapshot: str = "auto"
    """Whether the run begins with the whole conversation (``forwardedProps.messagesSnapshot``)."""
    trace: RunTrace = field(init=False)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the first event: from here on the run can be observed."""

    def __post_init__(self) -> None:
        self.trace = RunTrace(self.load.deltas)

    async def run(self, target: Target) -> None:
        """Start the run and read its own stream to the end."""
        body = orjson.dumps(
            {
                "threadId": self.thread_id,
                "runId": self.run_id,
                "protocolVersion": "1.0",
                "forwardedProps": {"messagesSnapshot": self.snapshot},
                "messages": [
                    *self.earlier,
                    {"id": f"m-{self.run_id}", "role": "user", "content": self.load.text},
                ],
            }
        )
        try:
            await _read(
                target, target.request("POST", f"{BASE_PATH}/runs", body), self.trace, self.started.set
            )
        finally:
            # Observers must not wait for a run that never began.
            self.started.set()

    async def observe(self, target: Target) -> RunTrace:
        """Follow the run from its first event, over a connection of its own."""
        await self.started.wait()
        trace = RunTrace(self.load.deltas)
        path = f"{BASE_PATH}/events?threadId={self.thread_id}&runId={self.run_id}"
        await _read(target, target.request("GET", path), trace, lambda: None)
        return trace


async def _read(target: Target, request: bytes, trace: RunTrace, on_first: Callable[[], None]) -> None:
    def take(frame: bytes, received_ns: int) -> None:
        trace.feed(frame, received_ns)
        if trace.events == 1:
            on_first()

    def sent(now_ns: int) -> None:
        trace.sent_ns = now_ns

    try:
        await read_stream(target, request, take, sent)
    except (StreamBroken, OSError) as exc:
        trace.problems.append(str(exc) or type(exc).__name__)
    trace.finish()
