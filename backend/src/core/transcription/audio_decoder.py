"""Decodes each upload in a child process (``audio_probe``). See docs/adr/0011.

A fault of the decoder, or a malicious file that causes one, ends only the child.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
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
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=source,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )
    child = _Child(process)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, complaint = await asyncio.gather(
                child.answer(max_bytes), _start_of(process.stderr, _MAX_COMPLAINT_BYTES)
            )
            code = await process.wait()
            return (-signal.SIGKILL if output is None else code), output or b"", complaint
    except TimeoutError:
        return None, b"", b""
    finally:
        await child.end()


class _Child:
    """A child process that is killed at most once, and whose exit code says nothing after that.

    ``Process.kill`` looks first whether the process has ended, and can so take its exit code away from asyncio's child
    watcher. asyncio then reports 255 (Python 3.11 to 3.13: ``_do_waitpid`` and ``_do_wait`` in ``unix_events.py``).
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._is_killed = False

    async def answer(self, max_bytes: int) -> bytes | None:
        """Return the output; ``None`` for a child with more output than allowed, which is killed."""
        output = await _start_of(self._process.stdout, max_bytes, self._kill)
        return None if len(output) > max_bytes else output

    async def end(self) -> None:
        """Make sure that no process and no pipe is left."""
        if self._process.returncode is not None:
            return
        self._kill()
        try:
            async with asyncio.timeout(_END_SECONDS):
                # asyncio also waits for the end of the pipes (python/cpython#119710), so the pipes must be read.
                await asyncio.gather(_start_of(self._process.stdout, 0), _start_of(self._process.stderr, 0))
                await self._process.wait()
        except TimeoutError:
            log.error("audio_decoder_not_ended", pid=self._process.pid)

    def _kill(self) -> None:
        if not self._is_killed and self._process.returncode is None:
            self._is_killed = True
            self._process.kill()


async def _start_of(
    stream: asyncio.StreamReader | None, max_bytes: int, on_excess: Callable[[], None] | None = None
) -> bytes:
    """Read to the end; returns at most one byte more than ``max_bytes``, the sign that there was more."""
    found = bytearray()
    while stream is not None and (chunk := await stream.read(1 << 16)):
        found += chunk[: max_bytes + 1 - len(found)]
        if len(found) > max_bytes and on_excess is not None:
            on_excess()
    return bytes(found)
