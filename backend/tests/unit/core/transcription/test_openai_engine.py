"""The endpoint over real HTTP: what it is sent, and every way in which it fails."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs
from tests.support import audio
from tests.support.stack import serving
from tests.unit.core.transcription.conftest import Upload

from core.config import ModelSettings, TranscriptionSettings
from core.errors import TranscriptionFailed, TranscriptionRejected, TranscriptionTimeout
from core.transcription.endpoint import Endpoint, create_client, find_endpoint
from core.transcription.openai_engine import OpenAiEngine

KEY = "sk-canary-3f9a7711"
ANSWER = {"text": "hello", "language": "english", "usage": {"cost": 0.00025}}


@dataclass
class Upstream:
    """An endpoint that answers as it is told, and remembers what it was asked."""

    url: str = ""
    answer: Callable[[], Awaitable[Response]] | Response = field(default_factory=lambda: JSONResponse(ANSWER))
    headers: list[dict[str, str]] = field(default_factory=list)
    forms: list[dict[str, Any]] = field(default_factory=list)

    async def transcribe(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        async with request.form() as form:
            found: dict[str, Any] = {}
            for name, value in form.items():
                if isinstance(value, UploadFile):
                    digest = hashlib.sha256(await value.read()).hexdigest()
                    found[name] = (value.filename, value.content_type, digest)
                else:
                    found[name] = value
            self.forms.append(found)
        return self.answer if isinstance(self.answer, Response) else await self.answer()


@pytest.fixture(scope="module")
async def one_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = Starlette(routes=[Route("/v1/audio/transcriptions", upstream.transcribe, methods=["POST"])])
    async with serving(app, lifespan=False) as url:
        upstream.url = f"{url}/v1"
        yield upstream


@pytest.fixture
def upstream(one_upstream: Upstream) -> Upstream:
    """The one server, as if it were new."""
    one_upstream.answer = JSONResponse(ANSWER)
    one_upstream.headers.clear()
    one_upstream.forms.clear()
    return one_upstream


Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def ask(upload: Upload) -> Ask:
    async def ask(base_url: str, *, language: str | None = None, prompt: str | None = None, **settings: Any):
        chosen = TranscriptionSettings.model_validate({"base_url": base_url, "api_key": KEY} | settings)
        endpoint = find_endpoint(chosen, ModelSettings())
        assert endpoint is not None
        async with create_client(endpoint) as client:
            engine = OpenAiEngine(client, endpoint)
            return await engine.transcribe(await upload(audio.ogg()), language=language, prompt=prompt)

    return ask


async def test_the_upload_goes_on_as_it_came(upstream: Upstream, ask: Ask) -> None:
    found = await ask(upstream.url, language="en", prompt="AgentRoute, Lisbon", name="whisper-large")

    assert (found.text, found.language, found.model, found.cost) == (
        "hello",
        "english",
        "whisper-large",
        Decimal("0.00025"),
    )
    assert upstream.forms == [
        {
            "model": "whisper-large",
            "response_format": "json",
            "language": "en",
            "prompt": "AgentRoute, Lisbon",
            "file": ("audio.ogg", "audio/ogg", hashlib.sha256(audio.ogg()).hexdigest()),
        }
    ]
    assert upstream.headers[0]["authorization"] == f"Bearer {KEY}"
    assert int(upstream.headers[0]["content-length"]) > len(audio.ogg())


async def test_what_was_not_asked_is_not_sent(upstream: Upstream, ask: Ask) -> None:
    await ask(upstream.url)

    assert set(upstream.forms[0]) == {"model", "response_format", "file"}


@pytest.mark.parametrize(
    ("body", "headers", "cost"),
    [
        ({"text": ""}, {"x-litellm-response-cost": "0.000125"}, Decimal("0.000125")),
        ({"text": "", "usage": {"cost": "0.5"}}, {}, Decimal("0.5")),
        ({"text": "", "usage": {"cost": 0}}, {}, Decimal(0)),
        ({"text": "", "usage": {"cost": None}}, {}, None),
        ({"text": "", "usage": {"cost": True}}, {}, None),
        ({"text": "", "usage": {"cost": "free"}}, {}, None),
        ({"text": "", "usage": {"cost": -1}}, {}, None),
        ({"text": "", "usage": {"cost": "1e99"}}, {}, None),
        ({"text": "", "usage": {"cost": [1]}}, {}, None),
        ({"text": "", "usage": []}, {"x-litellm-response-cost": "nan"}, None),
        ({"text": ""}, {}, None),
    ],
)
async def test_a_cost_is_taken_where_it_stands(
    body: Any, headers: dict[str, str], cost: Decimal | None, upstream: Upstream, ask: Ask
) -> None:
    upstream.answer = JSONResponse(body, headers=headers)

    assert (await ask(upstream.url)).cost == cost


async def test_an_answer_is_made_fit_for_the_database(upstream: Upstream, ask: Ask) -> None:
    upstream.answer = JSONResponse({"text": "a\x00b", "language": 7, "model": ["x"]})

    found = await ask(upstream.url)

    assert (found.text, found.language, found.model) == ("a\ufffdb", None, "whisper-1")


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        (400, TranscriptionRejected, "did not accept"),
        (413, TranscriptionRejected, "did not accept"),
        (401, TranscriptionFailed, "AGENT_TRANSCRIPTION__API_KEY"),
        (404, TranscriptionFailed, "AGENT_TRANSCRIPTION__BASE_URL"),
        (429, TranscriptionFailed, "busy"),
        (500, TranscriptionFailed, "not available"),
        (503, TranscriptionFailed, "not available"),
        (204, TranscriptionFailed, "not available"),
    ],
)
async def test_a_refusal_is_ours_to_explain(
    status: int, error: type[TranscriptionFailed], word: str, upstream: Upstream, ask: Ask
) -> None:
    upstream.answer = Response(
        b"" if status == 204 else b'{"error": "account 4711, key %s"}' % KEY.encode(), status_code=status
    )

    with capture_logs() as lines, pytest.raises(error) as caught:
        await ask(upstream.url)

    assert type(caught.value) is error
    assert caught.value.retryable == (error is TranscriptionFailed)
    assert word in caught.value.detail
    assert "4711" not in caught.value.detail
    assert lines[0]["what"] == f"HTTP {status}"
    assert KEY not in str(lines)


GARBAGE = [
    b"",
    b"<html><body>Welcome</body></html>",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b'{"text": null}',
    b'{"text": 5}',
    b'{"text": "\xff"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
async def test_nonsense_is_a_failure(body: bytes, upstream: Upstream, ask: Ask) -> None:
    upstream.answer = Response(body, media_type="application/json")

    with pytest.raises(TranscriptionFailed, match="not a transcription"):
        await ask(upstream.url)


async def test_a_flood_is_not_read_to_its_end(upstream: Upstream, ask: Ask) -> None:
    upstream.answer = Response(b" " * (4 << 20) + orjson.dumps(ANSWER), media_type="application/json")

    with pytest.raises(TranscriptionFailed, match="not a transcription"):
        await ask(upstream.url)


async def test_silence_is_a_timeout(upstream: Upstream, ask: Ask) -> None:
    gone = asyncio.Event()

    async def wait() -> Response:
        await gone.wait()
        return Response()

    upstream.answer = wait

    with pytest.raises(TranscriptionTimeout):
        await ask(upstream.url, timeout_seconds=0.3)
    gone.set()


async def test_a_drip_is_a_timeout_too(upstream: Upstream, ask: Ask) -> None:
    gone = asyncio.Event()

    async def drip() -> AsyncIterator[bytes]:
        yield b'{"text": '
        await gone.wait()

    upstream.answer = StreamingResponse(drip(), media_type="application/json")

    with pytest.raises(TranscriptionTimeout):
        await ask(upstream.url, timeout_seconds=0.3)
    gone.set()


async def test_a_redirect_does_not_get_the_key(upstream: Upstream, ask: Ask) -> None:
    upstream.answer = RedirectResponse(f"{upstream.url}/audio/transcriptions", status_code=307)

    with pytest.raises(TranscriptionFailed):
        await ask(upstream.url)
    assert len(upstream.headers) == 1


async def test_nobody_there_is_a_failure(ask: Ask) -> None:
    with pytest.raises(TranscriptionFailed, match="cannot be reached"):
        await ask("http://127.0.0.1:1/v1")


async def test_a_connection_that_breaks_is_a_failure(ask: Ask) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TranscriptionFailed):
            await ask(f"http://127.0.0.1:{port}/v1")


# --- which endpoint ---


def endpoint(model: dict[str, Any], **settings: Any) -> Endpoint | None:
    return find_endpoint(TranscriptionSettings.model_validate(settings), ModelSettings.model_validate(model))


MODEL = {"base_url": "https://llm.example/v1", "api_key": "model-key"}


@pytest.mark.parametrize(
    ("settings", "url", "key"),
    [
        ({}, "https://llm.example/v1/audio/transcriptions", "model-key"),
        ({"api_key": "own"}, "https://llm.example/v1/audio/transcriptions", "own"),
        ({"base_url": "https://stt.example/v1/"}, "https://stt.example/v1/audio/transcriptions", ""),
        (
            {"base_url": "https://stt.example/v1?api-version=2", "api_key": "own"},
            "https://stt.example/v1/audio/transcriptions?api-version=2",
            "own",
        ),
    ],
)
def test_the_models_key_goes_to_the_model_only(settings: dict[str, str], url: str, key: str) -> None:
    found = endpoint(MODEL, **settings)

    assert found is not None
    assert (str(found.url), found.api_key) == (url, key)
    assert "own" not in repr(found)


def test_without_an_address_there_is_none() -> None:
    assert endpoint({}) is None


async def test_a_key_is_not_sent_when_there_is_none() -> None:
    found = endpoint({"base_url": "http://127.0.0.1:1/v1"})
    assert found is not None
    async with create_client(found) as client:
        assert isinstance(client, httpx.AsyncClient)
        assert "authorization" not in client.headers
