"""A speech engine that hears what a test tells it, and the service around it, without stores."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

from core.config import TranscriptionSettings
from core.transcription.answers import Answers, MemoryAnswers
from core.transcription.audio_decoder import AudioDecoder
from core.transcription.audio_file import AudioFile
from core.transcription.engine import Transcript
from core.transcription.ledger import MemoryTranscriptionLedger
from core.transcription.service import TranscriptionService
from core.transcription.slots import LocalSlots


@dataclass(frozen=True)
class Heard:
    """One call of the engine."""

    data: bytes
    kind: str
    language: str | None
    prompt: str | None


@dataclass
class FakeEngine:
    """Answers with ``transcript`` or raises ``error``, after ``gate`` has opened."""

    provider: str = "fake"
    model: str = "fake-1"
    transcript: Transcript = field(
        default_factory=lambda: Transcript("hello there", "en", "fake-1", Decimal("0.00010"))
    )
    error: Exception | None = None
    calls: list[Heard] = field(default_factory=list)
    entered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released at each call."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def transcribe(self, audio: AudioFile, *, language: str | None, prompt: str | None) -> Transcript:
        audio.rewind()
        self.calls.append(Heard(audio.stream.read(), str(audio.kind), language, prompt))
        self.entered.release()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.transcript


def memory_service(
    engine: FakeEngine,
    ledger: MemoryTranscriptionLedger | None = None,
    answers: Answers | None = None,
    settings: TranscriptionSettings | None = None,
) -> TranscriptionService:
    """Build the service over memory, with the real decoder."""
    settings = settings or TranscriptionSettings()
    return TranscriptionService(
        engine=engine,
        probe=AudioDecoder(max_seconds=settings.max_audio_seconds, max_children=2),
        slots=LocalSlots(max_per_user=settings.max_per_user, max_total=settings.max_concurrent),
        answers=answers or MemoryAnswers(),
        ledger=ledger or MemoryTranscriptionLedger(),
        settings=settings,
    )
