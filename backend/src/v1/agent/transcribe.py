"""The route of speech to text. The route is independent of threads."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from core import errors
from core.agentscope.schemas.links import API_PREFIX
from v1.agent.audio_form import read_speech
from v1.agent.dependencies import (
    Container,
    CurrentPrincipal,
    IdempotencyKeyHeader,
    current_principal,
)
from v1.agent.negotiation import idempotency_key
from v1.agent.openapi import problems
from v1.agent.run_answers import json_answer
from v1.agent.wire import TranscriptionResponse

_REFUSALS = (
    errors.Unauthenticated,
    errors.UploadTimeout,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.InvalidRequest,
    errors.InvalidText,
    errors.LimitExceeded,
    errors.AudioEmpty,
    errors.AudioTooLong,
    errors.IdempotencyMismatch,
    errors.RateLimited,
    errors.TranscriptionFailed,
    errors.TranscriptionTimeout,
    errors.Overloaded,
    errors.StoreUnavailable,
)

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "One file: wav, mp3, flac, ogg (Opus or Vorbis), webm or m4a. The first bytes of the file decide its format.",
        },
        "language": {
            "type": "string",
            "description": "Spoken language, as a language tag.",
            "examples": ["en", "pt-BR"],
        },
        "prompt": {
            "type": "string",
            "maxLength": 8192,
            "description": "Names and words that may occur, written in the expected style.",
        },
    },
}

_EXAMPLE = {
    "text": "What time is it in Lisbon?",
    "language": "en",
    "durationMs": 2140,
    "model": "whisper-1",
    "latencyMs": 930,
    "cost": "0.000214",
}

router = APIRouter(prefix=API_PREFIX, tags=["agent"], dependencies=[Depends(current_principal)])


@router.post(
    "/transcribe",
    response_model=TranscriptionResponse,
    responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}} | problems(*_REFUSALS),
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def transcribe(
    request: Request,
    principal: CurrentPrincipal,
    container: Container,
    key: IdempotencyKeyHeader = None,
) -> Response:
    """Turn speech into text.

    Limits: 25 MiB, ten minutes of audio, and three concurrent uploads per user. The name, type and duration that the
    file claims are ignored: the first bytes decide the format, and the duration is measured by decoding.

    The same file with the same language and prompt gets the same answer for ten minutes and is paid for once. An
    `Idempotency-Key` belongs to one upload for the same time. `cost`, in US dollars, is absent if it is unknown.
    """
    service, wanted = container.transcription, idempotency_key(key)
    received = partial(container.rates.take, principal, "upload-bytes")
    async with service.admit(principal), read_speech(request, service.settings, received) as speech:
        found = await service.transcribe(principal, speech, wanted)
    cost = None if found.cost is None else format(found.cost, "f")
    answer = TranscriptionResponse.model_validate(found.model_dump() | {"cost": cost})
    return json_answer(answer)
