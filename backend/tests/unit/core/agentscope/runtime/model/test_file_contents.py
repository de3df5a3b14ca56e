"""Files in requests to a model: bytes in a copy, notes for what is gone, the state as it was."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence

import pytest
from agentscope.message import Base64Source, DataBlock, Msg, TextBlock, ToolResultBlock, UserMsg

from core.agentscope.runtime.model.chat_request import ChatFormatter
from core.agentscope.runtime.model.file_contents import file_block, with_files
from core.agentscope.schemas.attachments import PlainBase64, encoded

PNG, TEXT, GONE, LARGE = "1" * 64, "2" * 64, "3" * 64, "4" * 64
CONTENTS: dict[str, bytes | None] = {PNG: b"\x89PNG", TEXT: b"a,b", LARGE: None}


class Loader:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def __call__(self, file_ids: Sequence[str]) -> Mapping[str, bytes | None]:
        self.asked.append(list(file_ids))
        return {file_id: CONTENTS[file_id] for file_id in file_ids if file_id in CONTENTS}


def user(*blocks: TextBlock | DataBlock) -> Msg:
    return UserMsg(name="user", content=list(blocks))


async def test_bytes_stand_in_the_copy_alone() -> None:
    load = Loader()
    messages = [
        user(TextBlock(text="look"), file_block(PNG, "image/png", "a.png")),
        user(file_block(TEXT, "text/csv", "a.csv"), file_block(PNG, "image/png", "again.png")),
    ]
    before = [message.model_dump_json() for message in messages]

    filled = await with_files(messages, load)

    assert [message.model_dump_json() for message in messages] == before
    (image,) = filled[0].get_content_blocks("data")
    assert isinstance(image, DataBlock)
    assert image.source == Base64Source(data=base64.b64encode(b"\x89PNG").decode(), media_type="image/png")
    (text,) = filled[1].get_content_blocks("text")
    assert isinstance(text, TextBlock)
    assert text.text == "[a.csv, text/csv]\na,b"
    # Each once, the newest first: these have room first.
    assert load.asked == [[PNG, TEXT]]


async def test_bytes_are_encoded_once_off_the_event_loop_and_never_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []

    def noted(content: bytes) -> PlainBase64:
        threads.append(threading.get_ident())
        return encoded(content)

    monkeypatch.setattr("core.agentscope.runtime.model.file_contents.encoded", noted)
    monkeypatch.setattr("core.agentscope.schemas.attachments.decoded", lambda _: pytest.fail("decoded"))
    types = ("image/png", "image/png", "audio/wav", "application/pdf")
    blocks = [file_block(PNG, media_type, None) for media_type in types]

    (said,) = await ChatFormatter().format(await with_files([user(*blocks)], Loader()))

    assert str(said).count(base64.b64encode(b"\x89PNG").decode()) == len(types)
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_a_file_that_is_gone_or_too_large_is_a_note() -> None:
    message = user(file_block(GONE, "image/png", "gone.png"), file_block(LARGE, "application/pdf", None))

    (filled,) = await with_files([message], Loader())
    (unread,) = await with_files([message], None)

    notes = [block.text for block in filled.get_content_blocks() if isinstance(block, TextBlock)]
    assert notes == [
        "[A file (gone.png, image/png) was deleted and cannot be read any more.]",
        "[A file (without a name, application/pdf) is left out here: the files of this conversation are too large together.]",
    ]
    assert len(unread.get_content_blocks("text")) == 2


async def test_messages_without_files_are_left_alone() -> None:
    load = Loader()
    inline = DataBlock(source=Base64Source(data="AAAA", media_type="image/png"))
    messages = [user(TextBlock(text="hello")), user(inline)]

    assert await with_files(messages, load) is messages
    assert load.asked == []


async def test_files_in_results_of_tools_are_read_too() -> None:
    result = ToolResultBlock(id="c", name="look", output=[file_block(PNG, "image/png", None)])

    (filled,) = await with_files([Msg(name="assistant", role="assistant", content=[result])], Loader())

    (block,) = filled.get_content_blocks("tool_result")
    assert isinstance(block, ToolResultBlock)
    assert isinstance(block.output, list)
    assert isinstance(
        block.output[0].source if isinstance(block.output[0], DataBlock) else None, Base64Source
    )


async def test_a_text_whose_name_has_line_breaks_or_is_long_is_read() -> None:
    # In states of before: names are cleaned now when a message is stored and when it is read.
    blocks = [file_block(TEXT, "text/csv", name) for name in ("a\nb].csv", "a" * 2000)]

    (filled,) = await with_files([user(*blocks)], Loader())

    assert [item.text for item in filled.get_content_blocks() if isinstance(item, TextBlock)] == [
        "[a b].csv, text/csv]\na,b",
        f"[{'a' * 2000}, text/csv]\na,b",
    ]


async def test_a_text_is_text_in_the_state_for_any_formatter() -> None:
    block = file_block(TEXT, "application/ld+json", None)
    assert isinstance(block, TextBlock)
    gone = file_block(GONE, "text/plain", "gone.txt")
    typed = TextBlock(text=f"see agentroute://file/{TEXT}")

    (filled,) = await with_files([user(block, gone, typed)], Loader())

    assert [item.text for item in filled.get_content_blocks() if isinstance(item, TextBlock)] == [
        "[A document, application/ld+json]\na,b",
        "[A file (gone.txt, text/plain) was deleted and cannot be read any more.]",
        typed.text,
    ]
