"""A model endpoint without a socket: the real chat model talks to it over an in-memory transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import httpx

from core.agentscope.runtime.model.call_services import CallServices
from core.agentscope.runtime.model.prices import load_prices
from core.config import ModelSettings

HANG: Literal["\0hang"] = "\0hang"
"""In an answer: the model says nothing more until its caller leaves."""
STRUCTURED = "generate_structured_output"
"""The tool by which AgentScope asks for structured output."""


@dataclass(frozen=True)
class Asks:
    """In an answer: a tool call."""

    name: str
    arguments: str = "{}"
    id: str = "c1"


Answer = list[str | Asks] | int
"""Texts and tool calls, then the end; or an HTTP status that is an error."""


def intent(kind: str = "task", *, needs_tools: bool = True, plan: list[str] | None = None) -> Answer:
    """Return the answer of the intent stage."""
    found = {"kind": kind, "needs_tools": needs_tools, "plan": plan or []}
    return [Asks(STRUCTURED, json.dumps(found), id="intent")]


class ModelInMemory:
    """Answers ordinary requests with the script, one answer each, and requests for structured output with ``structured``."""

    def __init__(self, *script: Answer, structured: Answer = 500) -> None:
        self.script = list(script)
        self.structured = structured
        self.asked: list[dict[str, Any]] = []
        """Bodies of the ordinary requests."""
        self.asked_structured: list[dict[str, Any]] = []
        self.output_tokens = 5
        """What each answer is said to have cost."""
        self.hangs = asyncio.Event()

    def client(self) -> httpx.AsyncClient:
        """Return a client whose every request comes here."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def services(self, **changes: Any) -> CallServices:
        """Return the services of models that call this endpoint, once each; ``changes`` replaces some."""
        settings = ModelSettings(base_url="http://model/v1", name="m", max_retries=0)
        return replace(CallServices(self.client(), settings, load_prices()), **changes)

    @property
    def offered(self) -> list[list[str]]:
        """The names of the tools each ordinary request offered."""
        return [[tool["function"]["name"] for tool in body.get("tools", ())] for body in self.asked]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        body: dict[str, Any] = json.loads(request.content)
        if [tool["function"]["name"] for tool in body.get("tools", ())] == [STRUCTURED]:
            self.asked_structured.append(body)
            answer = self.structured
        else:
            self.asked.append(body)
            answer = self.script.pop(0)
        if isinstance(answer, int):
            return httpx.Response(answer, content=_refusal())
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=self._stream(answer)
        )

    async def _stream(self, answer: list[str | Asks]) -> AsyncIterator[bytes]:
        for piece in answer:
            if piece == HANG:
                self.hangs.set()
                await asyncio.Event().wait()
            yield _chunk({"choices": [{"index": 0, "delta": _delta(piece), "finish_reason": None}]})
        calls = any(isinstance(piece, Asks) for piece in answer)
        end = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}
        yield _chunk({"choices": [end]})
        usage = {"prompt_tokens": 10, "completion_tokens": self.output_tokens}
        yield _chunk({"choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"


async def _refusal() -> AsyncIterator[bytes]:
    yield b'{"error": {"message": "refused"}}'


def _delta(piece: str | Asks) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"content": piece}
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"tool_calls": [{"id": piece.id, "type": "function", "function": function}]}


def _chunk(body: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'id': 'answer', 'model': 'm', **body})}\n\n".encode()
