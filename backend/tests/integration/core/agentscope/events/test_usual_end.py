"""The usual end writes what the careful end writes, and nothing when there is something to decide."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.support.manual_worker import ManualRun, ManualWorker, manual_worker
from tests.support.stack import OpenStack, Row, Stack

from core.agentscope.events.checkpoints import Checkpoint, save_checkpoint
from core.agentscope.events.ending import Ended, end_and_promote
from core.agentscope.events.ledger.ledger import CallLine, CallLines
from core.agentscope.events.run_end import RunEnd
from core.agentscope.events.state_parts import PartsMaker, StoredState
from core.agentscope.events.usual_end import end_usually, may_be_usual
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.agentscope.schemas.internal_events import InterruptRequested, ModelUsage
from core.errors import LeaseLost

USER_MESSAGE = "user-message"
EVENTS = [
    AgUiWireEvent("STEP_STARTED", {"stepName": "é\U0001f600"}),
    AgUiWireEvent("RUN_FINISHED", {"n": 1e20}),
]
ANSWER = {
    "id": "answer",
    "role": "assistant",
    "content": 'é "\U0001f600"\n',
    "toolCalls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1e400}'}}],
    "metadata": {"incomplete": True, "share": 0.1, "nothing": None},
}
RESULT = {"id": "result", "role": "tool", "toolCallId": "c", "content": "42"}
ACTIVITY = {"id": "activity", "role": "activity", "content": {"done": [1, None, 2.5]}}
OLD = {"id": USER_MESSAGE, "role": "assistant", "content": "the id is taken"}
CALL = ModelUsage(
    call_id="call-1",
    stage="execution",
    provider="p",
    model="m",
    input_tokens=7,
    output_tokens=5,
    cached_input_tokens=3,
    reasoning_tokens=2,
    cost=Decimal("0.000000000001"),
    cost_source="stream",
    latency_ms=12,
    ttft_ms=4,
    finish_reason="stop",
    message_id="answer",
)
UNPRICED = CALL.model_copy(
    update={"call_id": "call-2", "cost": None, "cost_source": "unknown", "ttft_ms": None}
)
SMALL = CALL.model_copy(update={"call_id": "call-3", "cost": Decimal("1E-7"), "message_id": None})
KEPT = Checkpoint(
    "2.0.10",
    PartsMaker().state('{"é": "\\ud83d\\ude00"}', ['{"a": 1}', f'{{"b": "{"x" * 2000}"}}']),
    ("client-call",),
)

QUESTION = InterruptRequested(
    interrupt_id="i", reason="r", message="m", response_schema={}, expires_at=datetime.now(UTC)
)

ENDS = {
    "nothing said": RunEnd("succeeded", EVENTS, []),
    "one answer": RunEnd("succeeded", EVENTS, [ANSWER], usages=[CALL], checkpoint=KEPT),
    "several calls of one message": RunEnd(
        "succeeded", EVENTS, [ANSWER], usages=[CALL, UNPRICED, SMALL], tool_ms=9
    ),
    "several messages": RunEnd("succeeded", EVENTS, [ANSWER, RESULT, ACTIVITY], usages=[SMALL]),
    "an id that history has": RunEnd("succeeded", EVENTS, [OLD, ANSWER], usages=[CALL]),
    "a state": RunEnd("succeeded", EVENTS, [], state={"a": [1e20, None, "é"]}, state_changed=True),
    "a state of null": RunEnd("succeeded", EVENTS, [], state=None, state_changed=True),
    "a state that did not change": RunEnd("succeeded", EVENTS, [], state={"a": 1}),
    "failed": RunEnd("failed", EVENTS, [ANSWER], error_code="model-failed", usages=[UNPRICED]),
    "cancelled": RunEnd("cancelled", EVENTS, [ANSWER], checkpoint=KEPT),
}
_TABLES = {
    "agent_chat_session": "id = $1",
    "agent_run": "session_id = $1",
    # RUN_STARTED names the run.
    "agent_run_event": "session_id = $1 AND seq > 1",
    "agent_chat_message": "session_id = $1",
    "agent_checkpoint": "session_id = $1",
    "agent_state": "session_id = $1",
    "agent_state_part": "session_id = $1",
    "agent_model_call": "run_pk IN (SELECT id FROM agent_run WHERE session_id = $1)",
}
_OTHERS = {
    "id",
    "session_id",
    "run_pk",
    "thread_id",
    "run_id",
    "task_id",
    "request_hash",
    "input",
    "idempotency_key",
}
"""Columns that differ between any two threads; of times, only whether there is one is compared."""


@dataclass
class Hands:
    """Runs that a test ends."""

    stack: Stack
    worker: ManualWorker

    async def claimed(self, thread: str | None = None) -> ManualRun:
        body = self.stack.run_body("hello", thread=thread, state={"before": True})
        body["messages"][0]["id"] = USER_MESSAGE
        reply = await self.stack.post_run(body=body)
        assert reply.status == 202, reply.body
        run = await self.worker.claim((await self.stack.runs(body["threadId"]))[-1]["id"])
        assert run is not None
        await run.start(shown="nothing")
        # What a run leaves before its end: the placeholder of a call, and a checkpoint.
        opening = CALL.model_copy(update={"outcome": "lost", "cost": None, "message_id": None})
        line = CallLine(run.owned, run.claimed.principal, opening)
        assert await CallLines(self.worker.engine).open(line)
        async with self.worker.engine.begin() as connection:
            await save_checkpoint(
                connection, run.owned, Checkpoint("2", StoredState("{}", b""), message_ids=("answer",))
            )
        return run

    async def carefully(self, run: ManualRun, end: RunEnd) -> Ended:
        async with self.worker.engine.begin() as connection:
            return await end_and_promote(connection, run.owned, end)

    async def usually(self, run: ManualRun, end: RunEnd) -> Ended | None:
        assert may_be_usual(end)
        return await end_usually(self.worker.engine, run.owned, end)

    async def tables(self, run: ManualRun) -> dict[str, list[Row]]:
        """Return all that the thread has."""
        return {
            table: [
                _comparable(row)
                for row in await self.stack.fetch(
                    f"SELECT * FROM {table} AS t WHERE {which} ORDER BY t::text",  # noqa: S608
                    run.owned.session_id,
                )
            ]
            for table, which in _TABLES.items()
        }


def _comparable(row: Row) -> dict[str, Any]:
    return {
        name: value is not None if name.endswith("_at") or name == "lease_until" else value
        for name, value in row.items()
        if name not in _OTHERS
    }


def _sorted(tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    return {table: sorted(rows, key=repr) for table, rows in tables.items()}


@pytest.fixture(scope="module")
async def hands(open_stack: OpenStack) -> AsyncIterator[Hands]:
    async with open_stack(workers=0) as stack, manual_worker(stack.settings) as worker:
        yield Hands(stack, worker)


@pytest.mark.parametrize("case", ENDS)
async def test_the_usual_end_writes_what_the_careful_end_writes(hands: Hands, case: str) -> None:
    one, other = await hands.claimed(), await hands.claimed()

    usual = await hands.usually(one, ENDS[case])
    careful = await hands.carefully(other, ENDS[case])

    assert usual is not None
    assert _sorted(await hands.tables(one)) == _sorted(await hands.tables(other))
    ((usual_batch, usual_line),) = zip(usual.shown, usual.runs, strict=True)
    ((careful_batch, careful_line),) = zip(careful.shown, careful.runs, strict=True)
    assert usual_batch.first_seq == careful_batch.first_seq
    assert usual_batch.payloads == careful_batch.payloads
    assert (usual_line.input_tokens, usual_line.output_tokens, usual_line.cost, usual_line.status) == (
        careful_line.input_tokens,
        careful_line.output_tokens,
        careful_line.cost,
        careful_line.status,
    )
    assert usual_line.thread_id == one.claimed.thread_id


async def test_a_run_that_waits_is_not_forgotten(hands: Hands) -> None:
    run = await hands.claimed()
    thread = run.claimed.thread_id
    reply = await hands.stack.post_run("next", thread=thread, forwardedProps={"onBusy": "enqueue"})
    assert reply.status == 202, reply.body
    before = await hands.tables(run)

    assert await hands.usually(run, ENDS["one answer"]) is None

    assert await hands.tables(run) == before
    assert (await hands.carefully(run, ENDS["one answer"])).promoted is not None


async def test_reserved_budget_goes_the_careful_way(hands: Hands) -> None:
    run = await hands.claimed()
    principal = run.claimed.principal
    await hands.stack.fetch(
        """INSERT INTO user_budget_reservation (tenant_id, user_id, day, run_pk, call_id, tokens, cost, expires_at)
        VALUES ($1, $2, current_date, $3, 'call-1', 1, 0, now() + interval '1 hour')""",
        principal.tenant_id,
        principal.user_id,
        run.owned.run_pk,
    )

    assert await hands.usually(run, ENDS["one answer"]) is None

    await hands.carefully(run, ENDS["one answer"])


async def test_a_lost_run_is_not_ended(hands: Hands) -> None:
    run = await hands.claimed()
    before = await hands.tables(run)
    lost = replace(run.owned, attempt=run.owned.attempt + 1)

    assert await end_usually(hands.worker.engine, lost, ENDS["one answer"]) is None

    assert await hands.tables(run) == before
    assert await hands.usually(run, ENDS["one answer"]) is not None
    assert await hands.usually(run, ENDS["one answer"]) is None
    with pytest.raises(LeaseLost):
        await hands.carefully(run, ENDS["one answer"])


async def test_a_value_that_is_refused_writes_nothing(hands: Hands) -> None:
    run = await hands.claimed()
    before = await hands.tables(run)
    end = replace(ENDS["one answer"], messages=[ANSWER | {"content": "\x00"}])

    assert await hands.usually(run, end) is None

    assert await hands.tables(run) == before


@pytest.mark.parametrize(
    "end",
    [
        replace(ENDS["one answer"], rescue=True),
        replace(ENDS["one answer"], from_status="queued", status="cancelled"),
        replace(ENDS["one answer"], messages=[RESULT, ANSWER]),
        replace(ENDS["one answer"], checkpoint=replace(KEPT, message_ids=())),
        RunEnd(
            "interrupted",
            EVENTS,
            [],
            interrupts=[QUESTION],
        ),
    ],
    ids=["rescue", "not begun", "a result of an earlier call", "a checkpoint of a part", "a question"],
)
def test_what_needs_a_decision_is_never_usual(end: RunEnd) -> None:
    assert not may_be_usual(end)
