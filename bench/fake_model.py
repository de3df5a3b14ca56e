"""An OpenAI-compatible endpoint that streams at an exact pace and costs next to nothing.

Every delta is one word ``t<index>=<ns> `` with the time of its emission
(``time.time_ns()``), so whoever receives it on the same machine knows how long
it took, and whether one is missing. The user's text sets the pace:

    deltas=100 rate=50 first=200

asks for 100 deltas at 50 a second, the first after 200 ms; ``rate=0`` is as
fast as possible. What a text asks of tools, and forced structured output, is
answered in one piece by the script of the demo model, after the same wait.

Pacing is by deadline, not by sleeping: a late delta does not delay the next.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import httptools
import orjson
import uvloop

from agentroute.demo.request import RequestInvalid, read_conversation
from agentroute.demo.script import Pace, Script, decide
from agentroute.demo.wire import DONE, Completion, deltas, error_body, usage_of

_PARAMETER = re.compile(r"\b(deltas|rate|first)=(\d+(?:\.\d+)?)")
# Enough to amortise a write, little enough that streams take turns.
_BURST_DELTAS = 32
_TOTALS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pacing:
    """How one answer is streamed."""

    deltas: int
    rate: float
    """Deltas a second; 0 for no pacing."""
    first_seconds: float = 0.0

    def with_text(self, text: str) -> Pacing:
        """Return the pacing a user's text asks for; what it leaves out stays."""
        asked = {name: float(value) for name, value in _PARAMETER.findall(text)}
        return Pacing(
            deltas=int(asked.get("deltas", self.deltas)),
            rate=asked.get("rate", self.rate),
            first_seconds=asked.get("first", self.first_seconds * 1000) / 1000,
        )


@dataclass(slots=True)
class Totals:
    """What was served; token counts are those reported as usage."""

    requests: int = 0
    structured: int = 0
    streams_finished: int = 0
    streams_dropped: int = 0
    deltas: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add_usage(self, usage: dict[str, Any]) -> None:
        self.prompt_tokens += usage["prompt_tokens"]
        self.completion_tokens += usage["completion_tokens"]

    def write(self, path: Path) -> None:
        # Replaced in one step: a reader never sees half a file.
        partial = path.with_suffix(".partial")
        partial.write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))
        partial.replace(path)


class PacedStream:
    """One answer on its way: writes deltas to a transport when they are due."""

    def __init__(
        self, connection: ModelConnection, pacing: Pacing, usage: dict[str, Any] | None, model: str
    ) -> None:
        self._connection = connection
        self._pacing = pacing
        self._usage = usage
        self._completion = Completion(model)
        head, tail = self._completion.chunk({"content": "|"}).split(b"|")
        # %% escapes: the ids around the word may hold any character.
        self._template = head.replace(b"%", b"%%") + b"t%d=%d " + tail.replace(b"%", b"%%")
        self._sent = 0
        self._interval = 1 / pacing.rate if pacing.rate else 0.0
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time() + pacing.first_seconds
        connection.write_chunk(self._completion.chunk({"role": "assistant", "content": ""}))
        self._timer = self._loop.call_at(self._start, self._tick)

    def drop(self) -> None:
        """The client is gone."""
        self._timer.cancel()

    def _tick(self) -> None:
        if not self._connection.writable:
            # A reader that does not read: look again soon, keep nothing for it.
            self._timer = self._loop.call_later(0.001, self._tick)
            return
        due = self._due()
        frames = [self._template % (index, time.time_ns()) for index in range(self._sent, due)]
        if frames:
            self._connection.write_chunk(b"".join(frames))
            self._connection.totals.deltas += len(frames)
            self._sent = due
        if self._sent >= self._pacing.deltas:
            self._finish()
        elif self._interval:
            self._timer = self._loop.call_at(self._start + self._sent * self._interval, self._tick)
        else:
            self._timer = self._loop.call_later(0, self._tick)

    def _due(self) -> int:
        if not self._interval:
            return min(self._sent + _BURST_DELTAS, self._pacing.deltas)
        # A timer may fire a hair early, by the resolution of the loop's clock.
        elapsed = self._loop.time() - self._start + 0.0005
        return min(int(elapsed / self._interval) + 1, self._pacing.deltas)

    def _finish(self) -> None:
        frames = [self._completion.chunk({}, "stop")]
        if self._usage is not None:
            frames.append(self._completion.usage_chunk(self._usage))
            self._connection.totals.add_usage(self._usage)
        self._connection.totals.streams_finished += 1
        self._connection.write_last(b"".join([*frames, DONE]))


class ModelConnection(asyncio.Protocol):
    """One HTTP/1.1 connection with keep-alive; one request at a time."""

    def __init__(self, default: Pacing, totals: Totals) -> None:
        self.totals = totals
        self.writable = True
        self._default = default
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._stream: PacedStream | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stream:
            self._stream.drop()
            self.totals.streams_dropped += 1

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._body = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._url.endswith(b"/chat/completions"):
            self._complete(b"".join(self._body))
        elif self._url.endswith(b"/models"):
            self._whole(200, {"object": "list", "data": [{"id": "bench", "object": "model"}]})
        elif self._url == b"/healthz":
            self._whole(200, {"status": "ok"})
        else:
            self._whole(404, error_body("No such route.", "invalid_request_error"))

    def write_chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def write_last(self, data: bytes) -> None:
        self._stream = None
        self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))

    def _complete(self, raw: bytes) -> None:
        self.totals.requests += 1
        try:
            body: Any = orjson.loads(raw)
            script, pacing = decide(body), self._default.with_text(read_conversation(body).user_text)
        except (orjson.JSONDecodeError, RequestInvalid, AttributeError) as exc:
            self._whole(400, error_body(str(exc), "invalid_request_error"))
            return
        model = str(body.get("model") or "bench")
        if script.calls or script.pace is Pace.AT_ONCE:
            # A call of a tool takes a model as long to begin as a word.
            self._loop.call_later(pacing.first_seconds, self._at_once, body, script, model)
            return
        usage = _usage(len(raw), pacing.deltas)
        if body.get("stream"):
            self._start_stream()
            options: Any = body.get("stream_options") or {}
            self._stream = PacedStream(self, pacing, usage if options.get("include_usage") else None, model)
        else:
            text = "".join(f"t{index}={time.time_ns()} " for index in range(pacing.deltas))
            self.totals.add_usage(usage)
            self._whole(200, Completion(model).whole(Script(text=text), usage))

    def _at_once(self, body: dict[str, Any], script: Script, model: str) -> None:
        self.totals.structured += 1
        completion, usage = Completion(model), usage_of(body, script)
        self.totals.add_usage(usage)
        if not body.get("stream"):
            self._whole(200, completion.whole(script, usage))
            return
        self._start_stream()
        frames = [completion.chunk(delta) for delta in deltas(script)]
        frames += [completion.chunk({}, script.finish_reason), completion.usage_chunk(usage), DONE]
        self.write_last(b"".join(frames))

    def _start_stream(self) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    def _whole(self, status: int, body: dict[str, Any]) -> None:
        data = orjson.dumps(body)
        head = b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (
            status,
            len(data),
        )
        self._transport.write(head + data)


def _usage(request_bytes: int, deltas_sent: int) -> dict[str, Any]:
    prompt = request_bytes // 4
    return {
        "prompt_tokens": prompt,
        "completion_tokens": deltas_sent,
        "total_tokens": prompt + deltas_sent,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost": 0,
    }


async def serve(host: str, port: int, default: Pacing, totals_path: Path | None) -> None:
    """Serve until SIGINT or SIGTERM; totals are written every second and at the end."""
    totals, loop, stop = Totals(), asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: ModelConnection(default, totals), host, port, backlog=2048)
    print(f"fake model on http://{host}:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    written: tuple[int, ...] = ()
    while not stop.is_set():
        now = tuple(getattr(totals, field.name) for field in fields(totals))
        if totals_path and now != written:
            totals.write(totals_path)
            written = now
        try:
            await asyncio.wait_for(stop.wait(), _TOTALS_SECONDS)
        except TimeoutError:
            continue
    if totals_path:
        totals.write(totals_path)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--deltas", type=int, default=100, help="when the text says nothing")
    parser.add_argument("--rate", type=float, default=50.0, help="when the text says nothing")
    parser.add_argument("--totals", type=Path, help="JSON file for what was served")
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.port, Pacing(options.deltas, options.rate), options.totals))


if __name__ == "__main__":
    main()
