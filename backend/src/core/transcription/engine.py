"""The contract of an engine that turns speech into text, and the engine's answer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from core.transcription.audio_file import AudioFile


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcribed text and its metadata."""

    text: str
    language: str | None
    """The language that the engine reports; ``None`` if it reports none."""
    model: str
    cost: Decimal | None
    """US dollars, as the engine reports them; ``None`` is unknown, never free."""


class TranscriptionEngine(Protocol):
    """Speech to text."""

    @property
    def provider(self) -> str:
        """Provider name for the usage report."""
        ...

    @property
    def model(self) -> str:
        """Name of the model for the next call."""
        ...

    async def transcribe(self, audio: AudioFile, *, language: str | None, prompt: str | None) -> Transcript:
        """Return the transcription of a file.

        Args:
            audio: A complete file whose duration was checked.
            language: The spoken language, if the caller knows it.
            prompt: Words that may occur, written in the expected style.

        Raises:
            TranscriptionFailed: There is no usable answer.
            TranscriptionTimeout: The answer did not arrive in time.
        """
        ...
