"""Puts the bytes of files into the messages of one request to a model.

The agent's state has only the ids of files (``file_block``), so no checkpoint and no event has their bytes. What a model
gets is a copy that lives as long as the request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from agentscope.message import Base64Source, DataBlock, Msg, TextBlock, ToolResultBlock, URLSource
from pydantic import AnyUrl

from core.agentscope.schemas.attachments import PlainBase64, carried, document_text, encoded

LoadFiles = Callable[[Sequence[str]], Awaitable[Mapping[str, bytes | None]]]
"""Returns the bytes of files by id, the first ones if they are too much together (``core.files.contents``)."""

_PREFIX = "agentroute://file/"
# Whoever writes such a text gets the file only if it is their own.
# States of before have names with line breaks.
_TEXT = re.compile(rf"\[(.*)\]\n{re.escape(_PREFIX)}([0-9a-f]{{64}})", re.DOTALL)
_REFERENCE_CHARACTERS = len(_PREFIX) + 64


def file_block(file_id: str, media_type: str, name: str | None) -> DataBlock | TextBlock:
    """Return the block that stands for a file in the agent's state.

    A text is text in the state, too: AgentScope's agents take only media out of a message that a model's formatter names.
    """
    form = carried(media_type)
    if form is not None and form.form == "text":
        return TextBlock(text=f"[{name or 'A document'}, {form.media_type}]\n{_PREFIX}{file_id}")
    source = URLSource(url=AnyUrl(f"{_PREFIX}{file_id}"), media_type=media_type)
    return DataBlock(source=source, name=name)


async def with_files(messages: list[Msg], load: LoadFiles | None) -> list[Msg]:
    """Return the messages with the bytes of their files; the same messages if they have none.

    In place of a file that was deleted, or that has no room, stands a note. The newest files have room first.

    Args:
        messages: Of the agent; not changed.
        load: Reads the files. Without it, no file can be read here.

    Raises:
        FilesUnavailable: The file store does not answer.
    """
    ids = [file_id for message in reversed(messages) for file_id in _ids(message)]
    if not ids:
        return messages
    contents = {} if load is None else await load(list(dict.fromkeys(ids)))
    media = {found for message in messages for found in _media_ids(message) if contents.get(found)}
    # Megabytes, perhaps: the event loop serves other runs meanwhile.
    inline = await asyncio.to_thread(_all_encoded, contents, media) if media else {}
    return [_filled(message, contents, inline) if any(_ids(message)) else message for message in messages]


def _all_encoded(contents: Mapping[str, bytes | None], ids: Iterable[str]) -> dict[str, PlainBase64]:
    return {file_id: encoded(content) for file_id in ids if (content := contents[file_id])}


def _media_ids(message: Msg) -> Iterator[str]:
    """Yield the ids of the files that are no texts."""
    for block in message.get_content_blocks():
        items = block.output if isinstance(block, ToolResultBlock) else [block]
        if isinstance(items, list):
            yield from (found for item in items if isinstance(item, DataBlock) and (found := _id(item)))


def _ids(message: Msg) -> Iterator[str]:
    """Yield the ids of a message's files, the last one first."""
    for block in reversed(message.get_content_blocks()):
        if isinstance(block, ToolResultBlock) and isinstance(block.output, list):
            yield from (found for item in reversed(block.output) if (found := _id(item)))
        elif found := _id(block):
            yield found


def _id(block: object) -> str | None:
    if isinstance(block, TextBlock):
        found = _named_text(block.text)
        return None if found is None else found[2]
    if not isinstance(block, DataBlock) or not isinstance(block.source, URLSource):
        return None
    url = str(block.source.url)
    return url.removeprefix(_PREFIX) if url.startswith(_PREFIX) else None


def _named_text(text: str) -> re.Match[str] | None:
    # Nearly all texts are something else, and some are long.
    is_likely = text.startswith("[") and text.startswith(_PREFIX, max(0, len(text) - _REFERENCE_CHARACTERS))
    return _TEXT.fullmatch(text) if is_likely else None


def _filled(message: Msg, contents: Mapping[str, bytes | None], inline: Mapping[str, PlainBase64]) -> Msg:
    content: list[Any] = []
    for block in message.get_content_blocks():
        if isinstance(block, ToolResultBlock) and isinstance(block.output, list):
            output = [_replaced(item, contents, inline) for item in block.output]
            content.append(block.model_copy(update={"output": output}))
        else:
            content.append(_replaced(block, contents, inline))
    return message.model_copy(update={"content": content})


def _replaced(block: Any, contents: Mapping[str, bytes | None], inline: Mapping[str, PlainBase64]) -> Any:
    file_id = _id(block)
    if file_id is None:
        return block
    if isinstance(block, TextBlock):
        head = " ".join(block.text.rpartition("\n")[0][1:-1].split())
        content = contents.get(file_id)
        return TextBlock(
            text=_note(head, file_id in contents)
            if content is None
            else f"[{head}]\n{document_text(content)}"
        )
    media_type = block.source.media_type
    if file_id not in inline:
        return TextBlock(text=_note(f"{block.name or 'without a name'}, {media_type}", file_id in contents))
    # Without validation, which would make a plain text of it.
    source = Base64Source.model_construct(type="base64", data=inline[file_id], media_type=media_type)
    return block.model_copy(update={"source": source})


def _note(shown: str, is_there: bool) -> str:
    if is_there:
        return f"[A file ({shown}) is left out here: the files of this conversation are too large together.]"
    return f"[A file ({shown}) was deleted and cannot be read any more.]"
