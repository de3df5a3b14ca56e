"""Builds the speech-to-text service from the settings, for the API process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from core.config import Settings
from core.database import create_session_factory
from core.errors import TranscriptionFailed
from core.transcription.answers import RedisAnswers
from core.transcription.audio_decoder import AudioDecoder
from core.transcription.audio_file import AudioFile
from core.transcription.endpoint import create_client, find_endpoint
from core.transcription.engine import Transcript, TranscriptionEngine
from core.transcription.ledger import PostgresTranscriptionLedger
from core.transcription.openai_engine import OpenAiEngine
from core.transcription.service import TranscriptionService
from core.transcription.slots import LocalSlots, SharedSlots

# Waiting times of a request besides upload and engine: the lock and the decoders.
_WAITING_SECONDS = 600.0


class NoEngine:
    """Used if no speech service is configured: the rest of the service starts, and the route reports the reason."""

    provider: str = "none"
    model: str = "none"

    async def transcribe(self, audio: AudioFile, *, language: str | None, prompt: str | None) -> Transcript:
        raise TranscriptionFailed(
            "No speech service is configured. The operator should set AGENT_TRANSCRIPTION__BASE_URL."
        )


async def open_transcription(
    settings: Settings, engine: AsyncEngine, redis: Redis, resources: AsyncExitStack
) -> TranscriptionService:
    """Build the service; what it opens is closed with ``resources``.

    Raises:
        ConfigurationError: The endpoint's address, or the local model, cannot be used.
    """
    chosen = settings.transcription
    decoder = AudioDecoder(max_seconds=chosen.max_audio_seconds, max_children=chosen.max_decoders)
    local = LocalSlots(max_per_user=chosen.max_per_user, max_total=chosen.max_concurrent)
    lost_after_seconds = chosen.upload_seconds + chosen.timeout_seconds + _WAITING_SECONDS
    return TranscriptionService(
        engine=await _open_engine(settings, decoder, resources),
        probe=decoder,
        slots=SharedSlots(redis, settings.redis, local, lost_after_seconds=lost_after_seconds),
        answers=RedisAnswers(redis, settings.redis, keep_seconds=chosen.repeat_seconds),
        ledger=PostgresTranscriptionLedger(create_session_factory(engine)),
        settings=chosen,
    )


async def _open_engine(
    settings: Settings, decoder: AudioDecoder, resources: AsyncExitStack
) -> TranscriptionEngine:
    if settings.transcription.engine == "whisper":
        # Imported here: only the local model needs this module.
        from agentroute.whisper_engine import WhisperEngine, load_whisper

        model = await asyncio.to_thread(load_whisper, settings.transcription)
        whisper = WhisperEngine(model, decoder, settings.transcription)
        resources.callback(whisper.close)
        return whisper
    endpoint = find_endpoint(settings.transcription, settings.model)
    if endpoint is None:
        return NoEngine()
    return OpenAiEngine(await resources.enter_async_context(create_client(endpoint)), endpoint)
