"""What turns speech into text: the contract, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from core.transcription.audio_file import AudioFile


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard."""

    text: str
    language: str | None
    """As the engine names it; ``None`` when it does not say."""
    model: str
    cost: Decimal | None
    """US dollars, as the engine reports them; ``None`` is unknown, never free."""


class TranscriptionEngine(Protocol):
    """Speech to text."""

    @property
    def provider(self) -> str:
        """Name that usage is booked under."""
        ...

    @property
    def model(self) -> str:
        """Name of the model that will be asked."""
        ...

    async def transcribe(self, audio: AudioFile, *, language: str | None, prompt: str | None) -> Transcript:
        """Return what is said in a file.

        Args:
            audio: Complete, of a length that was checked.
            language: What is spoken, when the caller knows it.
            prompt: Words that may occur, in the style that is wanted.

        Raises:
            TranscriptionFailed: There is no answer, or none that can be used.
            TranscriptionTimeout: It did not come in time.
        """
        ...
