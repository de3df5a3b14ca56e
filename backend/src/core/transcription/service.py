"""Speech to text, from a complete upload to an answer that is in the ledger.

The order is: look up a stored answer, check the audio in the decoder, write the ledger's row, call the engine. So no
call is paid twice, no invalid audio is paid for, and every call is recorded.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from core.config import TranscriptionSettings
from core.errors import AgentBackendError, IdempotencyMismatch
from core.identity import Principal
from core.store_failure import is_store_failure
from core.transcription.answers import Answers
from core.transcription.audio_file import AudioFile
from core.transcription.engine import Transcript, TranscriptionEngine
from core.transcription.ledger import CallEnd, CallStart, CostSource, TranscriptionLedger
from core.transcription.slots import Slots
from core.transcription.transcription import Speech, Transcription

_LEDGER_DIGITS = Decimal("1e-12")

log = structlog.get_logger(__name__)


class DurationProbe(Protocol):
    """Measures the duration of a file. ``AudioDecoder`` implements this protocol."""

    async def duration(self, audio: AudioFile) -> timedelta: ...


class TranscriptionService:
    """Everything ``POST /transcribe`` does, without HTTP."""

    def __init__(
        self,
        *,
        engine: TranscriptionEngine,
        probe: DurationProbe,
        slots: Slots,
        answers: Answers,
        ledger: TranscriptionLedger,
        settings: TranscriptionSettings | None = None,
    ) -> None:
        self._engine = engine
        self._probe = probe
        self._slots = slots
        self._answers = answers
        self._ledger = ledger
        self.settings: TranscriptionSettings = settings or TranscriptionSettings()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def admit(self, principal: Principal) -> AbstractAsyncContextManager[None]:
        """Hold one of the user's slots. The slot also covers reading the upload, which needs disk space and time.

        Raises:
            RateLimited, Overloaded: As :meth:`Slots.take`.
        """
        return self._slots.take(principal)

    async def transcribe(
        self, principal: Principal, speech: Speech, idempotency_key: str | None = None
    ) -> Transcription:
        """Return the transcription.

        A repeated request (same user, audio, language and prompt) gets the first answer for ``repeat_seconds``. If two
        such requests are concurrent in one process, the second waits for the first.

        Args:
            principal: Who asks.
            speech: A complete and flushed upload.
            idempotency_key: Belongs to one request, for ``repeat_seconds``.

        Raises:
            IdempotencyMismatch: The key belongs to another request.
            UnsupportedMediaType, AudioEmpty, AudioTooLong: As :meth:`AudioDecoder.duration`.
            TranscriptionFailed, TranscriptionTimeout: As :meth:`TranscriptionEngine.transcribe`.
        """
        fingerprint = speech.fingerprint(principal, self._engine.model)
        if idempotency_key and not await self._answers.claim(principal, idempotency_key, fingerprint):
            raise IdempotencyMismatch("The Idempotency-Key belongs to another upload. Use a new key.")
        # Only the tasks that use the lock hold a reference: the dictionary drops the lock after the last of them.
        turn = self._turns.setdefault(fingerprint, asyncio.Lock())
        async with turn:
            if (known := await self._answers.find(fingerprint)) is not None:
                return known
            duration = await self._probe.duration(speech.audio)
            return await self._call(principal, speech, duration, fingerprint)

    async def _call(
        self, principal: Principal, speech: Speech, duration: timedelta, fingerprint: str
    ) -> Transcription:
        call = await self._ledger.open(
            CallStart(
                principal=principal,
                provider=self._engine.provider,
                model=self._engine.model,
                audio_kind=str(speech.audio.kind),
                audio_bytes=speech.audio.size,
                audio_ms=_milliseconds(duration),
            )
        )
        started_at = time.monotonic()
        try:
            transcript = await self._engine.transcribe(
                speech.audio, language=speech.language, prompt=speech.prompt
            )
        except Exception as exc:
            code = exc.code if isinstance(exc, AgentBackendError) else AgentBackendError.code
            await self._close(call, CallEnd("failed", _since(started_at), error_code=code))
            raise
        latency_ms = _since(started_at)
        cost, source = self._cost(transcript, duration)
        answer = Transcription(
            text=transcript.text,
            language=transcript.language or speech.language,
            duration_ms=_milliseconds(duration),
            model=transcript.model,
            latency_ms=latency_ms,
            cost=cost,
        )
        await self._answers.put(principal, fingerprint, answer)
        end = CallEnd("succeeded", latency_ms, model=transcript.model, cost=cost, cost_source=source)
        if not await self._close(call, end):
            # The user was erased meanwhile. In this order, either the erasure finds the answer or this does.
            await self._answers.drop(fingerprint)
        return answer

    async def _close(self, call: int, end: CallEnd) -> bool:
        """Close the row of a call; returns whether it is still a user's."""
        try:
            return await self._ledger.close(call, end)
        except Exception as exc:
            if not is_store_failure(exc):
                raise
            # The answer is already paid for: the caller gets it, although the row stays `started`.
            log.warning("transcription_not_closed", call=call, outcome=end.outcome, error=type(exc).__name__)
            return True

    def _cost(self, transcript: Transcript, duration: timedelta) -> tuple[Decimal | None, CostSource]:
        if transcript.cost is not None:
            return _booked(transcript.cost), "engine"
        if (price := self.settings.price_per_minute) is not None:
            return _booked(price * _milliseconds(duration) / 60_000), "price"
        return None, "unknown"


def _booked(cost: Decimal) -> Decimal:
    """Return the cost with the digits the ledger keeps, so that the caller reads the same."""
    return cost.quantize(_LEDGER_DIGITS).normalize()


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _since(started_at: float) -> int:
    return round((time.monotonic() - started_at) * 1000)
