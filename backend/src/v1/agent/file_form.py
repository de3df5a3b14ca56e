"""Reads the form of ``POST /files``: one file, whose bytes are passed on as they arrive.

The limits apply to the received bytes, not to the size that a header announces. A form that is not valid is refused at the
first wrong byte, and unknown fields are skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser
from starlette.requests import Request

from core.config import FileSettings
from core.errors import BodyTooLarge, InvalidRequest, UploadTimeout
from v1.agent.form_parts import PartBegins, PartData, PartEnds, PartReader, boundary_of

_MAX_REST_BYTES = 128 << 10
"""For boundaries, part headers and fields: all of a form except the file."""

_MAX_HEADER_BYTES = 16 << 10
"""Of a part: a file name of 10 kB is cut, not refused."""


class FileForm:
    """The form of one request. ``chunks`` is iterated once; then ``described`` says what the client calls the file.

    Raises:
        UnsupportedMediaType: The body is not a form.
        BodyTooLarge: The declared size is beyond the limit.
        InvalidRequest: The form cannot be read.
    """

    def __init__(
        self, request: Request, settings: FileSettings, received: Callable[[int], None] = lambda _bytes: None
    ) -> None:
        """Look at the head of the request.

        Args:
            request: Brings the form.
            settings: Limits.
            received: Told how many bytes have arrived, each time.
        """
        self._request = request
        self._settings = settings
        self._on_bytes = received
        self._reader = PartReader()
        self._parser = MultipartParser(
            boundary_of(request), self._reader.callbacks(), max_header_size=_MAX_HEADER_BYTES
        )
        self._file: PartBegins | None = None
        self._in_file = False
        self._most = settings.max_file_bytes + _MAX_REST_BYTES
        self.declared: int = _declared(request)
        """``Content-Length``; 0 if there is none."""
        if self.declared > self._most:
            raise _too_large(settings)

    @property
    def least_bytes(self) -> int:
        """The least size of the file, by what the request declares."""
        return max(self.declared - _MAX_REST_BYTES, 0)

    def described(self) -> tuple[str, str]:
        """Return name and media type of the file as the client sent them."""
        return (self._file.file_name, self._file.media_type) if self._file else ("", "")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file.

        Raises:
            BodyTooLarge: The body has more bytes than a file may have.
            UploadTimeout: The upload did not finish within ``upload_seconds``.
            InvalidRequest: The form is not valid, was cut off, or has not exactly one file.
            starlette.requests.ClientDisconnect: The client is gone.
        """
        left = self._most
        async for received in self._received():
            self._on_bytes(len(received))
            left -= len(received)
            if left < 0:
                raise _too_large(self._settings)
            try:
                self._parser.write(received)
            except MultipartParseError as exc:
                raise InvalidRequest("The body is not a valid multipart form.") from exc
            for event in self._reader.take():
                if (data := self._apply(event)) is not None:
                    yield data
        if not self._reader.ended:
            raise InvalidRequest("The form ends before its last boundary: the upload was cut off.")
        if self._file is None:
            raise _at("file", "a file is required, in the part named file")

    async def _received(self) -> AsyncIterator[bytes]:
        seconds = self._settings.upload_seconds
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        stream = self._request.stream()
        while True:
            try:
                async with asyncio.timeout(max(deadline - clock(), 0)):
                    received = await anext(stream, None)
            except TimeoutError as exc:
                raise UploadTimeout(f"The upload took more than {seconds:g} seconds.") from exc
            if received is None:
                return
            yield received

    def _apply(self, event: PartBegins | PartData | PartEnds) -> bytes | None:
        match event:
            case PartBegins() if event.is_file:
                if event.name != "file" or self._file is not None:
                    raise _at(event.name[:64], "only one file is allowed, in the part named file")
                self._file, self._in_file = event, True
            case PartData(data) if self._in_file:
                return data
            case PartEnds():
                self._in_file = False
            case _:
                pass
        return None


def _declared(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    # More digits are beyond any limit.
    return int(declared[:15]) if declared.isascii() and declared.isdigit() else 0


def _too_large(settings: FileSettings) -> BodyTooLarge:
    most = settings.max_file_bytes
    return BodyTooLarge(f"The file may have at most {most} bytes.", maxBytes=most)


def _at(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(
        f"The form is invalid: {message}.", errors=[{"pointer": f"/{name}", "message": message}]
    )
