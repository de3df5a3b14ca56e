"""A multipart form as a sequence of events, independent of how the body is split into chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from core.errors import InvalidRequest, UnsupportedMediaType
from core.request_body import refuse_encoded_body

_MAX_PARTS = 16


def boundary_of(request: Request) -> bytes:
    """Return the boundary of a form.

    Raises:
        UnsupportedMediaType: The body is not a form, or is compressed.
        InvalidRequest: The header names no usable boundary.
    """
    refuse_encoded_body(request)
    media_type, parameters = parse_options_header(request.headers.get("content-type", ""))
    if media_type != b"multipart/form-data":
        raise UnsupportedMediaType("Send multipart/form-data with a part named file.")
    boundary = parameters.get(b"boundary", b"")
    # RFC 2046, section 5.1.1.
    if not 1 <= len(boundary) <= 70:
        raise InvalidRequest("The Content-Type has no boundary of 1 to 70 characters.")
    return boundary


@dataclass(frozen=True, slots=True)
class PartBegins:
    """The headers of a part are over."""

    name: str
    is_file: bool
    """True if the part has a file name, or is the part that is always a file."""
    file_name: str = ""
    """As the client sent it."""
    media_type: str = ""
    """As the client sent it."""


@dataclass(frozen=True, slots=True)
class PartData:
    """Some of a part's content."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The content of a part is over."""


class PartReader:
    """Collects the events of the parser's callbacks. A callback cannot await, so the reader takes the events later."""

    def __init__(self) -> None:
        self.ended: bool = False
        """True after the last boundary."""
        self._events: list[PartBegins | PartData | PartEnds] = []
        self._headers: dict[bytes, bytes] = {}
        self._field = b""
        self._value = b""
        self._parts = 0

    def take(self) -> list[PartBegins | PartData | PartEnds]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def callbacks(self) -> Any:
        """Return the parser's callbacks, with the names that the parser defines."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        self._headers = {}
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise InvalidRequest(f"The form has more than {_MAX_PARTS} parts.")

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if disposition != b"form-data" or b"name" not in options:
            raise InvalidRequest("A part of the form has no name.")
        name = options[b"name"].decode("utf-8", "replace")
        self._events.append(
            PartBegins(
                name,
                is_file=b"filename" in options or name == "file",
                file_name=options.get(b"filename", b"").decode("utf-8", "replace"),
                media_type=self._headers.get(b"content-type", b"").decode("latin-1"),
            )
        )

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _end(self) -> None:
        self._events.append(PartEnds())

    def _on_end(self) -> None:
        self.ended = True
