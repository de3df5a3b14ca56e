"""The scripted demo model over real HTTP: uvicorn on a free port, httpx as the client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

from agentroute.demo.model import create_demo_app


@dataclass
class Demo:
    client: httpx.AsyncClient
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def chunks(self, text: str, **members: Any) -> list[dict[str, Any]]:
        """Stream an answer and return its chunks; the stream has to end with ``[DONE]``."""
        body = {"messages": [{"role": "user", "content": text}], "stream": True, **members}
        async with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
        assert lines.pop() == "[DONE]"
        return [orjson.loads(line) for line in lines]


class Server(uvicorn.Server):
    """Says when it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()


def free_socket() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    requests: list[tuple[str, dict[str, Any]]] = []
    app = create_demo_app(delay_seconds=0.001, recorder=lambda route, body: requests.append((route, body)))
    server = Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    listener = free_socket()
    serving = asyncio.create_task(server.serve([listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=HUNG_SECONDS) as client:
        async with asyncio.timeout(HUNG_SECONDS):
            await server.accepting.wait()
        yield Demo(client, requests)
    server.should_exit = True
    await serving
    listener.close()


def text_of(chunks: list[dict[str, Any]], member: str = "content") -> str:
    return "".join(c["choices"][0]["delta"].get(member) or "" for c in chunks if c["choices"])


async def test_an_answer_streams_in_words_with_usage_last(demo: Demo) -> None:
    chunks = await demo.chunks("think about the sea", stream_options={"include_usage": True})
    usage = chunks[-1]["usage"]
    assert chunks[-1]["choices"] == []
    assert usage["cost"] == 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert len(chunks) > 30
    assert "I am a script" in text_of(chunks, "reasoning_content")
    assert "think about the sea" in text_of(chunks)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [route for route, _ in demo.requests] == ["/v1/chat/completions"]


async def test_usage_is_sent_only_when_asked_for(demo: Demo) -> None:
    assert all("usage" not in chunk for chunk in await demo.chunks("hello"))


async def test_parallel_calls_stream_one_after_the_other(demo: Demo) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("current_time", "calculate")]
    chunks = await demo.chunks("what time is it and also calculate 123456789*987654321", tools=tools)
    pieces = [it for c in chunks for it in c["choices"][0]["delta"].get("tool_calls", [])]
    assert [piece["index"] for piece in pieces] == sorted(piece["index"] for piece in pieces)
    assert [it["function"]["name"] for it in pieces if "id" in it] == ["current_time", "calculate"]
    arguments = "".join(it["function"]["arguments"] for it in pieces if it["index"] == 1)
    assert orjson.loads(arguments) == {"expression": "123456789*987654321"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_whole_answer(demo: Demo) -> None:
    body = {"model": "any", "messages": [{"role": "user", "content": "my name is Ada"}]}
    answer = (await demo.client.post("/v1/chat/completions", json=body)).json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "any"
    assert "Ada" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["total_tokens"] > 0


async def test_slowly_takes_at_least_two_seconds_and_twenty_deltas(demo: Demo) -> None:
    began = time.monotonic()
    body = {"messages": [{"role": "user", "content": "slowly"}], "stream": True}
    async with demo.client.stream("POST", "/v1/chat/completions", json=body) as response:
        deltas = 0
        async for line in response.aiter_lines():
            deltas += bool(line)
            if deltas > 25:
                break
    assert time.monotonic() - began >= 2


@pytest.mark.parametrize(
    ("text", "status"), [("fail", 503), ("fail 500", 500), ("fail 429", 429), ("fail 400", 400)]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_refusals_are_worded_as_openai_words_them(
    demo: Demo, text: str, status: int, stream: bool
) -> None:
    body = {"messages": [{"role": "user", "content": text}], "stream": stream}
    response = await demo.client.post("/v1/chat/completions", json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"]
    assert response.headers.get("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"messages": []}', b"\xff"])
async def test_a_bad_body_is_a_400(demo: Demo, content: bytes) -> None:
    response = await demo.client.post("/v1/chat/completions", content=content)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [True, False])
async def test_fail_mid_breaks_the_transfer(demo: Demo, stream: bool) -> None:
    body = {"messages": [{"role": "user", "content": "fail mid"}], "stream": stream}
    async with demo.client.stream("POST", "/v1/chat/completions", json=body) as response:
        parts = response.aiter_bytes()
        received = await anext(parts)
        with pytest.raises(httpx.RemoteProtocolError):
            received += b"".join([part async for part in parts])
    assert received
    assert b"[DONE]" not in received


async def test_fail_chunk_sends_a_chunk_that_is_no_json(demo: Demo) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        await demo.chunks("fail chunk")


async def test_fail_error_sends_an_error_object(demo: Demo) -> None:
    chunks = await demo.chunks("fail error")
    assert chunks[-1]["error"]["code"] == "demo_failure"


async def test_fail_empty_says_nothing(demo: Demo) -> None:
    assert await demo.chunks("fail empty") == []


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_unusual_finish_reasons(demo: Demo, reason: str) -> None:
    chunks = await demo.chunks("fail length" if reason == "length" else "fail filter")
    assert chunks[-1]["choices"][0]["finish_reason"] == reason
    assert text_of(chunks)


@pytest.mark.parametrize("stream", [True, False])
async def test_fail_hang_stays_silent_until_the_client_leaves(demo: Demo, stream: bool) -> None:
    before = asyncio.all_tasks()
    body = {"messages": [{"role": "user", "content": "fail hang"}], "stream": stream}
    with pytest.raises(httpx.ReadTimeout):
        await demo.client.post(
            "/v1/chat/completions", json=body, timeout=httpx.Timeout(HUNG_SECONDS, read=0.3)
        )
    await all_end(asyncio.all_tasks() - before)


async def test_a_stream_ends_when_the_client_leaves(demo: Demo) -> None:
    before = asyncio.all_tasks()
    body = {"messages": [{"role": "user", "content": "slowly"}], "stream": True}
    async with demo.client.stream("POST", "/v1/chat/completions", json=body) as response:
        await anext(response.aiter_lines())
        serving = asyncio.all_tasks() - before
        assert serving
    await all_end(serving)


async def all_end(tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until the server, which shares our loop, has dropped the tasks of a request."""
    async with asyncio.timeout(HUNG_SECONDS):
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_transcription_says_that_it_is_none(demo: Demo) -> None:
    file = {"file": ("speech.wav", b"RIFF" + b"\0" * 96, "audio/wav")}
    answer = (await demo.client.post("/v1/audio/transcriptions", files=file, data={"model": "demo"})).json()
    assert "scripted demo transcription" in answer["text"]
    assert "100 bytes" in answer["text"]
    [(route, recorded)] = demo.requests
    assert route == "/v1/audio/transcriptions"
    assert recorded["model"] == "demo"
    assert recorded["file"] == {"filename": "speech.wav", "content_type": "audio/wav", "bytes": 100}


@pytest.mark.parametrize("form", [{"data": {"model": "demo"}}, {"json": {}}])
async def test_a_transcription_needs_a_file(demo: Demo, form: dict[str, Any]) -> None:
    response = await demo.client.post("/v1/audio/transcriptions", **form)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "missing_file"


async def test_models_and_health(demo: Demo) -> None:
    models = (await demo.client.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["demo"]
    assert (await demo.client.get("/healthz")).json()["status"] == "ok"


def test_the_module_serves_stops_clean_and_imports_no_agentscope() -> None:
    probe = "import sys, agentroute.demo.model; sys.exit('agentscope' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0

    port = reserved_port()
    process = subprocess.Popen([sys.executable, "-m", "agentroute.demo.model", "--port", str(port)])
    try:
        deadline = time.monotonic() + HUNG_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
                break
        else:
            pytest.fail("the demo model did not start")
        process.terminate()
        # uvicorn raises the signal again once it has closed everything.
        assert process.wait(HUNG_SECONDS) in (0, -15)
    finally:
        process.kill()
        process.wait()
