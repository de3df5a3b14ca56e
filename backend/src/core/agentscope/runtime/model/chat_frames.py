"""Cuts the body of a chat completion into JSON documents: a server-sent event stream, or one plain JSON answer.

Pure. Rules:

1. A line ends in LF or CRLF and may be cut anywhere, inside a character too.
2. ``data:`` lines up to an empty line are one document, joined by LF. Comments and other fields are skipped.
3. Lines after the last empty line count when the body ends: some servers leave the last one out.
4. A body whose first character is ``{`` is one JSON document: some endpoints send one although a stream was asked for.

Source: WHATWG HTML, server-sent events, "Interpreting an event stream". Rules 3 and 4 are ours.
"""

from __future__ import annotations

# A thousand times the largest chunk seen in practice. A longer document means a broken or hostile peer.
MAX_DOCUMENT_BYTES = 16 << 20


class DocumentTooLarge(ValueError):
    """The peer sent more than ``MAX_DOCUMENT_BYTES`` without ending the document."""


class FrameSplitter:
    """Collects bytes and hands out whole documents, whatever the sizes of the reads."""

    def __init__(self) -> None:
        self.is_json: bool | None = None
        """Whether the body is one JSON document; ``None`` until its first character came."""
        self._pieces: list[bytes] = []
        self._pending_bytes = 0
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes and return the documents they complete, in order.

        Raises:
            DocumentTooLarge: The unfinished document outgrew the limit.
        """
        if self.is_json is None:
            self._sniff(data)
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

    def _sniff(self, data: bytes) -> None:
        text = data.lstrip()
        if text:
            self.is_json = text.startswith(b"{")

    def _line(self, line: bytes, documents: list[bytes]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
        elif not line and self._data:
            documents.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data = []
