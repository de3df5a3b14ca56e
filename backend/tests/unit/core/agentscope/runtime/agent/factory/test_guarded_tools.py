"""The guard around a user's tool: what becomes of results that are too large, and of generators that never wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from agentscope.message import Base64Source, DataBlock, TextBlock, URLSource
from agentscope.tool import ToolChunk
from pydantic import AnyUrl

from core.agentscope.runtime.agent.factory.guarded_tools import ToolGuard
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import ToolProgress


def image(size: int) -> DataBlock:
    return DataBlock(source=Base64Source(data="A" * size, media_type="image/png"))


async def shown(*content: Any) -> list[str]:
    """Return the blocks of a call that yields each block in a chunk of its own: texts, or base64."""

    async def tool() -> AsyncGenerator[ToolChunk, None]:
        for block in content:
            yield ToolChunk(content=[block])

    async with aclosing(ToolGuard(1000).stream("tool", tool)) as chunks:
        blocks = [block async for chunk in chunks for block in chunk.content]
    return [
        block.text
        if isinstance(block, TextBlock)
        else block.source.data
        if isinstance(block.source, Base64Source)
        else str(block.source.url)
        for block in blocks
    ]


async def test_an_attachment_that_has_no_room_becomes_a_line_and_what_follows_may_still_fit() -> None:
    assert await shown(image(600), image(600), TextBlock(text="two images")) == [
        "A" * 600,
        "[image/png, 450 bytes, not shown]",
        "two images",
    ]


async def test_an_attachment_takes_the_room_of_the_text_behind_it() -> None:
    (_, text) = await shown(image(990), TextBlock(text="x" * 500))

    assert "truncated" in text


async def test_an_attachment_with_an_address_takes_the_room_of_its_address() -> None:
    far = DataBlock(source=URLSource(url=AnyUrl("https://shop.test/7.png"), media_type="image/png"))

    assert await shown(far, image(900)) == ["https://shop.test/7.png", "A" * 900]


async def test_a_generator_that_says_nothing_for_ever_does_not_keep_the_loop() -> None:
    others_ran = asyncio.Event()
    chunks_before = 0

    async def empty() -> AsyncGenerator[ToolChunk, None]:
        nonlocal chunks_before
        while not others_ran.is_set() and chunks_before < 1000:
            chunks_before += 1
            yield ToolChunk(content=[])

    asyncio.get_running_loop().call_soon(others_ran.set)
    async with aclosing(ToolGuard(1000).stream("empty", empty)) as chunks:
        async for _ in chunks:
            pass

    assert chunks_before < 1000


async def test_what_a_generator_yields_is_shown_while_it_comes() -> None:
    shown: list[InternalRuntimeEvent] = []

    async def emit(event: InternalRuntimeEvent) -> None:
        shown.append(event)

    def pieces() -> Iterator[Any]:
        yield "one "
        yield ToolChunk(content=[TextBlock(text="two")])

    def whole() -> str:
        return "all"

    for call in (pieces, whole):
        async with aclosing(ToolGuard(1000, emit).stream("tool", call)) as chunks:
            assert [chunk async for chunk in chunks]

    assert shown == [ToolProgress(tool_call_id="", message="one ")]
