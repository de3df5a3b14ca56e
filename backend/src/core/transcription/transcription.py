"""One upload and its transcription."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from core.identity import Principal
from core.transcription.audio_file import AudioFile


@dataclass(frozen=True, slots=True)
class Speech:
    """An upload to transcribe. The code that opened the file closes it."""

    audio: AudioFile
    language: str | None = None
    prompt: str | None = None

    def fingerprint(self, principal: Principal, model: str) -> str:
        """Return the fingerprint of a request. Equal fingerprints get the same answer; users never share one."""
        parts = [principal.tenant_id, principal.user_id, model, self.language, self.prompt]
        # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must differ.
        return hashlib.sha256(json.dumps([*parts, self.audio.sha256.hex()]).encode()).hexdigest()


class Transcription(BaseModel):
    """The answer."""

    model_config = ConfigDict(frozen=True)

    text: str
    language: str | None
    duration_ms: int
    """Of the audio."""
    model: str
    latency_ms: int
    """Of the engine."""
    cost: Decimal | None
    """US dollars; ``None`` is unknown, never free."""
