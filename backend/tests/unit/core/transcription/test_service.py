"""From a complete upload to an answer: what is called, what is remembered, what is booked."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
import pytest
from structlog.testing import capture_logs
from tests.support import audio
from tests.support.transcription import FakeEngine, memory_service
from tests.unit.core.transcription.conftest import Upload

from core.config import TranscriptionSettings
from core.errors import (
    AudioEmpty,
    IdempotencyMismatch,
    Overloaded,
    RateLimited,
    TranscriptionTimeout,
)
from core.identity import Principal
from core.transcription.answers import MemoryAnswers
from core.transcription.engine import Transcript
from core.transcription.ledger import CallEnd, MemoryTranscriptionLedger
from core.transcription.service import TranscriptionService
from core.transcription.slots import LocalSlots
from core.transcription.transcription import Speech, Transcription

ADA, EVE = Principal("t", "ada"), Principal("t", "eve")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def ledger() -> MemoryTranscriptionLedger:
    return MemoryTranscriptionLedger()


@pytest.fixture
def service(engine: FakeEngine, ledger: MemoryTranscriptionLedger) -> TranscriptionService:
    return memory_service(engine, ledger)


async def test_the_answer_says_all_of_it(
    service: TranscriptionService, engine: FakeEngine, ledger: MemoryTranscriptionLedger, upload: Upload
) -> None:
    answer = await service.transcribe(ADA, Speech(await upload(audio.wav()), "en", "AgentRoute"))

    assert answer.model_dump(exclude={"latency_ms"}) == {
        "text": "hello there",
        "language": "en",
        "duration_ms": 2000,
        "model": "fake-1",
        "cost": Decimal("0.0001"),
    }
    (heard,) = engine.calls
    assert (heard.data, heard.kind) == (audio.wav(), "wav")
    assert (heard.language, heard.prompt) == ("en", "AgentRoute")
    ((start, end),) = ledger.calls
    assert (start.principal, start.provider, start.model) == (ADA, "fake", "fake-1")
    assert (start.audio_kind, start.audio_bytes, start.audio_ms) == ("wav", len(audio.wav()), 2000)
    assert end == CallEnd(
        "succeeded", answer.latency_ms, model="fake-1", cost=Decimal("0.0001"), cost_source="engine"
    )


async def test_a_repeat_gets_the_first_answer(
    service: TranscriptionService, engine: FakeEngine, ledger: MemoryTranscriptionLedger, upload: Upload
) -> None:
    first = await service.transcribe(ADA, Speech(await upload(audio.wav()), "en"))
    engine.transcript = Transcript("something else", "en", "fake-1", None)

    assert await service.transcribe(ADA, Speech(await upload(audio.wav()), "en")) == first
    assert len(engine.calls) == len(ledger.calls) == 1


@pytest.mark.parametrize(
    ("principal", "language", "prompt", "data"),
    [
        (EVE, "en", None, audio.wav()),
        (Principal("other", "ada"), "en", None, audio.wav()),
        (ADA, "de", None, audio.wav()),
        (ADA, None, None, audio.wav()),
        (ADA, "en", "names", audio.wav()),
        (ADA, "en", None, audio.wav() + b"\x00\x00"),
    ],
    ids=["user", "tenant", "language", "no language", "prompt", "audio"],
)
async def test_nothing_else_is_a_repeat(
    principal: Principal,
    language: str | None,
    prompt: str | None,
    data: bytes,
    service: TranscriptionService,
    engine: FakeEngine,
    upload: Upload,
) -> None:
    await service.transcribe(ADA, Speech(await upload(audio.wav()), "en"))
    await service.transcribe(principal, Speech(await upload(data), language, prompt))

    assert len(engine.calls) == 2


async def test_of_two_at_once_one_is_transcribed(
    service: TranscriptionService, engine: FakeEngine, upload: Upload
) -> None:
    engine.gate.clear()
    speeches = [Speech(await upload(audio.wav())) for _ in range(2)]
    asked = [asyncio.create_task(service.transcribe(ADA, speech)) for speech in speeches]
    await engine.entered.acquire()
    engine.gate.set()

    first, second = await asyncio.gather(*asked)

    assert first == second
    assert len(engine.calls) == 1


async def test_a_failure_is_not_remembered(
    service: TranscriptionService, engine: FakeEngine, ledger: MemoryTranscriptionLedger, upload: Upload
) -> None:
    engine.error = TranscriptionTimeout("Slow.")
    with pytest.raises(TranscriptionTimeout):
        await service.transcribe(ADA, Speech(await upload(audio.wav())), "key-1")
    engine.error = None
    answer = await service.transcribe(ADA, Speech(await upload(audio.wav())), "key-1")

    assert answer.text == "hello there"
    ends = [end for _, end in ledger.calls if end]
    assert [(end.outcome, end.error_code) for end in ends] == [
        ("failed", "transcription-timeout"),
        ("succeeded", None),
    ]


async def test_an_unforeseen_failure_is_booked_too(
    service: TranscriptionService, engine: FakeEngine, ledger: MemoryTranscriptionLedger, upload: Upload
) -> None:
    engine.error = KeyError("surprise")
    with pytest.raises(KeyError):
        await service.transcribe(ADA, Speech(await upload(audio.wav())))

    end = ledger.calls[0][1]
    assert end is not None
    assert (end.outcome, end.error_code) == ("failed", "internal-error")


async def test_a_key_belongs_to_one_upload_of_one_user(
    service: TranscriptionService, engine: FakeEngine, upload: Upload
) -> None:
    first = await service.transcribe(ADA, Speech(await upload(audio.wav())), "key-1")

    assert await service.transcribe(ADA, Speech(await upload(audio.wav())), "key-1") == first
    with pytest.raises(IdempotencyMismatch):
        await service.transcribe(ADA, Speech(await upload(audio.wav()), "de"), "key-1")
    await service.transcribe(EVE, Speech(await upload(audio.wav()), "de"), "key-1")
    assert len(engine.calls) == 2


async def test_what_is_no_sound_costs_nothing(
    service: TranscriptionService, engine: FakeEngine, ledger: MemoryTranscriptionLedger, upload: Upload
) -> None:
    with pytest.raises(AudioEmpty):
        await service.transcribe(ADA, Speech(await upload(audio.wav_of(b""))))

    assert engine.calls == []
    assert ledger.calls == []


async def test_the_price_counts_when_the_engine_names_no_cost(
    engine: FakeEngine, ledger: MemoryTranscriptionLedger, upload: Upload
) -> None:
    settings = TranscriptionSettings(price_per_minute=Decimal("0.006"))
    engine.transcript = Transcript("x", None, "fake-1", None)
    priced = memory_service(engine, ledger, settings=settings)

    answer = await priced.transcribe(ADA, Speech(await upload(audio.wav()), "de"))

    assert (answer.cost, answer.language) == (Decimal("0.0002"), "de")
    end = ledger.calls[0][1]
    assert end is not None
    assert end.cost_source == "price"


async def test_a_cost_nobody_knows_is_unknown(
    service: TranscriptionService, engine: FakeEngine, ledger: MemoryTranscriptionLedger, upload: Upload
) -> None:
    engine.transcript = Transcript("x", None, "fake-1", None)

    answer = await service.transcribe(ADA, Speech(await upload(audio.wav())))

    assert answer.cost is None
    end = ledger.calls[0][1]
    assert end is not None
    assert (end.cost, end.cost_source) == (None, "unknown")


class _ClosingFails(MemoryTranscriptionLedger):
    async def close(self, call: int, end: CallEnd) -> bool:
        raise asyncpg.exceptions.ConnectionDoesNotExistError("gone")


async def test_an_answer_that_is_paid_for_survives_the_loss_of_the_database(
    engine: FakeEngine, upload: Upload
) -> None:
    ledger = _ClosingFails()

    with capture_logs() as lines:
        answer = await memory_service(engine, ledger).transcribe(ADA, Speech(await upload(audio.wav())))

    assert answer.text == "hello there"
    assert ledger.calls[0][1] is None
    assert [line["event"] for line in lines] == ["transcription_not_closed"]


class _OpeningFails(MemoryTranscriptionLedger):
    async def open(self, start: object) -> int:
        raise asyncpg.exceptions.ConnectionDoesNotExistError("gone")


async def test_nothing_is_called_that_cannot_be_booked(engine: FakeEngine, upload: Upload) -> None:
    with pytest.raises(asyncpg.exceptions.ConnectionDoesNotExistError):
        await memory_service(engine, _OpeningFails()).transcribe(ADA, Speech(await upload(audio.wav())))

    assert engine.calls == []


class _Forgetful(MemoryAnswers):
    async def find(self, fingerprint: str) -> Transcription | None:
        return None

    async def claim(self, principal: Principal, key: str, fingerprint: str) -> bool:
        return True


async def test_without_a_memory_every_upload_is_transcribed(engine: FakeEngine, upload: Upload) -> None:
    service = memory_service(engine, answers=_Forgetful())
    for _ in range(2):
        await service.transcribe(ADA, Speech(await upload(audio.wav())), "key-1")

    assert len(engine.calls) == 2


async def test_a_user_has_three_places_and_the_process_its_own() -> None:
    slots = LocalSlots(max_per_user=3, max_total=4)
    async with slots.take(ADA), slots.take(ADA), slots.take(ADA):
        with pytest.raises(RateLimited):
            async with slots.take(ADA):
                pass
        async with slots.take(EVE):
            with pytest.raises(Overloaded):
                async with slots.take(EVE):
                    pass
    async with slots.take(ADA):
        pass
