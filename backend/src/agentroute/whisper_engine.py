"""Speech to text in this process, with faster-whisper: the optional extra ``whisper``.

The model never sees an upload: it gets the samples that the decoder's child
process made of it. One transcription at a time, since each uses every core.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import structlog

from core.config import TranscriptionSettings
from core.errors import ConfigurationError, TranscriptionFailed, TranscriptionRejected, TranscriptionTimeout
from core.text import clean_text
from core.transcription.audio_decoder import AudioDecoder
from core.transcription.audio_file import AudioFile
from core.transcription.engine import Transcript

_MISSING = "AGENT_TRANSCRIPTION__ENGINE=whisper needs an optional package: install agentroute[whisper], or unset the variable."

log = structlog.get_logger(__name__)


class WhisperModel(Protocol):
    """The part of ``faster_whisper.WhisperModel`` that is used."""

    def transcribe(self, audio: Any, *, language: str | None, initial_prompt: str | None) -> tuple[Any, Any]:
        """Return a lazy iterable of segments with a ``text``, and an info with a ``language``."""
        ...


def require_whisper() -> Any:
    """Import and return the optional package ``faster_whisper``.

    Raises:
        ConfigurationError: The extra is not installed.
    """
    try:
        return importlib.import_module("faster_whisper")
    except ImportError as exc:
        raise ConfigurationError(_MISSING) from exc


def load_whisper(settings: TranscriptionSettings) -> WhisperModel:
    """Load the weights: seconds, and as much memory as they have. Blocks.

    Raises:
        ConfigurationError: The extra is not installed, or the weights cannot be loaded.
    """
    package = require_whisper()
    try:
        return package.WhisperModel(settings.name, device="auto", compute_type="default")
    except Exception as exc:
        # Any error of CTranslate2 or of a download: the operator reads one line and corrects the name.
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise ConfigurationError(
            f"AGENT_TRANSCRIPTION__NAME={settings.name}: the weights cannot be loaded: {reason}"
        ) from exc


class WhisperEngine:
    """A loaded model."""

    def __init__(self, model: WhisperModel, decoder: AudioDecoder, settings: TranscriptionSettings) -> None:
        self._model = model
        self._decoder = decoder
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="whisper")

    @property
    def provider(self) -> str:
        return "faster-whisper"

    @property
    def model(self) -> str:
        return self._settings.name

    def close(self) -> None:
        """Accept no more work. A running transcription ends with its current segment at the latest."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def transcribe(self, audio: AudioFile, *, language: str | None, prompt: str | None) -> Transcript:
        samples = await self._decoder.samples(audio)
        abandoned = threading.Event()
        # Whisper knows languages, not their regions.
        spoken = language.partition("-")[0].lower() if language else None
        listening = asyncio.get_running_loop().run_in_executor(
            self._thread, self._listen, samples, spoken, prompt, abandoned
        )
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await listening
        except TimeoutError as exc:
            raise TranscriptionTimeout(
                "The transcription did not end in time. Send a shorter piece."
            ) from exc
        except ValueError as exc:
            log.warning("transcription_failed", what="ValueError", reason=str(exc)[:300])
            raise TranscriptionRejected("The model does not know this language.") from exc
        except RuntimeError as exc:
            log.warning("transcription_failed", what="RuntimeError", reason=str(exc)[:300])
            raise TranscriptionFailed("The model failed. Try again later.") from exc
        finally:
            abandoned.set()

    def _listen(
        self, samples: bytes, language: str | None, prompt: str | None, abandoned: threading.Event
    ) -> Transcript:
        sound = np.frombuffer(samples, dtype=np.int16).astype(np.float32) / 32768
        segments, info = self._model.transcribe(sound, language=language, initial_prompt=prompt)
        words: list[str] = []
        for segment in segments:
            if abandoned.is_set():
                break  # a thread cannot be stopped from outside
            words.append(segment.text)
        return Transcript(clean_text("".join(words).strip()), info.language, self.model, None)
