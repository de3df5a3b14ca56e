"""The scripted demo model as a server: an OpenAI-compatible endpoint that needs no key and no network.

It is not an AI and says so. What it answers is decided in ``demo_script``;
this file speaks HTTP, keeps the pace, and fails when told to.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from agentroute.demo.request import RequestInvalid
from agentroute.demo.script import Failure, Pace, Script, decide
from agentroute.demo.wire import DONE, Completion, deltas, error_body, sse, usage_of

MODEL_NAME = "demo"
"""The one model of ``GET /v1/models``; requests may name any other."""

Recorder = Callable[[str, dict[str, Any]], None]
"""Told of every request: route and JSON body; of an upload, its form with the file's name, type and bytes."""

# Thirty-three words a second: faster than reading, slow enough to see.
_DELAY_SECONDS = 0.03
_SLOW_DELAY_SECONDS = 0.1


def create_demo_app(delay_seconds: float = _DELAY_SECONDS, recorder: Recorder | None = None) -> Starlette:
    """Build the server.

    Args:
        delay_seconds: Time before each delta at the human pace. Structured
            output comes at once, ``slowly`` at its own pace.
        recorder: Called with every request before it is answered.
    """
    demo = _DemoModel(delay_seconds, recorder or (lambda _route, _body: None))
    return Starlette(
        routes=[
            Route("/v1/chat/completions", demo.complete, methods=["POST"]),
            Route("/v1/audio/transcriptions", demo.transcribe, methods=["POST"]),
            Route("/v1/models", demo.models),
            Route("/healthz", demo.health),
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM: ``python -m agentroute.demo.model --host 127.0.0.1 --port 8765``."""
    parser = argparse.ArgumentParser(
        prog="agentroute.demo.model", description="AgentRoute's scripted demo model."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument(
        "--fd", type=int, help="a bound socket of the parent process, instead of host and port"
    )
    parser.add_argument("--delay-seconds", type=float, default=_DELAY_SECONDS, help="time before each delta")
    options = parser.parse_args(argv)
    config = uvicorn.Config(
        create_demo_app(options.delay_seconds),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        # Scripted answers need no drain: open streams end with the process.
        timeout_graceful_shutdown=1,
    )
    sockets = None if options.fd is None else [socket.socket(fileno=options.fd)]
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets)


class _DemoModel:
    def __init__(self, delay_seconds: float, recorder: Recorder) -> None:
        self._delays = {Pace.AT_ONCE: 0.0, Pace.HUMAN: delay_seconds, Pace.SLOW: _SLOW_DELAY_SECONDS}
        self._recorder = recorder

    async def complete(self, request: Request) -> Response:
        """``POST /v1/chat/completions``, with or without ``stream``."""
        try:
            body: Any = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            return _refusal(400, "The body is not valid JSON.", "invalid_json")
        if not isinstance(body, dict):
            return _refusal(400, "The body must be a JSON object.", "invalid_request")
        self._recorder(request.url.path, body)
        try:
            script = decide(body)
        except RequestInvalid as exc:
            return _refusal(400, str(exc), "invalid_request")
        if refusal := _refused_on_request(script.failure):
            return refusal
        completion = Completion(str(body.get("model") or MODEL_NAME))
        if body.get("stream"):
            return _CuttableStream(self._stream(completion, script, body), media_type="text/event-stream")
        return await self._whole(completion, script, body)

    async def transcribe(self, request: Request) -> Response:
        """``POST /v1/audio/transcriptions``: says that it heard nothing, and how much of it."""
        async with request.form() as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                return _refusal(400, "The form needs a 'file'.", "missing_file")
            size = len(await upload.read())
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
            file = {"filename": upload.filename, "content_type": upload.content_type, "bytes": size}
        self._recorder(request.url.path, {**fields, "file": file})
        text = f"This is AgentRoute's scripted demo transcription, not speech recognition. It received {size} bytes."
        if fields.get("response_format") == "text":
            return PlainTextResponse(text)
        return JSONResponse({"text": text, "language": fields.get("language") or "en", "usage": {"cost": 0}})

    async def models(self, _request: Request) -> Response:
        """``GET /v1/models``."""
        model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "agentroute"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _request: Request) -> Response:
        """``GET /healthz``."""
        return JSONResponse({"status": "ok", "scripted": True})

    async def _whole(self, completion: Completion, script: Script, body: dict[str, Any]) -> Response:
        if script.failure is Failure.HANG:
            return _CuttableStream(_silence(), media_type="application/json")
        if script.failure is Failure.CUT:
            return _CuttableStream(_cut(b'{"id":'), media_type="application/json")
        if script.failure is Failure.BROKEN_CHUNK:
            return Response(b'{"id":', media_type="application/json")
        if script.failure is Failure.ERROR_CHUNK:
            return _refusal(500, "The scripted demo model failed as asked.", "demo_failure")
        await asyncio.sleep(self._delays[script.pace] * sum(1 for _ in deltas(script)))
        return JSONResponse(completion.whole(script, usage_of(body, script)))

    async def _stream(
        self, completion: Completion, script: Script, body: dict[str, Any]
    ) -> AsyncIterator[bytes]:
        """Yield the answer's frames, each after its delay.

        Raises:
            _ConnectionCut: The script wants the connection broken here.
        """
        if script.failure is Failure.HANG:
            await asyncio.Event().wait()
        if script.failure is Failure.EMPTY:
            yield DONE
            return
        delay = self._delays[script.pace]
        yield completion.chunk({"role": "assistant", "content": ""})
        for delta in deltas(script):
            await asyncio.sleep(delay)
            yield completion.chunk(delta)
        match script.failure:
            case Failure.CUT:
                raise _ConnectionCut
            case Failure.BROKEN_CHUNK:
                yield b'data: {"choices": [{"index": 0, "delta": {"content": "bro\n\n'
            case Failure.ERROR_CHUNK:
                yield sse(
                    error_body("The scripted demo model failed as asked.", "server_error", "demo_failure")
                )
            case _:
                yield completion.chunk({}, script.finish_reason)
                options: Any = body.get("stream_options")
                if isinstance(options, dict) and options.get("include_usage"):
                    yield completion.usage_chunk(usage_of(body, script))
        yield DONE


class _ConnectionCut(Exception):
    """Raised by a body to end its response without completing it."""


class _CuttableStream(StreamingResponse):
    """A stream that stops when the client leaves, and can break off in the middle."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except _ConnectionCut:
            # Without a last body message the server closes the socket, and the client sees a broken transfer.
            return


async def _silence() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def _cut(start: bytes) -> AsyncIterator[bytes]:
    yield start
    raise _ConnectionCut


def _refused_on_request(failure: Failure | None) -> Response | None:
    match failure:
        case Failure.UNAVAILABLE:
            return _refusal(503, "The scripted demo model is unavailable as asked.", "demo_failure")
        case Failure.SERVER_ERROR:
            return _refusal(500, "The scripted demo model failed as asked.", "demo_failure")
        case Failure.RATE_LIMITED:
            return _refusal(429, "The scripted demo model limits the rate as asked.", "rate_limit_exceeded")
        case Failure.BAD_REQUEST:
            return _refusal(400, "The scripted demo model refuses the request as asked.", "invalid_request")
        case _:
            return None


def _refusal(status: int, message: str, code: str) -> Response:
    kind = {400: "invalid_request_error", 429: "rate_limit_error"}.get(status, "server_error")
    headers = {"Retry-After": "1"} if status == 429 else None
    return JSONResponse(error_body(message, kind, code), status, headers)


if __name__ == "__main__":
    main()
