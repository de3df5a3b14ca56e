"""Lines of calls under way: written before the call, replaced once, and summed once whatever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.manual_worker import ManualRun, ManualWorker, manual_reaper, manual_worker
from tests.support.stack import OpenStack, Row, Stack

from core.agentscope.events.ledger.calls_ahead import CallsAhead
from core.agentscope.events.ledger.ledger import CallLine, CallLines, record_call_now
from core.agentscope.runtime.work.reaper import Reaper
from core.agentscope.schemas.internal_events import ModelUsage
from core.errors import LeaseLost
from core.identity import Principal


@dataclass
class Hands:
    """An API process, and a worker and a reaper that do what the test says."""

    stack: Stack
    worker: ManualWorker
    reaper: Reaper

    async def claimed(self) -> ManualRun:
        thread = self.stack.new_id("thread")
        reply = await self.stack.post_run("hello", thread=thread)
        assert reply.status == 202, reply.body
        run = await self.worker.claim((await self.stack.runs(thread))[-1]["id"])
        assert run is not None
        return run

    async def die(self, run: ManualRun) -> None:
        """Let the run's worker be dead for longer than its lease, and the reaper find it."""
        await run.say("shown")
        lapsed = "UPDATE agent_run SET lease_until = clock_timestamp() - interval '1 second' WHERE id = $1"
        await self.stack.fetch(lapsed, run.owned.run_pk)
        assert await self.reaper.reap() == 1

    def calls_ahead(self, run: ManualRun) -> CallsAhead:
        lines = CallLines(self.worker.engine)
        return CallsAhead(lines, run.owned, OWNER, outage_seconds=1.0, begun=lambda: None)

    async def ledger(self, run: ManualRun) -> list[Row]:
        return await self.stack.fetch(
            "SELECT * FROM agent_model_call WHERE run_pk = $1 ORDER BY id", run.owned.run_pk
        )

    async def assert_sums(self, run: ManualRun, tokens: tuple[int, int], cost: Decimal | None) -> None:
        """Check the totals of the run and of its thread, which has no other."""
        members = "input_tokens, output_tokens, cost, unknown_cost_calls"
        rows = await self.stack.fetch(
            f"""SELECT {members} FROM agent_run WHERE id = $1
            UNION ALL SELECT {members} FROM agent_chat_session WHERE id = $2""",  # noqa: S608
            run.owned.run_pk,
            run.owned.session_id,
        )
        for row in rows:
            assert (row["input_tokens"], row["output_tokens"]) == tokens
            assert row["cost"] == cost
            assert row["unknown_cost_calls"] == (cost is None)


@pytest.fixture(scope="module")
async def hands(open_stack: OpenStack) -> AsyncIterator[Hands]:
    async with (
        open_stack(workers=0) as stack,
        manual_worker(stack.settings) as worker,
        manual_reaper(stack.settings) as reaper,
    ):
        yield Hands(stack, worker, reaper)


def usage(**members: Any) -> ModelUsage:
    line = {"call_id": "c-1", "stage": "execution", "provider": "here", "model": "m"}
    return ModelUsage.model_validate(line | members)


OWNER = Principal("default", "ada")
OPENING = usage(input_tokens=10, estimated=True, outcome="lost")
ENDED = usage(input_tokens=12, output_tokens=5, cost=Decimal("0.5"), cost_source="stream")


async def test_a_call_is_in_the_ledger_before_it_is_sent_and_then_as_it_ended(hands: Hands) -> None:
    run = await hands.claimed()
    await hands.calls_ahead(run).begin(OPENING)
    (line,) = await hands.ledger(run)
    assert (line["outcome"], line["estimated"], line["input_tokens"]) == ("lost", True, 10)

    await record_call_now(hands.worker.engine, run.owned, OWNER, ENDED)
    (line,) = await hands.ledger(run)
    assert (line["outcome"], line["estimated"], line["input_tokens"]) == ("completed", False, 12)
    # Neither a repeat nor the opening itself changes what the provider counted.
    await record_call_now(hands.worker.engine, run.owned, OWNER, usage(input_tokens=99))
    await hands.calls_ahead(run).begin(OPENING)
    assert await hands.ledger(run) == [line]


async def test_a_call_of_a_dead_worker_stays_in_the_ledger_as_lost(hands: Hands) -> None:
    run = await hands.claimed()
    await hands.calls_ahead(run).begin(OPENING)
    await hands.die(run)

    assert [line["outcome"] for line in await hands.ledger(run)] == ["lost"]
    await hands.assert_sums(run, (10, 0), None)


async def test_a_worker_that_was_not_dead_after_all_books_its_call_once(hands: Hands) -> None:
    run = await hands.claimed()
    await hands.calls_ahead(run).begin(OPENING)
    await hands.die(run)

    for _ in range(2):
        await record_call_now(hands.worker.engine, run.owned, OWNER, ENDED)
        assert [line["outcome"] for line in await hands.ledger(run)] == ["completed"]
        await hands.assert_sums(run, (12, 5), Decimal("0.5"))


async def test_a_call_that_cost_nothing_takes_its_line_back(hands: Hands) -> None:
    run = await hands.claimed()
    calls = hands.calls_ahead(run)
    await calls.begin(OPENING)
    await calls.begin(OPENING.model_copy(update={"call_id": "c-2"}))
    await record_call_now(hands.worker.engine, run.owned, OWNER, ENDED.model_copy(update={"call_id": "c-2"}))
    for call_id in ("c-1", "c-2"):
        calls.take_back(call_id)
    await calls.settle()

    assert [line["call_id"] for line in await hands.ledger(run)] == ["c-2"]


async def test_a_worker_that_lost_its_run_begins_no_call(hands: Hands) -> None:
    run = await hands.claimed()
    calls = hands.calls_ahead(run)
    await calls.begin(OPENING)
    await hands.die(run)

    with pytest.raises(LeaseLost):
        await calls.begin(OPENING.model_copy(update={"call_id": "c-2"}))
    # What the end has summed is not taken out behind its back.
    calls.take_back("c-1")
    await calls.settle()
    assert [line["call_id"] for line in await hands.ledger(run)] == ["c-1"]
    await hands.assert_sums(run, (10, 0), None)


async def test_lines_of_one_turn_are_written_as_one_by_one(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [await hands.claimed() for _ in range(6)]
    lines = CallLines(hands.worker.engine)
    batches: list[int] = []
    write = lines._write

    async def counted(sql: str, some: Sequence[CallLine]) -> dict[int, bool]:
        batches.append(len(some))
        return await write(sql, some)

    monkeypatch.setattr(lines, "_write", counted)
    together, alone = runs[:3], runs[3:]

    async def of(run: ManualRun, call: ModelUsage, *, attempt: int = 0) -> CallLine:
        return CallLine(replace(run.owned, attempt=attempt or run.owned.attempt), OWNER, call)

    other = OPENING.model_copy(update={"call_id": "c-2"})
    stale = OPENING.model_copy(update={"call_id": "c-3"})
    # Two calls of one run, as subagents make them; a run that is somebody else's by now, and one that was claimed again.
    opened = [await of(run, OPENING) for run in together[:2]]
    opened += [await of(together[0], other), await of(together[2], OPENING, attempt=7)]
    opened += [await of(together[0], stale, attempt=7)]
    assert await asyncio.gather(*map(lines.open, opened)) == [True, True, True, False, False]
    for run, call in ((alone[0], OPENING), (alone[1], OPENING), (alone[0], other)):
        assert await lines.open(await of(run, call))
    await hands.die(together[1])
    await hands.die(alone[1])

    ended = [ENDED, ENDED.model_copy(update={"call_id": "c-2", "cost": Decimal("0.000000000001")})]
    recorded = [await of(together[0], call) for call in ended] + [await of(together[1], ENDED)]
    # A run that has ended has summed its ledger.
    assert await asyncio.gather(*map(lines.record, recorded)) == [True, True, False]
    for call in ended:
        assert await lines.record(await of(alone[0], call))
    assert not await lines.record(await of(alone[1], ENDED))

    assert batches == [5, 3]
    for one, other_run in zip(together, alone, strict=True):
        assert [comparable(line) for line in await hands.ledger(one)] == [
            comparable(line) for line in await hands.ledger(other_run)
        ]


@pytest.mark.parametrize("write", ["open", "record"])
async def test_a_run_that_somebody_has_locked_holds_up_the_lines_of_no_other(
    hands: Hands, write: str
) -> None:
    locked, free = await hands.claimed(), await hands.claimed()
    lines = CallLines(hands.worker.engine)
    call = lines.open if write == "open" else lines.record
    async with hands.worker.engine.begin() as connection:
        lock = text("SELECT 1 FROM agent_run WHERE id = :pk FOR UPDATE")
        await connection.execute(lock, {"pk": locked.owned.run_pk})
        waiting, at_once = (
            asyncio.ensure_future(call(CallLine(run.owned, OWNER, OPENING))) for run in (locked, free)
        )
        assert await at_once
        assert not waiting.done()
    assert await waiting
    assert [len(await hands.ledger(run)) for run in (locked, free)] == [1, 1]


def comparable(line: Row) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in {"id", "run_pk", "created_at"}}
