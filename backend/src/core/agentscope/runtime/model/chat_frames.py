"""Cuts the body of a chat completion into JSON documents: a server-sent event stream, or one plain JSON answer.

Pure. Rules:

1. A line ends in LF or CRLF and may be cut anywhere, inside a character too. A byte order mark at the start is skipped.
2. ``data:`` lines up to an empty line are one document, joined by LF. Comments and other fields are skipped.
3. Lines after the last empty line count when the body ends: some servers leave the last one out.
4. A body whose first character is ``{`` or ``[`` is one JSON document: some endpoints send one although a stream was
   asked for.
5. A ``data:`` line after a complete JSON document begins the next one: some servers part documents by one LF only. From
   then on each line of the body is a document. The end marker is one wherever it comes.
6. A line in a stream that begins with ``{`` is a document: servers write errors into a stream without a frame.
7. A document of ``event: error`` is an ``ErrorFrame``, whatever its form.

Source: WHATWG HTML, server-sent events, "Interpreting an event stream". Rules 3 to 7 are ours.
"""

from __future__ import annotations

import orjson

DONE = b"[DONE]"
"""The end marker."""
_MARK = b"\xef\xbb\xbf"
_ENDS = (DONE, b'"[DONE]"')
# A thousand times the largest chunk seen in practice. A longer document means a broken or hostile peer.
MAX_DOCUMENT_BYTES = 16 << 20


class DocumentTooLarge(ValueError):
    """The peer sent more than ``MAX_DOCUMENT_BYTES`` without ending the document."""


class ErrorFrame(bytes):
    """A document that the framing calls an error."""


class FrameSplitter:
    """Collects bytes and hands out whole documents, whatever the sizes of the reads."""

    def __init__(self) -> None:
        self.is_json: bool | None = None
        """Whether the body is one JSON document; ``None`` until its first character came."""
        self._pieces: list[bytes] = []
        self._pending_bytes = 0
        self._data: list[bytes] = []
        self._event = b""
        """The event's name, as far as its lines came."""
        self._one_line = False
        """Whether each line is a document (rule 5)."""

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes and return the documents they complete, in order.

        Raises:
            DocumentTooLarge: The unfinished document outgrew the limit.
        """
        if self.is_json is None and not (data := self._sniff(data)):
            return []
        self._pending_bytes += len(data)
        if self._pending_bytes > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge
        if self.is_json is not False or b"\n" not in data:
            # Joined once the line is whole: joining on every read is quadratic.
            self._pieces.append(data)
            return []
        lines = b"".join([*self._pieces, data]).split(b"\n")
        rest = lines.pop()
        self._pieces = [rest]
        documents: list[bytes] = []
        for line in lines:
            self._line(line.removesuffix(b"\r"), documents)
        self._pending_bytes = len(rest) + sum(map(len, self._data))
        return documents

    def close(self) -> list[bytes]:
        """Return what the end of the body completes. Bytes of a document cut in two come out as they are."""
        rest = b"".join(self._pieces)
        self._pieces = []
        documents: list[bytes] = []
        if self.is_json:
            return [rest]
        self._line(rest.removesuffix(b"\r"), documents)
        self._line(b"", documents)
        return documents

    def _sniff(self, data: bytes) -> bytes:
        """Look at the first character; returns what there is to read, or nothing until it came."""
        data = b"".join([*self._pieces, data])
        text = data.removeprefix(_MARK).lstrip()
        if not text or _MARK.startswith(data):
            # White space so far, and its end is enough of it; or the beginning of a mark.
            self._pieces = [data if _MARK.startswith(data) else data[-1:]]
            return b""
        self._pieces = []
        self.is_json = text.startswith((b"{", b"["))
        return data.removeprefix(_MARK)

    def _line(self, line: bytes, documents: list[bytes]) -> None:
        if line.startswith(b"data:"):
            value = line[5:].strip()
            while value.startswith(b"data:"):
                # A proxy that framed the frames of another.
                value = value[5:].strip()
            self._value(value, documents)
        elif line.startswith(b"event:"):
            self._event = line[6:].strip()
        elif line.startswith(b"{"):
            self._release(documents)
            documents.append(line)
        elif not line:
            self._release(documents)
            self._event = b""

    def _value(self, value: bytes, documents: list[bytes]) -> None:
        if value in _ENDS:
            self._release(documents)
            documents.append(DONE)
            return
        if self._data and self._data[0].startswith(b"{") and _is_json(b"\n".join(self._data)):
            self._one_line = True
            self._release(documents)
        self._data.append(value)
        if self._one_line and value.endswith(b"}"):
            self._release(documents)

    def _release(self, documents: list[bytes]) -> None:
        if not self._data:
            return
        document = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        documents.append(ErrorFrame(document) if self._event == b"error" else document)


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
