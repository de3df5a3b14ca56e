"""The scripted model of the fault kit: does what the user's message says, and writes down what it did.

A message is ``#<run id> key=value ...``; the keys are the fields of :class:`Wish`.
Every request becomes one line of ``llm.jsonl`` when it is over, with what was
said, what it cost, and whether the caller stayed to the end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send
from tests.support.model_in_memory import STRUCTURED

from agentroute.demo.script import Call, Script, decide
from agentroute.demo.wire import DONE, Completion, deltas, error_body, usage_of

Record = Callable[[dict[str, Any]], None]

_MARK = re.compile(r"#(?P<run>[A-Za-z0-9._:-]+)(?P<wish>(?: [a-z_]+=[A-Za-z0-9._:-]+)*)")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the model is to do in a run."""

    run_id: str
    words: int = 10
    pace: float = 0.005
    """Seconds before each word."""
    tool: str = ""
    """The tool to call before the answer; with colons between them, several at once."""
    hold: int = 0
    """Words after which the answer stops until the gate opens; 0 for never."""
    gate: str = ""
    """Name of that gate."""
    fail: str = ""
    """``429``: the first request of the run is refused; ``busy``: each is, for a while; ``mute``: nothing is said before
    the gate opens; ``cut``: the answer breaks off."""

    def text(self) -> str:
        """The whole answer; no two runs have a word in common, and each word is one delta."""
        return " ".join(f"w{number}-{self.run_id[-8:]}" for number in range(1, self.words + 1))

    def message(self) -> str:
        """The user message that makes this wish."""
        parts = [f"#{self.run_id}", f"words={self.words}", f"pace={self.pace}"]
        parts += [
            f"{name}={value}" for name in ("tool", "hold", "gate", "fail") if (value := getattr(self, name))
        ]
        return " ".join(parts)


def read_wish(messages: list[dict[str, Any]]) -> Wish | None:
    """Return the wish of the newest message that has one."""
    for message in reversed(messages):
        content = message.get("content")
        if message.get("role") != "user" or not content:
            continue
        found = list(_MARK.finditer(content if isinstance(content, str) else orjson.dumps(content).decode()))
        if not found:
            continue
        match = found[-1]
        values: dict[str, Any] = dict(part.split("=", 1) for part in match["wish"].split())
        for name, kind in (("words", int), ("pace", float), ("hold", int)):
            if name in values:
                values[name] = kind(values[name])
        return Wish(match["run"], **values)
    return None


class Gates:
    """Places where the model waits until a test lets it go on, and says that it waits."""

    def __init__(self) -> None:
        self._open: dict[str, asyncio.Event] = {}
        self._reached: dict[str, asyncio.Event] = {}

    def open(self, name: str) -> None:
        self._event(self._open, name).set()

    async def reached(self, name: str) -> None:
        """Return when an answer waits at the gate."""
        await self._event(self._reached, name).wait()

    async def pass_through(self, name: str) -> None:
        self._event(self._reached, name).set()
        await self._event(self._open, name).wait()

    @staticmethod
    def _event(events: dict[str, asyncio.Event], name: str) -> asyncio.Event:
        return events.setdefault(name, asyncio.Event())


def create_model_app(record: Record, gates: Gates) -> Starlette:
    """Build the server.

    Args:
        record: Takes each line of ``llm.jsonl``.
        gates: Where answers wait.
    """
    model = _Model(record, gates)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", model.complete, methods=["POST"]),
            Route("/v1/embeddings", _embed, methods=["POST"]),
        ]
    )


async def _embed(request: Request) -> Response:
    """Answer with vectors of the letters' counts."""
    texts: list[str] = orjson.loads(await request.body())["input"]
    vectors = [[float(text.count(letter)) for letter in "aeio"] for text in texts]
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return JSONResponse({"object": "list", "model": "embedding", "data": data, "usage": usage})


class _Model:
    def __init__(self, record: Record, gates: Gates) -> None:
        self._record = record
        self._gates = gates
        self._refused: set[str] = set()

    async def complete(self, request: Request) -> Response:
        try:
            body: dict[str, Any] = orjson.loads(await request.body())
        except ClientDisconnect:
            return Response(status_code=400)
        wish = read_wish(body["messages"])
        script = decide(body)
        structured = bool(script.calls) or body.get("response_format") is not None
        if wish is None:
            return JSONResponse(error_body("no wish", "invalid_request_error"), 400)
        if wish.fail == "429" and wish.run_id not in self._refused:
            self._refused.add(wish.run_id)
            return JSONResponse(error_body("slower", "rate_limit_error"), 429, {"Retry-After": "0"})
        if wish.fail == "busy":
            return JSONResponse(error_body("slower", "rate_limit_error"), 429, {"Retry-After": "25"})
        stage = "intent" if _asks_for_intent(body) else "answer"
        if stage == "answer":
            script = _answer(body, wish)
        elif structured:
            script = _intent(body, wish)
        if not body.get("stream"):
            usage = usage_of(body, script)
            completion = Completion(str(body.get("model")))
            self._record(_line(request, body, wish, stage, script, usage, completed=True))
            return JSONResponse(completion.whole(script, usage))
        return _Cuttable(self._stream(request, body, wish, stage, script), media_type="text/event-stream")

    async def _stream(
        self, request: Request, body: dict[str, Any], wish: Wish, stage: str, script: Script
    ) -> AsyncIterator[bytes]:
        completion = Completion(str(body.get("model")))
        usage = usage_of(body, script)
        paced = stage == "answer" and not script.calls
        completed = False
        try:
            if wish.fail == "mute":
                await self._gates.pass_through(wish.gate)
            yield completion.chunk({"role": "assistant", "content": ""})
            for place, delta in enumerate(deltas(script)):
                if paced:
                    if wish.hold and place == wish.hold:
                        await self._gates.pass_through(wish.gate)
                    if wish.fail == "cut" and place == max(wish.words // 2, 1):
                        raise _Cut
                    await asyncio.sleep(wish.pace)
                yield completion.chunk(delta)
            yield completion.chunk({}, script.finish_reason)
            # From here on the caller may have it all: what it cost is reported now.
            completed = True
            yield completion.usage_chunk(usage)
            yield DONE
        finally:
            self._record(_line(request, body, wish, stage, script, usage, completed=completed))


class _Cut(Exception):
    """Ends a response without completing it."""


class _Cuttable(StreamingResponse):
    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except _Cut:
            return


def _asks_for_intent(body: dict[str, Any]) -> bool:
    """Tell a request for structured output: one tool that has to be called, or a response format."""
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    return body.get("response_format") is not None or STRUCTURED in names


def _intent(body: dict[str, Any], wish: Wish) -> Script:
    arguments = orjson.dumps(
        {
            "kind": "task" if wish.tool else "chat",
            "language": "en",
            "needs_tools": bool(wish.tool),
            "plan": [],
        }
    ).decode()
    if body.get("response_format") is not None:
        return Script(text=arguments)
    return Script(calls=(Call(body["tools"][0]["function"]["name"], arguments),))


def _answer(body: dict[str, Any], wish: Wish) -> Script:
    messages: list[dict[str, Any]] = body["messages"]
    asked = max(
        (place for place, message in enumerate(messages) if message.get("role") == "user"), default=-1
    )
    called = any(message.get("role") == "tool" for message in messages[asked + 1 :])
    if wish.tool and not called:
        return Script(calls=tuple(Call(name, _arguments(name, wish)) for name in wish.tool.split(":")))
    return Script(text=wish.text())


def _arguments(tool: str, wish: Wish) -> str:
    # Another agent that is given the note is asked by the same run.
    given = {"skill": "invoices"} if tool == "Skill" else {"note": f"#{wish.run_id} words=3"}
    return orjson.dumps(given).decode()


def _line(
    request: Request,
    body: dict[str, Any],
    wish: Wish,
    stage: str,
    script: Script,
    usage: dict[str, Any],
    *,
    completed: bool,
) -> dict[str, Any]:
    return {
        "run_id": wish.run_id,
        "call_id": request.headers.get("x-client-request-id", ""),
        "model": body.get("model"),
        "stage": stage,
        "knows": "from the knowledge base" in str(body["messages"]),
        "text": script.text,
        "tools": [call.name for call in script.calls],
        "tokens_in": usage["prompt_tokens"],
        "tokens_out": usage["completion_tokens"],
        "completed": completed,
    }
