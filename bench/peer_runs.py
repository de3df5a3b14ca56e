"""One run at another service, in the service's own protocol, as its documentation starts and reads it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from run_trace import WordTrace
from runs import BenchRun, Load
from sse_client import StreamBroken, Target, fetch, read_stream


class AnyRun(Protocol):
    """One run on a thread of its own."""

    @property
    def trace(self) -> WordTrace:
        """What the reader saw."""
        ...

    async def run(self, target: Target) -> None:
        """Start the run and read its stream to the end."""
        ...


NewRun = Callable[[Load], AnyRun]
TakeEvent = Callable[[WordTrace, str, Any, int], object]
"""Takes the trace, the ``event:`` field, the decoded data and the time of arrival; ``True`` at the end."""


async def read_run(
    target: Target, request: bytes, trace: WordTrace, take: TakeEvent, *, ends_with_body: bool = False
) -> None:
    """Send the request that is answered by the run's stream; what goes wrong becomes a problem of the trace.

    Args:
        ends_with_body: The stream has no event for a good end.
    """

    def on_frame(frame: bytes, received_ns: int) -> object:
        name, data = "", b""
        for line in frame.split(b"\n"):
            if line.startswith(b"data:"):
                data = line[5:].lstrip()
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode()
        if not data:
            return None
        trace.take_event(received_ns)
        return take(trace, name, orjson.loads(data), received_ns)

    def on_sent(now_ns: int) -> None:
        trace.sent_ns = trace.sent_ns or now_ns

    try:
        await read_stream(target, request, on_frame, on_sent)
        if ends_with_body and not trace.ended_ns:
            trace.end(time.time_ns())
    except (StreamBroken, OSError) as exc:
        trace.problems.append(str(exc) or type(exc).__name__)
    trace.finish()


@dataclass(slots=True)
class AguiRun:
    """A POST that is answered by AG-UI events: Agno, Pydantic AI."""

    load: Load
    trace: WordTrace

    @classmethod
    def of(cls, load: Load) -> AguiRun:
        return cls(load, WordTrace(load.deltas))

    async def run(self, target: Target) -> None:
        body = {
            "threadId": str(uuid.uuid4()),
            "runId": str(uuid.uuid4()),
            "state": {},
            "messages": [{"id": str(uuid.uuid4()), "role": "user", "content": self.load.text}],
            "tools": [],
            "context": [],
            "forwardedProps": {},
        }
        await read_run(target, target.request("POST", "/agui", orjson.dumps(body)), self.trace, self._take)

    @staticmethod
    def _take(trace: WordTrace, _name: str, event: Any, received_ns: int) -> None:
        kind = event["type"]
        if kind in ("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK"):
            trace.take_text(event.get("delta") or "", received_ns)
        elif kind == "RUN_FINISHED":
            trace.end(received_ns)
        elif kind == "RUN_ERROR":
            trace.end(received_ns, f"RUN_ERROR {event.get('code')}: {event.get('message')}")


@dataclass(slots=True)
class LangGraphRun:
    """A run of a thread that it creates, streamed message by message."""

    load: Load
    trace: WordTrace

    @classmethod
    def of(cls, load: Load) -> LangGraphRun:
        return cls(load, WordTrace(load.deltas))

    async def run(self, target: Target) -> None:
        body = {
            "assistant_id": "bench",
            "input": {"messages": [{"role": "user", "content": self.load.text}]},
            "stream_mode": ["messages-tuple"],
            "if_not_exists": "create",
        }
        request = target.request("POST", f"/threads/{uuid.uuid4()}/runs/stream", orjson.dumps(body))
        await read_run(target, request, self.trace, self._take, ends_with_body=True)

    @staticmethod
    def _take(trace: WordTrace, name: str, data: Any, received_ns: int) -> None:
        if name == "messages" and data[0].get("type") == "AIMessageChunk":
            trace.take_text(data[0].get("content") or "", received_ns)
        elif name == "error":
            trace.end(received_ns, f"error: {data}")


@dataclass(slots=True)
class AgentScopeSetup:
    """What a user makes once: a credential and an agent."""

    agent_id: str
    credential_id: str

    HEADER = "X-User-ID: bench"

    @classmethod
    async def create(cls, target: Target, model_base_url: str) -> AgentScopeSetup:
        """Create both; the model is the bench model."""
        credential = await _post(
            target,
            "/credential/",
            {"data": {"type": "openai_credential", "api_key": "bench", "base_url": model_base_url}},
        )
        agent = await _post(
            target, "/agent/", {"name": "bench", "system_prompt": "You are a helpful assistant."}
        )
        return cls(agent["agent_id"], credential["credential_id"])

    def new_run(self, load: Load) -> AgentScopeRun:
        """Return a run of the agent."""
        return AgentScopeRun(load, WordTrace(load.deltas), self)


@dataclass(slots=True)
class AgentScopeRun:
    """A session, a subscription of its stream, and a message that starts the run."""

    load: Load
    trace: WordTrace
    setup: AgentScopeSetup

    async def run(self, target: Target) -> None:
        setup = self.setup
        try:
            session = await _post(
                target,
                "/sessions/",
                {
                    "agent_id": setup.agent_id,
                    "chat_model_config": {
                        "type": "openai_credential",
                        "credential_id": setup.credential_id,
                        "model": "bench",
                        "parameters": {},
                    },
                },
            )
        except (StreamBroken, OSError) as exc:
            self.trace.problems.append(str(exc) or type(exc).__name__)
            return
        session_id = session["session_id"]
        message = {"role": "user", "name": "user", "content": [{"type": "text", "text": self.load.text}]}
        path = f"/sessions/{session_id}/stream?agent_id={setup.agent_id}"
        # The stream replays what came before it, so both requests may leave together.
        _, started = await asyncio.gather(
            read_run(target, target.request("GET", path), self.trace, self._take),
            _post(target, "/chat/", {"agent_id": setup.agent_id, "session_id": session_id, "input": message}),
            return_exceptions=True,
        )
        if isinstance(started, BaseException):
            self.trace.problems.append(str(started) or type(started).__name__)

    @staticmethod
    def _take(trace: WordTrace, _name: str, event: Any, received_ns: int) -> bool:
        kind = str(event.get("type")).lower()
        if kind == "text_block_delta":
            trace.take_text(event.get("delta") or "", received_ns)
        if kind != "reply_end":
            return False
        trace.end(received_ns)
        return True


async def _post(target: Target, path: str, body: dict[str, Any]) -> Any:
    request = target.request("POST", path, orjson.dumps(body))
    return orjson.loads(await fetch(target, request))


def our_run(load: Load) -> AnyRun:
    """A run at AgentRoute, with the check of every cursor."""
    return BenchRun(load)
