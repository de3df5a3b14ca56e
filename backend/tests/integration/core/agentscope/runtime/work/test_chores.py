"""The periodic work of all workers together, and retention: what goes, and what still works without it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from redis.asyncio import Redis
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.manual_worker import ManualWorker, manual_reaper
from tests.support.stack import OpenStack, Stack, eventually

from core.agentscope.runtime.work import chores
from core.agentscope.runtime.work.chores import LATER_SECONDS, Turns, take_turn
from core.agentscope.runtime.work.reaper import Reaper

APPROVED = {"approved": True}
CHORES = "core.agentscope.runtime.work.chores"

ask_postgres = chores._ask


@pytest.fixture(scope="module")
async def idle(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A service without a worker: the test's own reapers are the only ones."""
    async with open_stack(workers=0) as stack:
        yield stack


class LoudTurns(Turns):
    """Counts what it tells and hears."""

    told = 0
    heard = 0
    listens = False

    def hear(self, message: bytes) -> None:
        super().hear(message)
        self.listens = True
        self.heard += not message.startswith(b"probe")

    async def _tell(self, redis: Redis, name: str) -> None:
        self.told += 1
        await super()._tell(redis, name)


@dataclass
class Crowd:
    """The periodic work of some workers who hear each other, on a clock that the test moves."""

    stack: Stack
    reapers: list[Reaper] = field(default_factory=list)
    turns: list[LoudTurns] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    now: float = 1000.0

    def make_turns(self, worker: ManualWorker) -> Turns:
        made = LoudTurns(
            worker.engine,
            worker.redis,
            self.stack.settings.redis,
            clock=lambda: self.now,
            later=lambda: LATER_SECONDS[0],
        )
        self.turns.append(made)
        return made

    def note(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.sent["pick_up" if "row_number" in statement else "work"] += 1

    async def ask(self, engine: AsyncEngine, name: str, seconds: float) -> tuple[bool, float]:
        self.sent["turn"] += 1
        return await ask_postgres(engine, name, seconds)

    async def all_listen(self) -> bool:
        if (redis := self.turns[0]._redis) is not None:
            await redis.publish(self.turns[0]._channel, "probe probe")
        return all(turns.listens for turns in self.turns)

    async def all_heard(self) -> bool:
        told = sum(turns.told for turns in self.turns)
        return all(turns.heard == told and not turns._telling for turns in self.turns)

    async def tend(self) -> list[bool]:
        """Let the workers look, one after the other; returns which ones sent anything."""
        busy: list[bool] = []
        for reaper in self.reapers:
            before = self.sent.total()
            await reaper.tend()
            busy.append(self.sent.total() > before)
            await eventually(self.all_heard)
        return busy

    async def wait(self, seconds: float) -> None:
        """Let time go by, here and for the turns in Postgres."""
        self.now += seconds
        await self.stack.fetch("UPDATE agent_chore SET next_at = next_at - $1 * interval '1 second'", seconds)


@asynccontextmanager
async def crowd(stack: Stack, count: int) -> AsyncIterator[Crowd]:
    """Open so many workers' reapers; the statements that they send are counted."""
    await stack.fetch("DELETE FROM agent_chore")
    opened = Crowd(stack)
    async with AsyncExitStack() as exits:
        exits.enter_context(patch(f"{CHORES}._ask", opened.ask))
        for _ in range(count):
            reaper = await exits.enter_async_context(manual_reaper(stack.settings, turns=opened.make_turns))
            event.listen(reaper._engine.sync_engine, "before_cursor_execute", opened.note)
            opened.reapers.append(reaper)
        for turns in opened.turns:
            exits.callback(asyncio.create_task(turns.run()).cancel)
        await eventually(opened.all_listen)
        yield opened


async def test_of_many_workers_one_takes_the_turn(idle: Stack) -> None:
    async with crowd(idle, 4) as workers:
        engines = [worker._engine for worker in workers.reapers]
        for _ in range(3):
            turns = await asyncio.gather(*(take_turn(engine, "test", 3600) for engine in engines))
            assert turns.count(True) == 1
            assert not await take_turn(engines[0], "test", 3600)
            await idle.fetch("UPDATE agent_chore SET next_at = now() WHERE name = 'test'")


async def test_what_is_asked_does_not_grow_with_the_workers(idle: Stack) -> None:
    sent: dict[int, Counter[str]] = {}
    for count in (1, 6):
        async with crowd(idle, count) as workers:
            await workers.tend()
            for _ in range(20):
                await workers.wait(1.0)
                await workers.tend()
            sent[count] = workers.sent

    assert sent[1] == sent[6]
    assert sent[1]["work"] > 0


async def test_without_redis_a_worker_asks_once_in_a_period_and_looks_for_runs_itself(idle: Stack) -> None:
    await idle.fetch("DELETE FROM agent_chore")
    async with AsyncExitStack() as exits:
        now, workers = [1000.0], Crowd(idle)
        exits.enter_context(patch(f"{CHORES}._ask", workers.ask))

        def deaf(worker: ManualWorker) -> Turns:
            return Turns(worker.engine, clock=lambda: now[0], later=lambda: LATER_SECONDS[0])

        for _ in range(3):
            reaper = await exits.enter_async_context(manual_reaper(idle.settings, turns=deaf))
            event.listen(reaper._engine.sync_engine, "before_cursor_execute", workers.note)
            workers.reapers.append(reaper)
        for _ in range(4):
            for reaper in workers.reapers:
                await reaper.tend()
            now[0] += 1.0

    assert workers.sent["pick_up"] == 3 * 4
    # Whose turn it is to repair, and to prune.
    assert workers.sent["turn"] == 3 * 2


async def test_when_the_one_who_did_all_is_gone_another_goes_on_in_the_same_period(idle: Stack) -> None:
    period = idle.settings.worker.reap_seconds
    async with crowd(idle, 4) as workers:
        await workers.tend()
        await workers.wait(period)
        assert (await workers.tend()) == [True, False, False, False]
        # It is killed: it tells nothing any more.
        workers.reapers.pop(0)
        workers.turns.pop(0)
        for turns in workers.turns:
            turns.heard = turns.told = 0

        workers.sent.clear()
        await workers.wait(period + LATER_SECONDS[0])
        assert (await workers.tend()).count(True) == 1
        assert workers.sent["work"] > 0


async def test_a_worker_whose_repairs_fail_leaves_them_to_another(
    idle: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    period = idle.settings.worker.reap_seconds
    failed = asyncio.Event()

    async def fail() -> int:
        failed.set()
        raise RuntimeError

    async with crowd(idle, 2) as workers:
        sick, well = workers.reapers
        monkeypatch.setattr(sick, "reap", fail)
        # The real loop of the sick one: it takes the first turn there is.
        monkeypatch.setattr(sick, "_rest", lambda _seconds: None)
        loop = asyncio.create_task(sick.run())
        await eventually(partial(_is_set, failed))
        await eventually(workers.all_heard)
        await workers.wait(period + LATER_SECONDS[0])
        workers.sent.clear()
        await well.tend()
        loop.cancel()
        assert workers.sent["work"] > 0


async def _is_set(what: asyncio.Event) -> bool:
    return what.is_set()


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
