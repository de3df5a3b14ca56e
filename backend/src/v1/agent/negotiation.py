"""What a request's headers select: the format of the answer, the idempotency key, the cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable

from core.agentscope.schemas.cursor import ConnectCursor, Cursor
from core.errors import CursorInvalid, InvalidRequest

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def wants_event_stream(accept: Iterable[str]) -> bool:
    """Say whether ``text/event-stream`` is named anywhere in the ``Accept`` headers.

    The order does not matter: the Dart SDK sends ``application/json, text/event-stream`` and reads only a stream.
    ``q=0`` means "not acceptable" (RFC 9110, section 12.4.2). Wildcards do not count, because every browser sends one.
    """
    return any(_names_event_stream(entry) for header in accept for entry in header.split(","))


def idempotency_key(header: str | None) -> str | None:
    """Read the ``Idempotency-Key`` header; the quotes of a structured field are removed.

    Raises:
        InvalidRequest: The key does not consist of 1 to 128 characters of an id.
    """
    if header is None:
        return None
    key = header.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _ID.fullmatch(key):
        message = "must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
        raise InvalidRequest(
            f"The Idempotency-Key {message}.",
            errors=[{"pointer": "/header/Idempotency-Key", "message": message}],
        )
    return key


def reader_cursor(last_event_id: str | None, query: str | None) -> Cursor | None:
    """Return the reader's cursor: the ``Last-Event-ID`` header overrides ``?cursor=``.

    An ``EventSource`` that reconnects sends the header, while its URL still has the cursor of the first connection. An
    empty header counts as absent.

    Raises:
        CursorInvalid: The selected value is not a cursor.
    """
    text = last_event_id or query
    if text is None:
        return None
    try:
        return Cursor.parse(text)
    except ValueError as exc:
        raise CursorInvalid("A cursor is '<run ordinal>-<sequence>', for example 3-17.") from exc


def connect_cursor(last_event_id: str | None, query: str | None) -> ConnectCursor | None:
    """Return the last event of a connect stream that the reader has seen, as :func:`reader_cursor` does.

    Raises:
        CursorInvalid: The selected value is no id of a connect stream.
    """
    text = last_event_id or query
    if text is None:
        return None
    try:
        return ConnectCursor.parse(text)
    except ValueError as exc:
        raise CursorInvalid(
            "An id of a connect stream is a cursor, or '<cursor>.<number>', for example 3-17 or 3-17.2."
        ) from exc


def repeat_cursor(last_event_id: str | None) -> Cursor | None:
    """Return the last event that a client which repeats its ``POST`` has seen.

    Anything that is no cursor of this server counts as absent: a ``POST`` is never refused for the header.
    """
    try:
        return None if last_event_id is None else Cursor.parse(last_event_id)
    except ValueError:
        return None


def _names_event_stream(entry: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
    refused = any(re.fullmatch(r"q\s*=\s*0(\.0{0,3})?", parameter) for parameter in parameters)
    return media_type == "text/event-stream" and not refused
