"""A model that counts aloud until it is told to stop: an answer that is as long as a test needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

_PAUSE_SECONDS = 0.01


class CountingModel:
    """Answers ``1 2 3 ...``, until ``stop`` is set; then with one number."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, _request: Request) -> StreamingResponse:
        return StreamingResponse(self._chunks(), media_type="text/event-stream")

    async def _chunks(self) -> AsyncIterator[bytes]:
        number = 1
        yield _chunk({"role": "assistant", "content": "1"})
        while not self.stop.is_set():
            number += 1
            yield _chunk({"content": f" {number}"})
            await asyncio.sleep(_PAUSE_SECONDS)
        usage = {"prompt_tokens": 1, "completion_tokens": number, "total_tokens": number + 1}
        yield _chunk({}, "stop", usage=usage)
        yield b"data: [DONE]\n\n"


def _chunk(delta: dict[str, Any], finish: str | None = None, **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "demo", "choices": [choice]}
    return b"data: " + orjson.dumps(body | members) + b"\n\n"
