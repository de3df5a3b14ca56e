"""Reads the JSON bodies of requests so that no body stops the others: in time, within bounds, off the event loop.

Rules:

1. A body that arrives too slowly is refused, and the connection is closed.
2. A body of more than ``BIG_BYTES`` needs room (``core.body_admission``) before it is read, and holds its room until the
   request is done with it.
3. Such a body is parsed and validated in a thread (``core.fair_thread``), one body at a time. So is a smaller body
   whose validation may take long.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from email.message import Message
from typing import Any, TypeVar

from starlette.requests import Request

from core.body_admission import BodyAdmission
from core.config import LimitSettings
from core.errors import BodyTooLarge, EncodedBody, UnsupportedMediaType, UploadTimeout
from core.fair_thread import FairThread
from core.json_body import parse_json
from core.media_types import essence

BIG_BYTES = 32 << 10
"""A body of this size is parsed in a few milliseconds, and usually validated in a few more."""
_WAIT_SECONDS = 5.0

T = TypeVar("T")


class JsonBodies:
    """The reader of a process."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        # A user's room is never smaller than one body, or that body could never be read.
        self._admission = BodyAdmission(
            user_bytes=max(limits.max_user_body_bytes, limits.max_body_bytes),
            total_bytes=limits.max_all_body_bytes,
            wait_seconds=_WAIT_SECONDS,
        )
        self._thread = FairThread("bodies")

    @property
    def held_bytes(self) -> int:
        """The room that big bodies hold."""
        return self._admission.held_bytes

    @asynccontextmanager
    async def read(
        self,
        request: Request,
        user: Hashable,
        accept: Callable[[Any], T],
        *,
        takes_long: Callable[[Any], bool] = lambda _: False,
    ) -> AsyncIterator[T]:
        """Read the body of a request. The context ends when the request is done with it.

        Args:
            request: Its body has not been read.
            user: Who shares a limit and a turn.
            accept: Makes the result of the parsed JSON, usually by validation. Called in a thread for a big body, so
                it may use nothing that belongs to the event loop.
            takes_long: Says of the parsed JSON of a smaller body whether ``accept`` is called in the thread, too.

        Raises:
            UnsupportedMediaType: The body is not declared as ``application/json`` in UTF-8, or is compressed.
            BodyTooLarge: The body has more than ``limits.max_body_bytes``, counted while it arrives. ``Content-Length``
                is not trusted, and may be absent.
            UploadTimeout: The body did not arrive within ``limits.body_seconds``.
            RateLimited, Overloaded: As :meth:`BodyAdmission.room`.
            MalformedJson, LimitExceeded, InvalidText: As :func:`parse_json`.
        """
        refuse_encoded_body(request)
        _check_media_type(request.headers.get("content-type", ""))
        async with AsyncExitStack() as room:
            yield await self._accept(await self._receive(request, user, room), user, accept, takes_long)

    async def _accept(
        self, body: bytes, user: Hashable, accept: Callable[[Any], T], takes_long: Callable[[Any], bool]
    ) -> T:
        def parsed() -> Any:
            return parse_json(body, max_depth=self._limits.max_json_depth)

        if len(body) > BIG_BYTES:
            return await self._thread.run(user, lambda: accept(parsed()))
        value = parsed()
        return await self._thread.run(user, lambda: accept(value)) if takes_long(value) else accept(value)

    def close(self) -> None:
        """Stop the thread."""
        self._thread.close()

    async def _receive(self, request: Request, user: Hashable, room: AsyncExitStack) -> bytes:
        most = self._limits.max_body_bytes
        too_large = BodyTooLarge(f"The body may have at most {most} bytes.", maxBytes=most)
        declared = _declared_length(request)
        if declared is not None and declared > most:
            raise too_large
        is_big = declared is not None and declared > BIG_BYTES
        size = declared if declared is not None and is_big else most
        seconds = self._limits.body_seconds
        body = bytearray()
        has_room = False
        try:
            async with asyncio.timeout(seconds) as deadline:
                if is_big:
                    await self._enter(user, size, room, deadline)
                    has_room = True
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise too_large
                    if len(body) > BIG_BYTES and not has_room:
                        await self._enter(user, size, room, deadline)
                        has_room = True
        except TimeoutError as exc:
            raise UploadTimeout(f"The body did not arrive within {seconds:g} seconds.") from exc
        return bytes(body)

    async def _enter(
        self, user: Hashable, size: int, room: AsyncExitStack, deadline: asyncio.Timeout
    ) -> None:
        """Wait for room. The client is not blamed for this time."""
        clock = asyncio.get_running_loop().time
        ends, started = deadline.when() or clock(), clock()
        deadline.reschedule(None)
        await room.enter_async_context(self._admission.room(user, size))
        deadline.reschedule(ends + clock() - started)


def refuse_encoded_body(request: Request) -> None:
    """Refuse a compressed body before it is read: it would be told as malformed.

    Raises:
        EncodedBody: ``Content-Encoding`` names anything but ``identity``.
    """
    encodings = [part.strip().lower() for part in request.headers.get("content-encoding", "").split(",")]
    if any(encoding not in {"", "identity"} for encoding in encodings):
        raise EncodedBody("Send the body without a Content-Encoding: compressed bodies are not accepted.")


def _check_media_type(content_type: str) -> None:
    header = Message()
    header["content-type"] = content_type
    declared = essence(content_type)
    charset = str(header.get_param("charset", "utf-8")).lower()
    if declared != "application/json" or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType("Send the body as JSON in UTF-8, with Content-Type: application/json.")


def _declared_length(request: Request) -> int | None:
    """Return the declared length; ``None`` if it is absent or not a number."""
    declared = request.headers.get("content-length", "")
    if not declared.isascii() or not declared.isdigit():
        return None
    # More digits are beyond any limit, and int() refuses some thousands of them.
    return int(declared) if len(declared) <= 15 else sys.maxsize
