"""Decodes each upload in a child process (``audio_probe``). See docs/adr/0011.

A fault of the decoder, or a malicious file that causes one, ends only the child.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta

import structlog

from core.errors import AgentBackendError, AudioEmpty, AudioTooLong, UnsupportedMediaType
from core.transcription.audio_file import AudioFile
from core.transcription.audio_verdict import SAMPLE_RATE, Verdict

_MODULE = "core.transcription.audio_probe"
# Three times the child's CPU limit: on a busy machine, ten seconds of CPU take longer.
_PATIENCE_SECONDS = 30.0
# A killed process ends at once. This limit is for a process that the system cannot end.
_END_SECONDS = 5.0
_MAX_COMPLAINT_BYTES = 4096
# Variables that a dynamically linked Python may need at its start. The other variables may contain secrets.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")

log = structlog.get_logger(__name__)


class AudioDecoder:
    """Decodes uploads in at most ``max_children`` concurrent child processes; further callers wait."""

    def __init__(self, *, max_seconds: float, max_children: int) -> None:
        self._max_seconds = max_seconds
        self._turn = asyncio.Semaphore(max_children)

    async def duration(self, audio: AudioFile) -> timedelta:
        """Return the duration of the audio.

        Raises:
            UnsupportedMediaType: The file cannot be decoded in the format of its first bytes.
            AudioEmpty: The file contains no audio.
            AudioTooLong: The audio is longer than ``max_seconds``.
        """
        return timedelta(milliseconds=int(await self._decode(audio, max_bytes=20)))

    async def samples(self, audio: AudioFile) -> bytes:
        """Return the audio as signed 16-bit mono samples at ``SAMPLE_RATE``, in the machine's byte order.

        Raises:
            UnsupportedMediaType, AudioEmpty, AudioTooLong: As :meth:`duration`.
        """
        max_bytes = int((self._max_seconds + 1) * SAMPLE_RATE * 2)
        return await self._decode(audio, "--samples", max_bytes=max_bytes)

    async def _decode(self, audio: AudioFile, *mode: str, max_bytes: int) -> bytes:
        arguments = ["-I", "-B", "-m", _MODULE, str(audio.kind), str(self._max_seconds), *mode]
        async with self._turn:
            audio.rewind()
            code, output, complaint = await _run(arguments, audio.fileno(), max_bytes)
        if code == Verdict.AUDIO:
            return output
        raise self._refusal(audio, code, complaint)

    def _refusal(self, audio: AudioFile, code: int | None, complaint: bytes) -> AgentBackendError:
        match code:
            case Verdict.EMPTY:
                return AudioEmpty("The file contains no audio.")
            case Verdict.TOO_LONG:
                limit = self._max_seconds
                return AudioTooLong(f"The audio is longer than {limit:g} seconds.", maxSeconds=limit)
            case Verdict.UNREADABLE:
                return UnsupportedMediaType(
                    f"The file begins like {audio.kind} but cannot be decoded as {audio.kind}."
                )
            case None:
                reason = "time"
            case code if code < 0:
                reason = f"signal {-code}"
            case _:
                # Python's own exit codes: the decoder is missing, or this program has a fault.
                log.error(
                    "audio_decoder_failed", exit_code=code, complaint=complaint.decode(errors="replace")
                )
                return AgentBackendError("The audio could not be examined.")
        log.warning("audio_decoder_stopped", kind=str(audio.kind), reason=reason)
        return UnsupportedMediaType("The file cannot be decoded within the limits of this service.")


async def _run(arguments: list[str], source: int, max_bytes: int) -> tuple[int | None, bytes, bytes]:
    """Run the child to its end; returns exit code (``None`` after the time limit), output, error output."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=source,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, complaint = await asyncio.gather(
                _read(child, child.stdout, max_bytes), _read(child, child.stderr, _MAX_COMPLAINT_BYTES)
            )
            return await child.wait(), output, complaint
    except TimeoutError:
        return None, b"", b""
    finally:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Make sure that no process and no pipe is left."""
    if child.returncode is not None:
        return
    child.kill()
    try:
        async with asyncio.timeout(_END_SECONDS):
            # asyncio also waits for the end of the pipes (python/cpython#119710), so the pipes must be read.
            await asyncio.gather(_read(child, child.stdout, 0), _read(child, child.stderr, 0))
            await child.wait()
    except TimeoutError:
        log.error("audio_decoder_not_ended", pid=child.pid)


async def _read(
    child: asyncio.subprocess.Process, stream: asyncio.StreamReader | None, max_bytes: int
) -> bytes:
    """Read to the end. A child with more output than allowed is killed."""
    found = bytearray()
    while stream is not None and (chunk := await stream.read(1 << 16)):
        if len(found) + len(chunk) <= max_bytes:
            found += chunk
        elif child.returncode is None:
            child.kill()
    return bytes(found)
