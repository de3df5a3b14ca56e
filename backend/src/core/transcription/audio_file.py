"""An upload on disk: a file without a name that is deleted when it is closed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from typing import BinaryIO, Self

from core.transcription.audio_kind import AudioKind

# Sixteen thread switches a megabyte would cost more than the writing.
_WRITE_BYTES = 256 << 10


class AudioFile:
    """Bytes of a recognised kind, written once, then read from the start.

    A context manager. Memory holds a quarter of a megabyte of it at most; the disk
    is written off the event loop.
    """

    def __init__(self, kind: AudioKind) -> None:
        self.kind: AudioKind = kind
        self.size: int = 0
        self._pending = bytearray()
        self._digest = hashlib.sha256()
        # If the system supports it, the file never has a name; otherwise a random name that is removed at once.
        self._file: BinaryIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by this object

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()

    async def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self.size += len(chunk)
        self._pending += chunk
        if len(self._pending) >= _WRITE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Write all buffered bytes, so that a descriptor can read them."""
        pending, self._pending = self._pending, bytearray()
        writing = asyncio.ensure_future(asyncio.to_thread(self._put, pending))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # A thread cannot be stopped, and would write to the next file with the same descriptor number.
            await asyncio.wait([writing])
            raise

    @property
    def sha256(self) -> bytes:
        """Digest of the flushed bytes."""
        return self._digest.digest()

    @property
    def stream(self) -> BinaryIO:
        """The file, for one reader at a time."""
        return self._file

    def fileno(self) -> int:
        return self._file.fileno()

    def rewind(self) -> None:
        """Go back to the first byte; a child that got the descriptor moves the same position."""
        self._file.seek(0)

    def _put(self, data: bytearray) -> None:
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file.fileno(), view) :]
