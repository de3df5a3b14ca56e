"""The periodic work of all workers together, and retention: what goes, and what still works without it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import event
from tests.support.manual_worker import manual_reaper
from tests.support.stack import OpenStack, Stack

from core.agentscope.runtime.work.chores import take_turn
from core.agentscope.runtime.work.reaper import Reaper

APPROVED = {"approved": True}


@pytest.fixture(scope="module")
async def idle(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A service without a worker: the test's own reapers are the only ones."""
    async with open_stack(workers=0) as stack:
        yield stack


async def reapers(stack: Stack, exits: AsyncExitStack, count: int) -> tuple[list[Reaper], Counter[str]]:
    """Open so many workers' reapers, and count the statements that they send."""
    sent: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        # Turns are asked for by every worker; whatever else is sent is work.
        sent[
            "turn"
            if "UPDATE agent_chore" in statement
            else "pick_up"
            if "row_number" in statement
            else "work"
        ] += 1

    made = [await exits.enter_async_context(manual_reaper(stack.settings)) for _ in range(count)]
    for reaper in made:
        event.listen(reaper._engine.sync_engine, "before_cursor_execute", note)
    return made, sent


async def test_of_many_workers_one_takes_the_turn(idle: Stack) -> None:
    async with AsyncExitStack() as exits:
        workers, _ = await reapers(idle, exits, 4)
        for _ in range(3):
            turns = await asyncio.gather(*(take_turn(worker._engine, "test", 3600) for worker in workers))
            assert turns.count(True) == 1
            assert not await take_turn(workers[0]._engine, "test", 3600)
            await idle.fetch("UPDATE agent_chore SET next_at = now() WHERE name = 'test'")


async def test_the_work_of_a_period_does_not_grow_with_the_workers(idle: Stack) -> None:
    work: dict[int, int] = {}
    for count in (1, 6):
        await idle.fetch("DELETE FROM agent_chore")
        async with AsyncExitStack() as exits:
            workers, sent = await reapers(idle, exits, count)
            for _ in range(3):
                await asyncio.gather(*(worker.tend() for worker in workers))
        work[count] = sent["work"]
        # What is left for each worker: to look for runs that it may start, and to ask whose turn it is.
        assert sent["pick_up"] == 3 * count
        assert sent["turn"] <= 2 * 3 * count

    assert work[1] == work[6] > 0


async def age(stack: Stack, thread: str, ordinal: int, days: int) -> None:
    """Let a run have ended so many days ago."""
    await stack.fetch(
        """UPDATE agent_run SET ended_at = now() - $3 * interval '1 day' WHERE ordinal = $2
        AND session_id = (SELECT id FROM agent_chat_session WHERE thread_id = $1)""",
        thread,
        ordinal,
        days,
    )


async def states(stack: Stack, thread: str) -> list[int]:
    rows = await stack.fetch(
        """SELECT c.ordinal FROM agent_state AS c JOIN agent_chat_session AS s ON s.id = c.session_id
        WHERE s.thread_id = $1 ORDER BY c.ordinal""",
        thread,
    )
    return [row["ordinal"] for row in rows]


async def prune(stack: Stack) -> None:
    async with manual_reaper(stack.settings) as reaper:
        await reaper.prune()


async def test_old_runs_forget_and_their_thread_goes_on_as_before(stack: Stack) -> None:
    thread = stack.new_id("old")
    first = stack.run_body("my name is Grace", thread=thread)
    await stack.stream_run(body=first)
    questions = (await stack.stream_run("remember that I like tea", thread=thread)).interrupts
    answer = [{"interruptId": questions[0]["id"], "status": "resolved", "payload": APPROVED}]
    await stack.resume(thread, answer)
    await stack.stream_run("hello", thread=thread)
    await stack.stream_run("hello again", thread=thread)
    for ordinal in (1, 2, 3, 4):
        await age(stack, thread, ordinal, 31)
    before, runs = await stack.history(thread), await stack.runs(thread)
    assert await states(stack, thread) == [1, 2, 3, 4, 5]

    await prune(stack)
    await prune(stack)

    assert [row["input"] == "{}" for row in await stack.runs(thread)] == [True] * 4 + [False]
    assert await stack.fetch(
        "SELECT arguments, answer, message FROM agent_interrupt WHERE run_pk = $1", runs[1]["id"]
    ) == [{"arguments": "", "answer": None, "message": ""}]
    # The newest state of that age stays, for whoever regenerates a message of the last days.
    assert await states(stack, thread) == [4, 5]
    assert await stack.history(thread) == before
    assert (await stack.post_run(body=first)).json["runId"] == first["runId"]
    (await stack.request("POST", "/resume", json=resume_body(thread, answer))).problem(
        409, "interrupt-resolved"
    )
    assert "Your name is Grace" in (await stack.stream_run("what is my name?", thread=thread)).text


def resume_body(thread: str, answer: list[dict[str, Any]]) -> dict[str, Any]:
    return {"threadId": thread, "runId": "late", "resume": answer}


@pytest.mark.parametrize("place", [1, 2])
async def test_a_message_is_regenerated_whatever_was_forgotten(stack: Stack, place: int) -> None:
    thread = stack.new_id("again")
    bodies = [
        stack.run_body(text, thread=thread) for text in ("my name is Grace", "hello", "what is my name?")
    ]
    for body in bodies:
        await stack.stream_run(body=body)
    for ordinal in (1, 2):
        await age(stack, thread, ordinal, 31)
    await prune(stack)
    assert await states(stack, thread) == [2, 3]

    again = await stack.stream_run(
        "what is my name?",
        thread=thread,
        forwardedProps={"regenerateFrom": bodies[place]["messages"][0]["id"]},
    )

    # From the state before it, or, where that is gone, from the texts of the history.
    assert "Your name is Grace" in again.text


async def test_what_is_young_or_not_ended_is_kept(stack: Stack) -> None:
    thread = stack.new_id("young")
    await stack.stream_run("hello", thread=thread)
    await stack.stream_run("hello again", thread=thread)
    await age(stack, thread, 1, 29)

    await prune(stack)

    assert all(row["input"] != "{}" for row in await stack.runs(thread))
    assert await states(stack, thread) == [1, 2]


async def test_old_budgets_go_unless_something_is_reserved(stack: Stack) -> None:
    await stack.fetch(
        """INSERT INTO user_budget (tenant_id, user_id, day, reserved_tokens) VALUES
        ('t', 'u', current_date - 40, 0), ('t', 'u', current_date - 39, 5), ('t', 'u', current_date - 31, 0)"""
    )

    await prune(stack)

    rows = await stack.fetch(
        "SELECT current_date - day AS days FROM user_budget WHERE tenant_id = 't' ORDER BY day"
    )
    assert [row["days"] for row in rows] == [39, 31]
