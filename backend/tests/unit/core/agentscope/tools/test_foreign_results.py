"""Tools written for AgentScope or MCP: the model and the user get what their results say, not the objects."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import pytest
from agentscope.message import (
    AssistantMsg,
    Base64Source,
    DataBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolResultState,
    URLSource,
)
from agentscope.tool import ToolChunk, ToolResponse
from mcp.types import CallToolResult, EmbeddedResource, ImageContent, TextContent, TextResourceContents
from tests.support.limits import HUNG_SECONDS

from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import ToolContext, ToolOutcome
from core.identity import Principal

CONTEXT = ToolContext(Principal("tenant", "user"), thread_id="t-1", run_id="r-1", tool_call_id="c-1")
IMAGE = DataBlock(source=Base64Source(data="QUJDRA==", media_type="image/png"))
LINK = DataBlock(
    source=URLSource.model_validate({"url": "https://example.com/a.png", "media_type": "image/png"}),
    name="chart",
)


class Own(ToolResponse):
    """A response of a user's own class."""


def text(value: str) -> TextBlock:
    return TextBlock(text=value)


async def outcome_of(value: object) -> ToolOutcome:
    def made() -> Any:
        """Make."""
        return value

    return await tool(permission="allow")(made).call({}, CONTEXT)


VALUES: dict[str, tuple[object, str]] = {
    "a response": (ToolResponse(content=[text("Sunny.")]), "Sunny."),
    "a response of two texts": (ToolResponse(content=[text("Sunny."), text("Warm.")]), "Sunny.\nWarm."),
    "a response of one's own class": (Own(content=[text("Sunny.")]), "Sunny."),
    "a chunk": (ToolChunk(content=[text("Sunny.")]), "Sunny."),
    "a block": (text("Sunny."), "Sunny."),
    "a list of blocks": ([text("Sunny."), text("Warm.")], "Sunny.\nWarm."),
    "a list of responses": (
        [ToolResponse(content=[text("Sunny.")]), ToolResponse(content=[text("Warm.")])],
        '["Sunny.", "Warm."]',
    ),
    "a response in a dictionary": (
        {"weather": ToolResponse(content=[text("Sunny.")]), "degrees": 21},
        '{"weather": "Sunny.", "degrees": 21}',
    ),
    "reasoning is left out": ([ThinkingBlock(thinking="I wonder."), text("Sunny.")], "Sunny."),
    "an image": (
        ToolResponse(content=[text("A chart:"), IMAGE]),
        "A chart:\n[image/png, 6 bytes, not shown]",
    ),
    "a linked image": (ToolResponse(content=[LINK]), "[chart, image/png: https://example.com/a.png]"),
    "only a structured part": (ToolResponse(metadata={"degrees": 21}), '{"degrees": 21}'),
    "nothing": (ToolResponse(), ""),
    "a message": (AssistantMsg(name="a", content="Sunny."), "Sunny."),
    "a tool's result block": (ToolResultBlock(id="c", name="weather", output=[text("Sunny.")]), "Sunny."),
    "mcp: texts": (CallToolResult(content=[TextContent(type="text", text="Sunny.")]), "Sunny."),
    "mcp: an image": (
        CallToolResult(content=[ImageContent(type="image", data="QUJDRA==", mimeType="image/png")]),
        "[image/png, 6 bytes, not shown]",
    ),
    "mcp: a structured part": (
        CallToolResult(content=[], structuredContent={"degrees": 21}),
        '{"degrees": 21}',
    ),
    "mcp: a resource": (
        CallToolResult(
            content=[
                EmbeddedResource(
                    type="resource",
                    resource=TextResourceContents.model_validate({"uri": "a://b", "text": "Sunny."}),
                )
            ]
        ),
        "Sunny.",
    ),
    "what only looks like blocks": ([{"type": "text", "text": "x"}], '[{"type": "text", "text": "x"}]'),
}


@pytest.mark.parametrize("shape", VALUES)
async def test_a_result_says_what_the_object_holds(shape: str) -> None:
    value, right = VALUES[shape]

    assert await outcome_of(value) == ToolOutcome("success", right)


@pytest.mark.parametrize(
    "value",
    [
        ToolResponse(content=[text("No station.")], state=ToolResultState.ERROR),
        ToolResponse(content=[text("No station.")], state=ToolResultState.DENIED),
        CallToolResult(content=[TextContent(type="text", text="No station.")], isError=True),
    ],
)
async def test_a_result_that_says_it_failed_is_a_failure(value: object) -> None:
    assert await outcome_of(value) == ToolOutcome("error", "No station.")


def holding_itself(kind: str) -> object:
    found: dict[str, Any] = {"text": text("Sunny.")}
    match kind:
        case "dictionary":
            found["self"] = found
        case "list":
            found["list"] = [text("Sunny."), found, found]
        case "response":
            response = ToolResponse(content=[], metadata=found)
            response.metadata["self"] = response
            return response
        case "own":
            found = {}
            found["self"] = found
        case _:
            for _ in range(2000):
                found = {"text": text("Sunny."), "inner": [found]}
    return found


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("dictionary", "holds itself"),
        ("list", "holds itself"),
        ("response", "holds itself"),
        ("deep", "nested more than 32 levels deep"),
        ("own", "has no JSON form"),
    ],
)
async def test_a_result_without_an_end_is_a_failure_that_says_so(kind: str, said: str) -> None:
    outcome = await outcome_of(holding_itself(kind))

    assert outcome.state == "error"
    assert said in outcome.content


async def test_one_object_may_stand_in_a_result_twice() -> None:
    block = text("Sunny.")
    assert (await outcome_of({"now": [block], "later": [block]})).content == (
        '{"now": "Sunny.", "later": "Sunny."}'
    )


async def chunks() -> AsyncIterator[ToolChunk]:
    """Stream."""
    yield ToolChunk(content=[text("Sun")], is_last=False)
    yield ToolChunk(content=[text("ny.")])


async def responses() -> AsyncIterator[ToolResponse]:
    """Stream."""
    yield ToolResponse(content=[text("Sun")])
    yield ToolResponse(content=[text("Sunny.")])


def plain_chunks() -> Iterator[ToolChunk]:
    """Stream."""
    yield ToolChunk(content=[text("Sun")], is_last=False)
    yield ToolChunk(content=[text("ny.")])


async def later() -> AsyncIterator[ToolChunk]:
    """Return a stream."""
    return chunks()


async def words() -> AsyncIterator[str]:
    """Stream."""
    yield "Sun"
    yield "ny."


@pytest.mark.parametrize("function", [chunks, responses, plain_chunks, later, words])
async def test_what_a_generator_yields_is_put_together(function: Callable[[], object]) -> None:
    assert await tool(permission="allow")(function).call({}, CONTEXT) == ToolOutcome("success", "Sunny.")


async def test_values_that_a_generator_yields_are_a_list() -> None:
    async def numbers() -> AsyncIterator[int]:
        """Count."""
        yield 1
        yield 2

    assert await tool(permission="allow")(numbers).call({}, CONTEXT) == ToolOutcome("success", "[1, 2]")


async def test_a_generator_that_fails_at_its_end_has_failed() -> None:
    async def half() -> AsyncIterator[ToolChunk]:
        """Stream."""
        yield ToolChunk(content=[text("Sun")], is_last=False)
        yield ToolChunk(content=[text(" lost.")], state=ToolResultState.ERROR)

    assert await tool(permission="allow")(half).call({}, CONTEXT) == ToolOutcome("error", "Sun lost.")


async def test_pieces_that_are_no_text_are_kept_as_far_as_their_json_fits() -> None:
    taken: list[weakref.ref[object]] = []

    class Row(dict[str, Any]):
        """Of a table."""

    def rows() -> Iterator[object]:
        """Stream."""
        for number in range(1000):
            row = Row(id=number, text="x" * 100)
            taken.append(weakref.ref(row))
            yield row
        kept.append(sum(each() is not None for each in taken))

    kept: list[int] = []
    outcome = await tool(permission="allow", max_result_bytes=1000)(rows).call({}, CONTEXT)

    assert outcome.content.startswith('[{"id": 0, "text": "xxx')
    assert "[truncated" in outcome.content
    # Eight fill the result; the last one is in the hands of the generator itself.
    assert kept[0] <= 10


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_that_says_too_much_still_acts(is_async: bool) -> None:
    acted: list[int] = []

    def pieces() -> Iterator[str]:
        """Stream."""
        for _ in range(100):
            yield "x" * 100
        acted.append(1)

    async def pieces_async() -> AsyncIterator[str]:
        """Stream."""
        for piece in pieces():
            yield piece

    function: Callable[[], object] = pieces_async if is_async else pieces
    outcome = await tool(permission="allow", max_result_bytes=1000)(function).call({}, CONTEXT)

    assert outcome.state == "success"
    assert "[truncated" in outcome.content
    assert acted == [1]


async def test_a_failure_after_too_much_text_is_a_failure() -> None:
    async def loud() -> AsyncIterator[object]:
        """Stream."""
        yield "x" * 3000
        yield "x"
        yield ToolChunk(content=[text("lost")], state=ToolResultState.ERROR)

    outcome = await tool(permission="allow", max_result_bytes=1000)(loud).call({}, CONTEXT)

    assert outcome.state == "error"


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_without_an_end_is_closed_at_its_timeout(is_async: bool) -> None:
    closed = threading.Event()

    def endless() -> Generator[str, None, None]:
        """Stream."""
        try:
            while True:
                yield "x" * 100
        finally:
            closed.set()

    async def endless_async() -> AsyncIterator[str]:
        """Stream."""
        with closing(endless()) as pieces:
            for piece in pieces:
                yield piece

    function: Callable[[], object] = endless_async if is_async else endless
    limits: dict[str, Any] = {"max_result_bytes": 1000, "timeout_seconds": 0.05}
    outcome = await tool(permission="allow", **limits)(function).call({}, CONTEXT)

    assert outcome.state == "error"
    assert "It may have taken effect." in outcome.content
    assert await asyncio.to_thread(closed.wait, HUNG_SECONDS)


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "timeout"])
async def test_a_generator_that_swallows_its_end_is_closed_at_its_next_piece(is_cancelled: bool) -> None:
    began, swallowed = asyncio.Event(), 0

    async def poll() -> AsyncIterator[str]:
        """Stream."""
        nonlocal swallowed
        while True:
            began.set()
            try:
                await asyncio.sleep(HUNG_SECONDS)
            except asyncio.CancelledError:
                swallowed += 1
            yield "."

    seconds = HUNG_SECONDS if is_cancelled else 0.05
    call = asyncio.create_task(tool(permission="allow", timeout_seconds=seconds)(poll).call({}, CONTEXT))
    await began.wait()
    if is_cancelled:
        call.cancel()
    await asyncio.wait({call}, timeout=HUNG_SECONDS)

    assert swallowed == 1
    assert call.cancelled() if is_cancelled else "did not finish" in call.result().content
