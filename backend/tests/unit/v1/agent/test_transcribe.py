"""``POST /transcribe`` over HTTP: what is taken, what is refused, and when."""

from __future__ import annotations

import asyncio
import gc
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.support import audio
from tests.support.limits import HUNG_SECONDS
from tests.support.transcription import FakeEngine, memory_service

from core import errors
from core.config import TranscriptionSettings
from core.transcription.engine import Transcript
from core.transcription.ledger import MemoryTranscriptionLedger

URL = "/api/v1/agent/transcribe"
MIB = 1 << 20

Part = tuple[str, bytes] | tuple[str, bytes, str]


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body = response.json()
    assert (body["code"], body["instance"]) == (code, URL)
    return body


def pointers(body: dict[str, Any]) -> list[str]:
    return [entry["pointer"] for entry in body["errors"]]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def ledger() -> MemoryTranscriptionLedger:
    return MemoryTranscriptionLedger()


@pytest.fixture(autouse=True)
def _service(app: FastAPI, engine: FakeEngine, ledger: MemoryTranscriptionLedger) -> None:
    app.state.container = replace(app.state.container, transcription=memory_service(engine, ledger))


async def send(client: httpx.AsyncClient, data: bytes, **fields: str) -> httpx.Response:
    return await client.post(URL, files={"file": ("speech", data)}, data=fields)


# --- what is taken ---


@pytest.mark.parametrize("name", audio.FILES)
async def test_every_kind_is_taken_as_it_is(name: str, ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    data = audio.FILES[name]()
    # The name and the type lie; the bytes do not.
    response = await ada.post(URL, files={"file": ("virus.exe", data, "text/html")})

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    body = response.json()
    assert set(body) == {"text", "language", "durationMs", "model", "latencyMs", "cost"}
    assert (body["text"], body["language"], body["model"]) == ("hello there", "en", "fake-1")
    assert body["cost"] == "0.0001"
    assert abs(body["durationMs"] - audio.SECONDS * 1000) <= 60
    assert body["latencyMs"] >= 0
    assert engine.calls[0].data == data
    assert engine.calls[0].kind == name.split(",")[0]


async def test_language_and_prompt_reach_the_engine(ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    await send(
        ada, audio.wav(), language=" pt-BR ", prompt="Olá, AgentRoute", model="whisper-9", temperature="0"
    )

    assert (engine.calls[0].language, engine.calls[0].prompt) == ("pt-BR", "Olá, AgentRoute")


async def test_empty_fields_are_no_fields(ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    await send(ada, audio.wav(), language="", prompt="")

    assert (engine.calls[0].language, engine.calls[0].prompt) == (None, None)


async def test_what_nobody_knows_is_absent(ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.transcript = Transcript("", None, "fake-1", None)

    body = (await send(ada, audio.wav())).json()

    assert set(body) == {"text", "durationMs", "model", "latencyMs"}


def form(*parts: tuple[str, bytes], end: bytes = b"--B--\r\n") -> bytes:
    """A form by hand: (value of Content-Disposition, content)."""
    written = [
        f"--B\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
        for disposition, content in parts
    ]
    return b"".join(written) + end


FILE = ('form-data; name="file"; filename="a"', audio.wav())
FORM = {"Content-Type": "multipart/form-data; boundary=B"}


async def test_the_pieces_a_body_arrives_in_do_not_matter(ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    body = form(('form-data; name="language"', b"en"), FILE)

    async def bytewise() -> AsyncIterator[bytes]:
        for at in range(0, 400):
            yield body[at : at + 1]
        yield body[400:]

    response = await ada.post(URL, content=bytewise(), headers=FORM)

    assert response.status_code == 200
    assert (engine.calls[0].data, engine.calls[0].language) == (audio.wav(), "en")


async def test_a_file_needs_no_name(ada: httpx.AsyncClient) -> None:
    response = await ada.post(URL, content=form(('form-data; name="file"', audio.wav())), headers=FORM)

    assert response.status_code == 200


# --- what is refused ---


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.wav", audio.wav())
    return target.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        zipped(),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://169.254.169.254/latest/meta-data\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<!DOCTYPE html><html></html>" * 100,
        b"\x00" * 4096,
        b"R",
        audio.video_webm(),
        audio.m4a()[: len(audio.m4a()) // 2],
        b"ID3\x03\x00\x00\x00\x00\x00\x00" + b"not sound " * 1000,
    ],
    ids=["zip", "hls", "svg", "html", "zeros", "one byte", "film", "cut m4a", "junk after a tag"],
)
async def test_what_is_not_audio_is_415(
    data: bytes, ada: httpx.AsyncClient, engine: FakeEngine, ledger: MemoryTranscriptionLedger
) -> None:
    response = await ada.post(URL, files={"file": ("speech.mp3", data, "audio/mpeg")})

    problem(response, 415, "unsupported-media-type")
    assert engine.calls == []
    assert ledger.calls == []


@pytest.mark.parametrize("data", [b"", audio.wav_of(b"")], ids=["no byte", "no sample"])
async def test_nothing_in_it_is_422(data: bytes, ada: httpx.AsyncClient) -> None:
    problem(await send(ada, data), 422, "audio-empty")


async def test_eleven_minutes_are_422(ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    body = problem(await send(ada, audio.silence(660)), 422, "audio-too-long")

    assert body["maxSeconds"] == 600
    assert engine.calls == []


async def test_a_header_that_lies_about_its_size_changes_nothing(ada: httpx.AsyncClient) -> None:
    lie = audio.wav_of(audio.speech(1, 16_000).tobytes(), claimed_bytes=10**9)

    assert (await send(ada, lie)).json()["durationMs"] == 1000


async def test_26_mib_are_413_and_not_read_to_the_end(ada: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield form(('form-data; name="file"', audio.wav_of(b"", claimed_bytes=10**9)), end=b"")[:-2]
        while True:
            sent += MIB
            yield bytes(MIB)

    response = await ada.post(URL, content=endless(), headers=FORM)

    assert problem(response, 413, "body-too-large")["maxBytes"] == 25 * MIB
    assert sent <= 27 * MIB


async def test_25_mib_are_taken(ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    # At 192 kB a second they last 137 seconds.
    data = audio.wav_of(bytes(25 * MIB - 44), rate=96_000)

    response = await send(ada, data, prompt="p" * 8000)

    assert response.status_code == 200
    assert len(engine.calls[0].data) == 25 * MIB
    problem(await send(ada, data + b"\x00"), 413, "body-too-large")


async def test_what_is_no_form_is_415(ada: httpx.AsyncClient) -> None:
    for headers in ({"Content-Type": "audio/wav"}, {"Content-Type": "application/json"}, {}):
        problem(await ada.post(URL, content=audio.wav(), headers=headers), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (form(('form-data; name="prompt"', b"x")), ["/file"]),
        (form(end=b"--B--\r\n"), ["/file"]),
        (form(FILE, FILE), ["/file"]),
        (form(FILE, ('form-data; name="other"; filename="b"', audio.wav())), ["/other"]),
        (
            form(('form-data; name="language"', b"e"), ('form-data; name="language"', b"d"), FILE),
            ["/language"],
        ),
        (form(('form-data; name="language"', b"english please"), FILE), ["/language"]),
        (form(('form-data; name="prompt"', b"\xff"), FILE), ["/prompt"]),
        (form(FILE, end=b""), None),
        (form(("form-data", b"x"), FILE), None),
        (form(('attachment; name="file"', b"x")), None),
        (form(*[(f'form-data; name="f{n}"', b"x") for n in range(17)]), None),
        (b"no form at all", None),
        (b"", None),
        (b"--B\r\n" + b"X: y\r\n" * 20 + b"\r\n", None),
    ],
    ids=[
        "no file",
        "nothing",
        "two files",
        "two files, other name",
        "field twice",
        "no language",
        "not utf-8",
        "cut off",
        "no name",
        "attachment",
        "many parts",
        "no form",
        "empty",
        "many headers",
    ],
)
async def test_a_form_that_does_not_fit_is_422(
    content: bytes, found: list[str] | None, ada: httpx.AsyncClient, engine: FakeEngine
) -> None:
    body = problem(await ada.post(URL, content=content, headers=FORM), 422, "invalid-request")

    assert found is None or pointers(body) == found
    assert engine.calls == []


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 71])
async def test_a_form_needs_a_boundary(boundary: str, ada: httpx.AsyncClient) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}

    problem(await ada.post(URL, content=form(FILE), headers=headers), 422, "invalid-request")


async def test_text_that_cannot_be_stored_is_refused(ada: httpx.AsyncClient) -> None:
    assert pointers(problem(await send(ada, audio.wav(), prompt="a\x00"), 422, "invalid-text")) == ["/prompt"]


@pytest.mark.parametrize("name", ["prompt", "anything"])
async def test_a_long_field_is_refused(name: str, ada: httpx.AsyncClient) -> None:
    response = await send(ada, audio.wav(), **{name: "x" * 8193})

    assert pointers(problem(response, 422, "limit-exceeded")) == [f"/{name}"]


async def test_nobody_may_upload(connect: Callable[[str | None], httpx.AsyncClient]) -> None:
    problem(await send(connect(None), audio.wav()), 401, "unauthenticated")


async def test_an_upload_that_stalls_is_given_up(
    ada: httpx.AsyncClient, app: FastAPI, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TranscriptionSettings(upload_seconds=0.2, max_per_user=1)
    app.state.container = replace(
        app.state.container, transcription=memory_service(engine, settings=settings)
    )
    stalled = asyncio.Event()

    async def stall() -> AsyncIterator[bytes]:
        yield form(FILE)[:500]
        await stalled.wait()

    body = problem(await ada.post(URL, content=stall(), headers=FORM), 408, "upload-timeout")

    assert body["retryable"]
    # The next one is to arrive, however slow the machine is.
    monkeypatch.setitem(settings.__dict__, "upload_seconds", HUNG_SECONDS)
    assert (await send(ada, audio.wav())).status_code == 200  # its place is free again


# --- upstream ---


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (errors.TranscriptionFailed("No."), 502, "transcription-failed", True),
        (errors.TranscriptionRejected("No."), 502, "transcription-failed", False),
        (errors.TranscriptionTimeout("No."), 504, "transcription-timeout", True),
    ],
)
async def test_a_failure_upstream_is_a_problem(
    error: errors.AgentBackendError,
    status: int,
    code: str,
    retryable: bool,
    ada: httpx.AsyncClient,
    engine: FakeEngine,
    ledger: MemoryTranscriptionLedger,
) -> None:
    engine.error = error

    body = problem(await send(ada, audio.wav()), status, code)

    assert body["retryable"] == retryable
    assert [end.outcome for _, end in ledger.calls if end] == ["failed"]


# --- repeats and places ---


async def test_a_repeat_is_the_same_answer(ada: httpx.AsyncClient, engine: FakeEngine) -> None:
    first = await send(ada, audio.wav(), language="en")
    engine.transcript = Transcript("another", "en", "fake-1", None)

    assert (await send(ada, audio.wav(), language="en")).content == first.content
    assert len(engine.calls) == 1


async def test_a_foreign_user_does_not_share_it(
    ada: httpx.AsyncClient, eve: httpx.AsyncClient, engine: FakeEngine
) -> None:
    headers = {"Idempotency-Key": "key-1"}
    await ada.post(URL, files={"file": audio.wav()}, headers=headers)
    engine.transcript = Transcript("for eve", "en", "fake-1", None)

    answer = await eve.post(URL, files={"file": audio.wav()}, headers=headers)

    assert answer.json()["text"] == "for eve"
    assert len(engine.calls) == 2


async def test_a_key_belongs_to_one_upload(ada: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": '"key-1"'}
    first = await ada.post(URL, files={"file": audio.wav()}, headers=headers)

    assert (await ada.post(URL, files={"file": audio.wav()}, headers=headers)).content == first.content
    other = await ada.post(URL, files={"file": audio.ogg()}, headers=headers)
    problem(other, 422, "idempotency-mismatch")
    bad = await ada.post(URL, files={"file": audio.wav()}, headers={"Idempotency-Key": "a b"})
    problem(bad, 422, "invalid-request")


async def test_a_user_may_have_three_at_once(
    ada: httpx.AsyncClient, eve: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.gate.clear()
    running = [asyncio.create_task(send(ada, audio.FILES[kind]())) for kind in ("wav", "mp3", "flac")]
    for _ in running:
        await engine.entered.acquire()

    refused = await send(ada, audio.ogg())
    others = asyncio.create_task(send(eve, audio.ogg()))
    await engine.entered.acquire()
    engine.gate.set()

    problem(refused, 429, "rate-limited")
    assert refused.headers["retry-after"] == "2"
    assert [answer.status_code for answer in await asyncio.gather(*running, others)] == [200] * 4
    assert (await send(ada, audio.ogg())).status_code == 200


def left_in(directory: Path) -> list[str]:
    """Files in a directory, and those without a name there that this process holds open."""
    gc.collect()
    links = (entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return [*map(str, directory.iterdir()), *(str(link) for link in links if link.is_relative_to(directory))]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
async def test_no_file_is_left_behind(
    ada: httpx.AsyncClient, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engine.gate.clear()
    running = asyncio.create_task(send(ada, audio.wav()))
    await engine.entered.acquire()
    assert len(left_in(tmp_path)) == 1
    engine.gate.set()
    await running

    await send(ada, audio.wav(), language="not a language")
    await send(ada, zipped())

    assert left_in(tmp_path) == []


async def test_an_encoded_form_is_refused_by_its_encoding(ada: httpx.AsyncClient) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "multipart/form-data; boundary=x"}

    response = await ada.post(URL, content=b"\x1f\x8b", headers=headers)

    assert "Content-Encoding" in problem(response, 415, "unsupported-media-type")["detail"]


# --- the description ---


async def test_the_description_has_the_form_and_the_refusals(ada: httpx.AsyncClient) -> None:
    operation = (await ada.get("/openapi.json")).json()["paths"][URL]["post"]

    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["file"]
    assert set(schema["properties"]) == {"file", "language", "prompt"}
    assert {"200", "401", "408", "413", "415", "422", "429", "502", "503", "504"} <= set(
        operation["responses"]
    )
    codes = operation["responses"]["422"]["content"]["application/problem+json"]["examples"]
    assert {"audio-empty", "audio-too-long", "idempotency-mismatch"} <= set(codes)
    assert operation["security"]
    answer = operation["responses"]["200"]["content"]["application/json"]
    assert answer["schema"]["$ref"].endswith("/TranscriptionResponse")
    assert set(answer["example"]) == {"text", "language", "durationMs", "model", "latencyMs", "cost"}
    headers = {entry["name"] for entry in operation["parameters"]}
    assert "Idempotency-Key" in headers
