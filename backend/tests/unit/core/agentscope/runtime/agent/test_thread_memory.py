"""Messages of a thread as AgentScope's: no part of any version is an error, and none is left out."""

from __future__ import annotations

from typing import Any

import pytest
from agentscope.message import Base64Source, DataBlock, Msg, TextBlock, URLSource, UserMsg
from pydantic import AnyUrl
from tests.support.attachment_cases import CARRIED, UNCARRIED, every_part, part

from core.agentscope.runtime.agent.thread_memory import content_blocks, user_msg
from core.agentscope.runtime.model.chat_request import ChatFormatter
from core.agentscope.schemas.messages import UserMessage


def message(*parts: dict[str, Any]) -> UserMessage:
    return UserMessage.model_validate({"id": "m-1", "role": "user", "content": [*parts]})


async def sent(msg: Msg) -> list[dict[str, Any]]:
    (formatted,) = await ChatFormatter().format([msg])
    content = formatted["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


async def test_every_part_of_a_thread_reaches_the_model_in_some_form() -> None:
    parts = [*every_part()]

    content = await sent(user_msg(message(*parts)))

    assert len(content) == len(parts)
    assert {item["type"] for item in content} == {"text", "image_url", "input_audio", "file"}


@pytest.mark.parametrize("media_type", [*CARRIED, *UNCARRIED], ids=lambda text: text[:30])
async def test_a_block_of_an_older_checkpoint_never_fails(media_type: str) -> None:
    for data in ("AAAA", "", "no base64!"):
        block = DataBlock(source=Base64Source(data=data, media_type=media_type))
        assert len(await sent(UserMsg(name="user", content=[block]))) == 1
    by_url = DataBlock(source=URLSource(url=AnyUrl("https://x.example/a"), media_type=media_type))
    assert len(await sent(UserMsg(name="user", content=[by_url]))) == 1


async def test_forms_of_a_chat_completion() -> None:
    parts = [
        part("image", "image/JPG;x=y", "AAAA"),
        part("audio", "audio/x-wav", "AA\nAA"),
        part("document", "application/pdf", "AAAA") | {"metadata": {"filename": "bill.pdf"}},
        part("document", "text/csv", "YSxi") | {"metadata": {"filename": "list.csv"}},
        part("audio", "audio/webm;codecs=opus", "AAAA"),
    ]

    assert await sent(user_msg(message(*parts))) == [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"filename": "bill.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "text", "text": "[list.csv, text/csv]\na,b"},
        {"type": "text", "text": "[an attachment of type audio/webm that cannot be shown here]"},
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb.csv", "a b.csv"),
        ("../x/a.csv", "a.csv"),
        ("", "A document"),
        ("x" * 200 + ".csv", "x" * 124 + ".csv"),
    ],
    ids=["line break", "path", "empty", "long"],
)
def test_the_name_of_a_text_is_one_line_that_can_be_shown(name: str, shown: str) -> None:
    named = {"metadata": {"filename": name}}
    inline = part("document", "text/csv", "YSxi") | named
    source = {"type": "file", "value": "1" * 64, "provider": "agentroute", "mimeType": "text/csv"}
    content = message(inline, {"type": "document", "source": source} | named).content

    heads = [block.text.split("\n")[0] for block in content_blocks(content) if isinstance(block, TextBlock)]  # pyright: ignore[reportArgumentType]

    assert heads == [f"[{shown}, text/csv]"] * 2


def test_text_is_text() -> None:
    (block,) = content_blocks(message({"type": "text", "text": "hi"}).content)  # pyright: ignore[reportArgumentType]

    assert isinstance(block, TextBlock)
