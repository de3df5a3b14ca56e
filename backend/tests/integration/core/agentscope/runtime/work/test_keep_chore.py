"""What is kept for a time only goes after it, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.stack import OpenStack, Stack

from core.agentscope.runtime.accept.threads import AgentThreads
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.runtime.work.keep_chore import KeepChore
from core.config import WorkerSettings
from core.errors import NotFound
from core.identity import Principal

ADA = Principal("default", "ada")


def chore(stack: Stack, **settings: int) -> KeepChore:
    container = stack.apis[0].app.state.container
    threads: AgentThreads = container.threads
    engine = container.exports.engine
    return KeepChore(engine, Turns(engine), WorkerSettings(**settings), threads.delete_idle)


async def age(stack: Stack, thread: str, days: int) -> None:
    await stack.fetch(
        "UPDATE agent_chat_session SET updated_at = now() - $2 * interval '1 day' WHERE thread_id = $1",
        thread,
        days,
    )


async def left(stack: Stack) -> set[str]:
    return {row["thread_id"] for row in await stack.fetch("SELECT thread_id FROM agent_chat_session")}


async def test_conversations_and_notes_go_after_their_time(
    open_stack: OpenStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Windows of one row: a sweep goes on behind what it has looked at.
    monkeypatch.setattr("core.agentscope.runtime.work.keep_chore.WINDOW_ROWS", 1)
    async with open_stack(files={"url": tmp_path.as_uri()}) as stack:
        for thread in ("old", "young", "older"):
            await stack.stream_run("hello", thread=thread)
        await age(stack, "old", 40)
        await age(stack, "older", 400)
        await stack.fetch(
            """INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key, created_at) VALUES
            ('default', 'ada', 'tea', 'a', now() - interval '50 days'), ('default', 'ada', 'milk', 'b', now()),
            ('default', 'eve', 'wine', 'c', now() - interval '50 days')"""
        )

        assert not chore(stack).has_work
        assert await chore(stack).drop_threads() == await chore(stack).drop_notes() == 0
        assert await chore(stack, thread_retention_days=30).drop_threads() == 2
        assert await chore(stack, memory_retention_days=30).drop_notes() == 2

        assert await left(stack) == {"young"}
        assert [row["text"] for row in await stack.fetch("SELECT text FROM agent_memory")] == ["milk"]
        assert await stack.fetch("SELECT * FROM agent_stored_drift()") == []


async def test_a_conversation_that_somebody_goes_on_with_stays(stack: Stack) -> None:
    await stack.stream_run("hello", thread="busy")
    threads: AgentThreads = stack.apis[0].app.state.container.threads

    with pytest.raises(NotFound):
        await threads.delete_idle(ADA, "busy", datetime.now(UTC) - timedelta(days=1))

    assert "busy" in await left(stack)
