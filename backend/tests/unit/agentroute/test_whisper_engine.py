"""The local engine up to the weights: what a model is given, and what becomes of its answer and its faults."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.support import audio
from tests.support.limits import HUNG_SECONDS

from agentroute import whisper_engine
from agentroute.whisper_engine import WhisperEngine, load_whisper
from core.config import TranscriptionSettings
from core.errors import (
    ConfigurationError,
    TranscriptionFailed,
    TranscriptionRejected,
    TranscriptionTimeout,
)
from core.transcription.audio_decoder import AudioDecoder
from core.transcription.audio_file import AudioFile
from core.transcription.audio_kind import AudioKind


@dataclass
class FakeModel:
    """Stands in for ``faster_whisper.WhisperModel``: lazy segments, as the real one has."""

    segments: Callable[[], Iterator[Any]] = lambda: iter(
        [SimpleNamespace(text=" Hello"), SimpleNamespace(text=" there.\x00")]
    )
    error: Exception | None = None
    heard: list[tuple[Any, str | None, str | None]] = field(default_factory=list)

    def transcribe(self, audio: Any, *, language: str | None, initial_prompt: str | None) -> tuple[Any, Any]:
        self.heard.append((audio, language, initial_prompt))
        if self.error is not None:
            raise self.error
        return self.segments(), SimpleNamespace(language="en")


@pytest.fixture
async def file() -> AsyncIterator[AudioFile]:
    with AudioFile(AudioKind.WEBM) as file:
        await file.write(audio.live_webm())
        await file.flush()
        yield file


@asynccontextmanager
async def engine_of(model: FakeModel, **settings: Any) -> AsyncIterator[WhisperEngine]:
    chosen = TranscriptionSettings.model_validate({"name": "tiny"} | settings)
    engine = WhisperEngine(model, AudioDecoder(max_seconds=600, max_children=1), chosen)
    try:
        yield engine
    finally:
        engine.close()


async def test_the_model_gets_samples_and_never_the_upload(file: AudioFile) -> None:
    model = FakeModel()
    async with engine_of(model) as engine:
        found = await engine.transcribe(file, language="pt-BR", prompt="names")

    ((sound, language, prompt),) = model.heard
    assert sound.dtype == np.float32
    assert len(sound) == pytest.approx(audio.SECONDS * 16_000, rel=0.01)
    assert 0.1 < float(np.abs(sound).max()) <= 1
    assert (language, prompt) == ("pt", "names")
    assert (found.text, found.language, found.model, found.cost) == ("Hello there.\ufffd", "en", "tiny", None)
    assert (engine.provider, engine.model) == ("faster-whisper", "tiny")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ValueError("'xx' is not a valid language code"), TranscriptionRejected),
        (RuntimeError("CUDA out of memory"), TranscriptionFailed),
    ],
)
async def test_a_fault_of_the_model_is_a_failure(
    fault: Exception, error: type[TranscriptionFailed], file: AudioFile
) -> None:
    async with engine_of(FakeModel(error=fault)) as engine:
        with pytest.raises(error) as caught:
            await engine.transcribe(file, language="xx", prompt=None)

    assert type(caught.value) is error
    assert "CUDA" not in caught.value.detail


async def test_a_slow_model_is_given_up_and_stops_at_its_next_segment(
    file: AudioFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, stopped = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)

    def segments() -> Iterator[Any]:
        try:
            # The time is over once the model listens, however late its thread begins.
            loop.call_soon_threadsafe(limit.reschedule, 0)
            while go_on.wait(HUNG_SECONDS):
                yield SimpleNamespace(text=" again")
        finally:
            loop.call_soon_threadsafe(stopped.set)

    # In the engine alone: the decoder has limits of its own.
    timed = SimpleNamespace(timeout=lambda _seconds: limit, get_running_loop=lambda: loop)
    monkeypatch.setattr(whisper_engine, "asyncio", timed)
    async with engine_of(FakeModel(segments=segments)) as engine:
        with pytest.raises(TranscriptionTimeout):
            await engine.transcribe(file, language=None, prompt=None)
        go_on.set()
        async with asyncio.timeout(HUNG_SECONDS):
            await stopped.wait()


# --- loading ---


def test_without_the_extra_the_operator_reads_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)

    with pytest.raises(ConfigurationError, match=r"install agentroute\[whisper\]"):
        load_whisper(TranscriptionSettings(engine="whisper"))


def test_weights_that_do_not_load_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("faster_whisper")

    def refuse(name: str, *, device: str, compute_type: str) -> None:
        raise RuntimeError(f"Unable to open file 'model.bin' in model '{name}'\nmore")

    package.__dict__["WhisperModel"] = refuse
    monkeypatch.setitem(sys.modules, "faster_whisper", package)

    with pytest.raises(ConfigurationError) as caught:
        load_whisper(TranscriptionSettings(engine="whisper", name="no-such-model"))
    assert str(caught.value).startswith("AGENT_TRANSCRIPTION__NAME=no-such-model: ")
    assert "\n" not in str(caught.value)


def test_the_real_package_fails_only_for_want_of_weights(tmp_path: Path) -> None:
    if importlib.util.find_spec("faster_whisper") is None:
        pytest.skip("the extra 'whisper' is not installed")

    with pytest.raises(ConfigurationError, match="the weights cannot be loaded"):
        load_whisper(TranscriptionSettings(engine="whisper", name=str(tmp_path)))
