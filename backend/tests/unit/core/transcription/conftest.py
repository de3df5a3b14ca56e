"""An upload made of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack

import pytest

from core.transcription.audio_file import AudioFile
from core.transcription.audio_kind import HEAD_BYTES, AudioKind, recognise

Upload = Callable[..., Awaitable[AudioFile]]


@pytest.fixture
async def upload() -> AsyncIterator[Upload]:
    """Return a way to make a file of bytes; its kind is recognised unless it is named."""
    with ExitStack() as files:

        async def upload(data: bytes, kind: AudioKind | None = None) -> AudioFile:
            kind = kind or recognise(data[:HEAD_BYTES])
            assert kind is not None
            file = files.enter_context(AudioFile(kind))
            await file.write(data)
            await file.flush()
            return file

        yield upload
