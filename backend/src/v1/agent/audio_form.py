"""Reads the form of ``POST /transcribe``: one audio file, which is written to disk as it arrives, and two texts.

The limits apply to the received bytes, not to the size that a header announces. An invalid form is refused at the first
wrong byte. Unknown fields are skipped, because OpenAI's own clients send some.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser
from starlette.requests import Request

from core.config import TranscriptionSettings
from core.errors import (
    AudioEmpty,
    BodyTooLarge,
    InvalidRequest,
    InvalidText,
    LimitExceeded,
    UnsupportedMediaType,
    UploadTimeout,
)
from core.transcription.audio_file import AudioFile
from core.transcription.audio_kind import HEAD_BYTES, AudioKind, recognise
from core.transcription.transcription import Speech
from v1.agent.form_parts import PartBegins, PartData, PartEnds, PartReader, boundary_of

# A prompt has some hundred words; all other fields of a form are shorter.
_MAX_FIELD_BYTES = 8 << 10
# For boundaries, part headers and fields: all of a form except the file.
_MAX_REST_BYTES = 128 << 10
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_ACCEPTED = "Supported formats: wav, mp3, flac, ogg, webm and m4a."


@asynccontextmanager
async def read_speech(
    request: Request, settings: TranscriptionSettings, received: Callable[[int], None] = lambda _bytes: None
) -> AsyncIterator[Speech]:
    """Read an upload. The file of the upload is deleted at the end of the context.

    Args:
        request: Brings the form.
        settings: Limits.
        received: Told how many bytes have arrived, each time.

    Raises:
        UnsupportedMediaType: The body is not a form, or the file is not audio in a supported format.
        BodyTooLarge: The file has more than ``max_audio_bytes``.
        AudioEmpty: The file is empty.
        UploadTimeout: The upload did not finish within ``upload_seconds``.
        InvalidRequest, InvalidText, LimitExceeded: The form is invalid.
    """
    form = _Form(settings.max_audio_bytes)
    with form:
        try:
            async with asyncio.timeout(settings.upload_seconds):
                await _feed(_counted(request.stream(), received), boundary_of(request), form, settings)
        except TimeoutError as exc:
            raise UploadTimeout(f"The upload took more than {settings.upload_seconds:g} seconds.") from exc
        yield await form.speech()


async def _counted(chunks: AsyncIterator[bytes], received: Callable[[int], None]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        received(len(chunk))
        yield chunk


async def _feed(
    chunks: AsyncIterator[bytes], boundary: bytes, form: _Form, settings: TranscriptionSettings
) -> None:
    max_audio_bytes = settings.max_audio_bytes
    reader = PartReader()
    parser = MultipartParser(boundary, reader.callbacks())
    left = max_audio_bytes + _MAX_REST_BYTES
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise _too_large(max_audio_bytes)
        try:
            parser.write(chunk)
        except MultipartParseError as exc:
            raise InvalidRequest("The body is not a valid multipart form.") from exc
        for event in reader.take():
            await form.apply(event)
    if not reader.ended:
        raise InvalidRequest("The form ends before its last boundary: the upload was cut off.")


class _Form:
    """What has been read so far."""

    def __init__(self, max_audio_bytes: int) -> None:
        self._max_audio_bytes = max_audio_bytes
        self._resources = ExitStack()
        self._fields: dict[str, bytearray] = {}
        self._part: PartBegins | None = None
        self._head = bytearray()
        self._size = 0
        self._audio: AudioFile | None = None
        self._has_file = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exc: object) -> None:
        self._resources.close()

    async def apply(self, event: PartBegins | PartData | PartEnds) -> None:
        match event:
            case PartBegins():
                self._begin(event)
            case PartData(data) if self._part and self._part.is_file:
                await self._add_sound(data)
            case PartData(data):
                self._add_text(data)
            case PartEnds():
                if self._part and self._part.is_file and self._audio is None:
                    await self._recognise()
                self._part = None

    async def speech(self) -> Speech:
        """Return the whole form, after the checks that need the whole form."""
        if self._audio is None:
            raise _at("file", "an audio file is required")
        await self._audio.flush()
        return Speech(self._audio, self._language(), self._text("prompt") or None)

    def _begin(self, part: PartBegins) -> None:
        if part.is_file:
            if part.name != "file" or self._has_file:
                raise _at(part.name[:64], "only one file is allowed, in the part named file")
            self._has_file = True
        elif part.name in self._fields:
            raise _at(part.name[:64], "must occur only once")
        self._part = part

    def _add_text(self, data: bytes) -> None:
        if self._part is None:
            return
        text = self._fields.setdefault(self._part.name, bytearray())
        text += data
        if len(text) > _MAX_FIELD_BYTES:
            message = f"at most {_MAX_FIELD_BYTES} bytes are allowed"
            errors = [{"pointer": f"/{self._part.name[:64]}", "message": message}]
            raise LimitExceeded("A field of the form is too long.", errors=errors)

    async def _add_sound(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_audio_bytes:
            raise _too_large(self._max_audio_bytes)
        if self._audio is not None:
            await self._audio.write(data)
            return
        self._head += data
        if len(self._head) >= HEAD_BYTES:
            await self._recognise()

    async def _recognise(self) -> None:
        if not self._head:
            raise AudioEmpty("The file is empty.")
        kind: AudioKind | None = recognise(bytes(self._head[:HEAD_BYTES]))
        if kind is None:
            raise UnsupportedMediaType(f"The file is not audio in a supported format. {_ACCEPTED}")
        self._audio = self._resources.enter_context(AudioFile(kind))
        await self._audio.write(bytes(self._head))

    def _language(self) -> str | None:
        language = self._text("language")
        if language and not _LANGUAGE.fullmatch(language):
            raise _at("language", "must be a language tag, such as en or pt-BR")
        return language or None

    def _text(self, name: str) -> str:
        try:
            text = self._fields.get(name, b"").decode()
        except UnicodeDecodeError as exc:
            raise _at(name, "is not UTF-8") from exc
        if "\x00" in text:
            entry = {"pointer": f"/{name}", "message": "holds U+0000"}
            raise InvalidText("Text may not contain U+0000.", errors=[entry])
        return text.strip()


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The file may have at most {max_bytes} bytes.", maxBytes=max_bytes)


def _at(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(
        f"The form is invalid: {message}.", errors=[{"pointer": f"/{name}", "message": message}]
    )
