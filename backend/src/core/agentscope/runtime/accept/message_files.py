"""Files of a request's new messages: named ones are looked up, large inline data becomes files.

Two steps, so that no transaction waits for the store. The first transaction finds inline data that no file has yet, and
ends (:class:`InlineData`). The data is stored, and a second transaction finds the files and names them. Whatever becomes of
the request, :meth:`InlineFiles.take_back` removes what no message names.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from core.agentscope.runtime.accept.new_attachments import refuse_type
from core.agentscope.runtime.accept.new_messages import NewMessages
from core.agentscope.runtime.accept.run_request import RunRequest
from core.agentscope.schemas.attachments import MAX_TEXT_BYTES, carried, decoded
from core.agentscope.schemas.files import PROVIDER
from core.agentscope.schemas.links import file_url
from core.agentscope.schemas.messages import (
    AssistantMessage,
    ContentPart,
    DataSource,
    FileSource,
    MediaPart,
    ToolMessage,
    UserMessage,
)
from core.errors import FileUnknown, LimitExceeded
from core.files.catalogue import StoredFile, name_files
from core.files.file_name import clean_name
from core.files.library import FileLibrary
from core.identity import Principal
from core.media_types import essence

_Message = TypeVar(
    "_Message", UserMessage, ToolMessage, UserMessage | AssistantMessage, UserMessage | ToolMessage
)


@dataclass(frozen=True, slots=True)
class Inline:
    """Data of a message that becomes a file."""

    content: bytes
    name: str
    media_type: str


class InlineData(Exception):
    """A request brings data that is to be stored before it can be accepted. Internal to the acceptance."""

    def __init__(self, found: Mapping[str, Inline]) -> None:
        super().__init__()
        self.found: Mapping[str, Inline] = found
        """By the id that the file will have."""


def has_files(message: UserMessage, inline_bytes: int | None) -> bool:
    """Say whether a message names files, or brings data that becomes one; ``None``: nothing does."""
    if isinstance(message.content, str):
        return False
    return any(
        isinstance(part, MediaPart) and (isinstance(part.source, FileSource) or _is_large(part, inline_bytes))
        for part in message.content
    )


def inline_data_bytes(messages: NewMessages) -> int:
    """Return how many bytes of inline data new messages bring."""
    new = (*messages.imported, *messages.fresh)
    return sum(_data_bytes(part) for message in new for part in _media(message))


async def with_named_files(
    connection: AsyncConnection,
    request: RunRequest,
    session_id: int,
    messages: NewMessages,
    *,
    inline_bytes: int | None,
) -> NewMessages:
    """Return the new messages with their files by reference, and note that the thread names them.

    Args:
        connection: A transaction that holds the thread's lock.
        request: For the owner, and the places of messages in errors.
        session_id: The thread.
        messages: What counts of the request.
        inline_bytes: Inline data above this size becomes a file; ``None``: none does.

    Raises:
        InlineData: Some data is to be stored first.
        FileUnknown: A message to be answered names a file that the user does not have.
        AttachmentUnsupported, LimitExceeded: It names a file that no model can be given.
    """
    new = [*messages.imported, *messages.fresh]
    inline: dict[str, Inline] = {}
    named: set[str] = set()
    by_part: dict[int, str] = {}
    for part in (part for message in new for part in _media(message)):
        if isinstance(part.source, FileSource):
            by_part[id(part)] = part.source.value
            named.add(part.source.value)
        elif (found := _inline(part, inline_bytes)) is not None:
            file_id = hashlib.sha256(found.content).hexdigest()
            by_part[id(part)] = file_id
            inline.setdefault(file_id, found)
    if not by_part:
        return messages
    files = await name_files(
        connection,
        request.principal,
        session_id,
        named | inline.keys(),
        default_agent=request.agents.default_id,
    )
    if missing := {file_id: found for file_id, found in inline.items() if file_id not in files}:
        raise InlineData(missing)
    places = {message.id: place for place, message in enumerate(request.command.messages)}
    for message in messages.fresh:
        if isinstance(message, UserMessage):
            # A message that comes again under another id (``_said_again``) is the last one.
            _check(message, files, by_part, places.get(message.id, len(places) - 1))
    return replace(
        messages,
        imported=tuple(_referring(message, files, by_part) for message in messages.imported),
        fresh=tuple(_referring(message, files, by_part) for message in messages.fresh),
    )


class InlineFiles:
    """The inline data of one request that became files.

    Args:
        library: Of the process.
        principal: Whose request.
    """

    def __init__(self, library: FileLibrary, principal: Principal) -> None:
        self._library = library
        self._principal = principal
        self._made: list[StoredFile] = []

    async def store(self, found: Mapping[str, Inline]) -> None:
        """Store data. No database connection is held meanwhile.

        Raises:
            FileQuotaExceeded, BodyTooLarge, FilesUnavailable: As ``FileLibrary.save``.
        """
        for inline in found.values():
            described = (inline.name, inline.media_type)
            file, is_new = await self._library.save(
                self._principal, _once(inline.content), lambda told=described: told
            )
            if is_new:
                self._made.append(file)

    async def take_back(self) -> None:
        """Remove the files that no message has named since, best effort."""
        if self._made:
            await asyncio.shield(asyncio.ensure_future(self._library.take_back(self._principal, self._made)))


def _media(message: object) -> Iterator[MediaPart]:
    if isinstance(message, UserMessage | ToolMessage) and not isinstance(message.content, str):
        yield from (part for part in message.content if isinstance(part, MediaPart))


def _is_large(part: MediaPart, inline_bytes: int | None) -> bool:
    return inline_bytes is not None and _data_bytes(part) > inline_bytes


def _data_bytes(part: MediaPart) -> int:
    if not isinstance(part.source, DataSource):
        return 0
    data = part.source.value
    # Base64 has four characters for three bytes.
    return len(data) * 3 // 4 - data[-2:].count("=")


def _inline(part: MediaPart, inline_bytes: int | None) -> Inline | None:
    if not _is_large(part, inline_bytes) or not isinstance(part.source, DataSource):
        return None
    content = decoded(part.source.value)
    if not content:
        return None
    return Inline(content, _file_name(part) or "", part.source.mime_type)


def _file_name(part: MediaPart) -> str | None:
    name = part.metadata.get("filename") if isinstance(part.metadata, dict) else None
    return name if isinstance(name, str) else None


def _check(
    message: UserMessage, files: Mapping[str, StoredFile], by_part: Mapping[int, str], place: int
) -> None:
    for number, part in enumerate(message.content):
        if not isinstance(part, MediaPart) or not isinstance(part.source, FileSource):
            continue
        pointer = f"/messages/{place}/content/{number}/source/value"
        file = files.get(by_part[id(part)])
        if file is None:
            raise FileUnknown(
                "A message names a file that you do not have. Upload it, and send the id that the answer has.",
                errors=[{"pointer": pointer, "message": "not a file of yours, or deleted"}],
            )
        form = carried(file.media_type)
        if form is None:
            raise refuse_type(file.media_type, pointer)
        if form.form == "text" and file.bytes > MAX_TEXT_BYTES:
            told = f"{file.bytes} bytes of text; at most {MAX_TEXT_BYTES} are allowed"
            raise LimitExceeded(f"A file has {told}.", errors=[{"pointer": pointer, "message": told}])


def _referring(message: _Message, files: Mapping[str, StoredFile], by_part: Mapping[int, str]) -> _Message:
    if not any(files.get(by_part.get(id(part), "")) for part in _media(message)):
        return message
    parts: Sequence[ContentPart] = message.content  # pyright: ignore[reportAssignmentType]  it has media, so it is a list
    content = [
        _reference(part, file)
        if isinstance(part, MediaPart) and (file := files.get(by_part.get(id(part), "")))
        else part
        for part in parts
    ]
    return message.model_copy(update={"content": content})


def _reference(part: MediaPart, file: StoredFile) -> MediaPart:
    """Return the part with its file by reference, as history shows it."""
    # What the client said of inline data counts where the bytes do not say more: it was checked with them.
    said = essence(part.source.mime_type or "")
    media_type = said if isinstance(part.source, DataSource) and carried(said) else file.media_type
    metadata = part.metadata
    if metadata is None or isinstance(metadata, dict):
        # Inline data without a name stays without one: that of the file was made up, or is another message's.
        name = _file_name(part) or (file.name if isinstance(part.source, FileSource) else None)
        shown = {"filename": clean_name(name)} if name else {}
        metadata = {**(metadata or {}), **shown, "url": file_url(file.file_id)}
    source = FileSource(type="file", value=file.file_id, provider=PROVIDER, mime_type=media_type)
    return part.model_copy(update={"source": source, "metadata": metadata})


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
