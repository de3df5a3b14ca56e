from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.agentscope.tools.memory_store import MAX_MEMORIES, InMemoryMemoryStore
from core.agentscope.tools.recall import recall_tool
from core.agentscope.tools.remember import remember_tool
from core.agentscope.tools.spec import ToolContext, ToolOutcome
from core.identity import Principal


@pytest.fixture
def memory() -> InMemoryMemoryStore:
    return InMemoryMemoryStore(clock=lambda: datetime(2026, 5, 4, tzinfo=UTC))


async def fill(memory: InMemoryMemoryStore, context: ToolContext, count: int) -> None:
    for number in range(count):
        await memory.add(context.principal, f"fact {number}", idempotency_key=str(number))


async def test_what_is_remembered_is_recalled(memory: InMemoryMemoryStore, context: ToolContext) -> None:
    outcome = await remember_tool(memory).call({"text": "  Likes tea.\n"}, context)

    assert outcome == ToolOutcome("success", "Remembered.")
    assert await recall_tool(memory).call({}, context) == ToolOutcome("success", "- 2026-05-04: Likes tea.")


async def test_repeated_call_stores_nothing_twice(memory: InMemoryMemoryStore, context: ToolContext) -> None:
    remember = remember_tool(memory)

    first = await remember.call({"text": "Likes tea."}, context)
    second = await remember.call({"text": "Likes tea."}, context)

    assert first == second
    assert len(await memory.list(context.principal, limit=10)) == 1


async def test_next_call_of_the_run_stores_its_own(memory: InMemoryMemoryStore, context: ToolContext) -> None:
    for call_id in ("c-1", "c-2"):
        await remember_tool(memory).call({"text": "Likes tea."}, replace(context, tool_call_id=call_id))

    assert len(await memory.list(context.principal, limit=10)) == 2


async def test_recall_shows_the_newest_fifty(memory: InMemoryMemoryStore, context: ToolContext) -> None:
    await fill(memory, context, 51)

    lines = (await recall_tool(memory).call({}, context)).content.splitlines()

    assert lines[0].endswith("fact 50")
    assert lines[49].endswith("fact 1")
    assert lines[50:] == ["(there are older entries; use a query to find them)"]


async def test_recall_filters_by_words(memory: InMemoryMemoryStore, context: ToolContext) -> None:
    await fill(memory, context, 12)

    outcome = await recall_tool(memory).call({"query": "11 FACT"}, context)

    assert outcome.content == "- 2026-05-04: fact 11"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "Nothing is remembered."),
        ("  ", "Nothing is remembered."),
        ("x", "Nothing that matches is remembered."),
    ],
)
async def test_recall_of_nothing_says_so(
    memory: InMemoryMemoryStore, context: ToolContext, query: str, text: str
) -> None:
    assert await recall_tool(memory).call({"query": query}, context) == ToolOutcome("success", text)


async def test_recall_shows_nothing_of_another_user(
    memory: InMemoryMemoryStore, context: ToolContext
) -> None:
    await fill(memory, context, 1)
    other = replace(context, principal=Principal("other", context.principal.user_id))

    assert (await recall_tool(memory).call({}, other)).content == "Nothing is remembered."


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("x" * 4097, "The text has 4097 bytes; at most 4096"),
        ("ü" * 2049, "The text has 4098 bytes; at most 4096"),
        ("\ud800" * 1366, "The text has 4098 bytes; at most 4096"),
    ],
)
async def test_unfit_text_is_refused(
    memory: InMemoryMemoryStore, context: ToolContext, text: str, complaint: str
) -> None:
    outcome = await remember_tool(memory).call({"text": text}, context)

    assert outcome.state == "error"
    assert complaint in outcome.content


async def test_longest_text_is_kept_whole(memory: InMemoryMemoryStore, context: ToolContext) -> None:
    await remember_tool(memory).call({"text": "ü" * 2048}, context)

    assert [entry.text for entry in await memory.list(context.principal, limit=1)] == ["ü" * 2048]


async def test_full_memory_is_a_clear_error(memory: InMemoryMemoryStore, context: ToolContext) -> None:
    await fill(memory, context, MAX_MEMORIES)

    outcome = await remember_tool(memory).call({"text": "one more"}, context)

    assert outcome == ToolOutcome("error", "The memory is full: it holds 1000 texts for this user.")
