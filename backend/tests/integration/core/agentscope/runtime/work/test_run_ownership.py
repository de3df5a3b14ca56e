"""Who may execute a run, and who ends it when nobody does: leases, fences, repairs, limits."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import asyncpg
import orjson
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from tests.support.failing_engine import AWAY
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS
from tests.support.manual_worker import ManualRun, ManualWorker, manual_reaper, manual_worker
from tests.support.scratch_databases import ScratchDatabases
from tests.support.silent_hints import Unheard, Unseen
from tests.support.stack import (
    OpenStack,
    Stack,
    assert_valid,
    client_view,
    eventually,
)

from agentroute.worker import open_worker
from core.agentscope.events.append_writer import AppendBatch, GroupCommitWriter
from core.agentscope.events.checkpoints import Checkpoint, save_checkpoint
from core.agentscope.events.state_parts import StoredState
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.agent.thread_memory import load_memory
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.work import reaper as reaper_module
from core.agentscope.runtime.work.leases import Heartbeat, Leases
from core.agentscope.runtime.work.reaper import Reaper
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.internal_events import (
    ReasoningDelta,
    StepStarted,
    TextDelta,
    ToolCallArguments,
    ToolCallStarted,
)
from core.broker import create_broker
from core.config import Settings, WorkerSettings
from core.errors import IdempotencyMismatch, LeaseLost, QueueFull, RunActive, RunAlreadyFinished
from core.gate import PoolGates
from core.identity import Principal

Result = TypeVar("Result")


@dataclass
class Hands:
    """An API process, and a worker and a reaper that do what the test says."""

    stack: Stack
    worker: ManualWorker
    reaper: Reaper

    async def accept(self, text: str = "hello", **members: Any) -> int:
        """Accept a run; returns its row id."""
        reply = await self.stack.post_run(text, **members)
        assert reply.status == 202, reply.body
        return (await self.stack.runs(reply.json["threadId"]))[-1]["id"]

    async def claimed(self, thread: str) -> ManualRun:
        """Accept a run on a thread and claim it."""
        run = await self.worker.claim(await self.accept(thread=thread))
        assert run is not None
        return run

    async def expire(self, run: ManualRun) -> None:
        """Let a run's lease have passed."""
        await self.set(run.owned.run_pk, "lease_until = clock_timestamp() - interval '1 second'")

    async def set(self, run_pk: int, assignment: str) -> None:
        await self.stack.fetch(f"UPDATE agent_run SET {assignment} WHERE id = $1", run_pk)  # noqa: S608

    async def status(self, run: ManualRun) -> str:
        rows = await self.stack.fetch("SELECT status FROM agent_run WHERE id = $1", run.owned.run_pk)
        return rows[0]["status"]

    async def reap(self) -> int:
        return await self.reaper.reap()


@pytest.fixture(scope="module")
async def hands(open_stack: OpenStack) -> AsyncIterator[Hands]:
    # No lease ends by itself: the reaper finds what the test at work made, and nothing that an earlier one left.
    lasting = {"lease_seconds": NEVER_SECONDS}
    async with (
        open_stack(workers=0, stream={"patrol_seconds": 0.05}, worker=lasting) as stack,
        manual_worker(stack.settings) as worker,
        manual_reaper(stack.settings) as reaper,
    ):
        yield Hands(stack, worker, reaper)


async def types(stack: Stack, thread: str) -> list[str]:
    return [row["type"] for row in await stack.log(thread)]


async def assert_whole(stack: Stack, thread: str) -> None:
    """Check a thread at rest: every run has one terminal event, last, and history is what clients hold."""
    log = await stack.log(thread)
    for _, rows in itertools.groupby(log, key=lambda row: row["ordinal"]):
        run = list(rows)
        assert [row["seq"] for row in run] == list(range(1, len(run) + 1))
        assert [row["type"] in ("RUN_FINISHED", "RUN_ERROR") for row in run].count(True) == 1
        assert run[0]["type"] == "RUN_STARTED"
        assert run[-1]["type"] in ("RUN_FINISHED", "RUN_ERROR")
        attempts = [row["attempt"] for row in run]
        assert attempts == sorted(attempts)
    assert_valid([orjson.loads(row["payload"]) for row in log])
    assert (await stack.history(thread))["messages"] == await client_view(stack, thread)


# --- one owner -----------------------------------------------------------------------------


async def test_any_number_of_hints_executes_a_run_once(open_stack: OpenStack) -> None:
    async with open_stack(workers=2) as stack, manual_worker(stack.settings) as manual:
        broker = create_broker(stack.settings.redis)
        await broker.startup()
        hints = HintSender(broker, manual.redis, stack.settings.redis)
        body = stack.run_body("hello many hints")
        await stack.post_run(body=body)
        (run,) = await stack.runs(body["threadId"])

        await asyncio.gather(*(hints.send(run["id"], run["task_id"]) for _ in range(20)))
        for worker in stack.workers:
            for _ in range(5):
                worker.worker.executor.start(run["id"])
        (run,) = await stack.ended(body["threadId"])

        assert (run["status"], run["attempt"]) == ("succeeded", 1)
        # Every hint has been looked at when both workers take one for a later run.
        after = await stack.stream_run("hello", thread=body["threadId"])
        assert after.end["outcome"] == {"type": "success"}
        assert len(stack.demo.asked("hello many hints")) == 1 + 1, "its own call, and in the history of one"
        await assert_whole(stack, body["threadId"])
        await broker.shutdown()


async def test_of_many_claims_at_once_one_succeeds(hands: Hands) -> None:
    run_pk = await hands.accept()

    claims = await asyncio.gather(*(hands.worker.claim(run_pk) for _ in range(20)))

    (run,) = [claim for claim in claims if claim is not None]
    assert run.owned.attempt == 1
    await run.finish()
    assert await hands.worker.claim(run_pk) is None


async def test_runs_that_are_claimed_together_are_claimed_as_each_alone(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    claim_many = Leases._claim_many

    async def counted(leases: Leases, run_pks: Sequence[int]) -> dict[int, Any]:
        batches.append(len(run_pks))
        return await claim_many(leases, run_pks)

    monkeypatch.setattr(Leases, "_claim_many", counted)
    worker = ManualWorker(hands.worker.settings, hands.worker.engine, hands.worker.redis, hands.worker.store)
    alone, first, second, locked, taken = [await hands.accept() for _ in range(5)]
    other = await hands.worker.claim(taken)
    assert other is not None
    one = await worker.claim(alone)

    async with hands.worker.engine.begin() as connection:
        await connection.execute(text("SELECT 1 FROM agent_run WHERE id = :pk FOR UPDATE"), {"pk": locked})
        waiting = asyncio.gather(*map(worker.claim, (first, first, locked, taken, second)))
        # Whoever holds one run holds up no other.
        await eventually(lambda: both_run(hands.stack, first, second))
        assert not waiting.done()
    claims = await waiting

    assert batches == [5]
    assert [claim is not None for claim in claims] == [True, False, True, False, True]
    runs = [one, *(claim for claim in claims if claim is not None)]
    for run in runs:
        assert run is not None
        assert run.owned.attempt == 1
        assert await hands.stack.fetch(
            """SELECT 1 FROM agent_run WHERE id = $1 AND status = 'running' AND worker_id = 'manual'
            AND lease_until > clock_timestamp() AND started_at IS NOT NULL AND deadline_at IS NOT NULL""",
            run.owned.run_pk,
        )
        await run.finish()
    await other.finish()


async def both_run(stack: Stack, *run_pks: int) -> bool:
    query = "SELECT id FROM agent_run WHERE status = 'running' AND id = ANY($1)"
    return len(await stack.fetch(query, list(run_pks))) == len(run_pks)


async def test_a_zombie_writes_nothing_after_its_run_went_to_another(hands: Hands) -> None:
    thread = hands.stack.new_id("zombie")
    zombie = await hands.claimed(thread)
    await zombie.start()
    await hands.expire(zombie)
    assert await hands.reap() == 1
    owner = await hands.worker.claim(zombie.owned.run_pk)
    assert owner is not None
    assert owner.owned.attempt == zombie.owned.attempt + 1
    await owner.say("true")
    # It knows exactly where the log stands: only its attempt betrays it.
    zombie.last_seq = owner.last_seq
    before = await hands.stack.log(thread)

    with pytest.raises(LeaseLost):
        await zombie.say("false", message_id="m-2")
    with pytest.raises(LeaseLost):
        await zombie.finish()
    async with hands.worker.engine.begin() as connection:
        await save_checkpoint(connection, zombie.owned, Checkpoint("0", StoredState('{"false": true}', b"")))

    assert await hands.stack.log(thread) == before
    assert await hands.stack.fetch("SELECT 1 FROM agent_state WHERE head LIKE '%false%'") == []
    await owner.finish()
    await assert_whole(hands.stack, thread)
    with pytest.raises(LeaseLost):
        await zombie.say("false", message_id="m-2")
    with pytest.raises(LeaseLost):
        await owner.finish()
    await assert_whole(hands.stack, thread)


async def test_of_two_attempts_in_one_flush_the_owners_events_are_written_alone(hands: Hands) -> None:
    thread = hands.stack.new_id("two-attempts")
    lost = await hands.claimed(thread)
    await hands.expire(lost)
    assert await hands.reap() == 1
    owner = await hands.worker.claim(lost.owned.run_pk)
    assert owner is not None
    places = [
        AppendBatch(run.owned.run_pk, run.owned.session_id, run.owned.ordinal, run.owned.attempt, 0, *events)
        for run, events in (
            (lost, (["TEXT_MESSAGE_CONTENT"], ['{"false":1}'])),
            (owner, (["RUN_STARTED"], ['{"true":1}'])),
        )
    ]

    results = await hands.worker.store.append(places)

    assert list(results) == [owner.owned.claim]
    assert await hands.worker.store.owned_seqs([lost.owned.claim, owner.owned.claim]) == {
        owner.owned.claim: 1
    }
    assert [(row["attempt"], row["payload"]) for row in await hands.stack.log(thread)] == [(2, '{"true":1}')]
    rows = await hands.stack.fetch("SELECT first_token_at FROM agent_run WHERE id = $1", owner.owned.run_pk)
    assert rows[0]["first_token_at"] is None
    owner.last_seq = 1
    owner._state.started = True
    await owner.finish()


async def test_a_lost_attempt_hears_of_it_beside_the_next_one_in_its_process(hands: Hands) -> None:
    lost = await hands.claimed(hands.stack.new_id("watched-twice"))
    told: dict[int, asyncio.Future[str]] = {}
    heartbeat = Heartbeat(hands.stack.settings)
    loop = heartbeat._loop = asyncio.get_running_loop()

    def watch(run: ManualRun) -> None:
        answer = told[run.owned.attempt] = loop.create_future()
        heartbeat.watch(run.owned, answer.set_result)

    await hands.expire(lost)
    assert await hands.reap() == 1
    owner = await hands.worker.claim(lost.owned.run_pk)
    assert owner is not None
    watch(lost)
    watch(owner)
    connection = await asyncpg.connect(hands.stack.settings.database.url.get_secret_value())
    try:
        await heartbeat._beat(connection)
    finally:
        await connection.close()

    async with asyncio.timeout(HUNG_SECONDS):
        assert await told[1] == "lost"
    assert not told[2].done()
    await owner.finish()


async def test_a_worker_that_was_fenced_in_mid_text_stops_and_writes_nothing_more(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        body = stack.run_body("slowly")
        thread = body["threadId"]
        async with stack.open_run(body=body) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            # Another owner, as after a pause longer than the lease.
            await stack.fetch("UPDATE agent_run SET attempt = attempt + 1 WHERE status = 'running'")
            rows = await stack.log(thread)

            async def idle() -> bool:
                return not stack.workers[0].worker.executor._tasks

            await eventually(idle)
        log = await stack.log(thread)
        # A flush may have been on its way when the fence came; nothing of the run's end ever is.
        assert log[: len(rows)] == rows
        assert {row["attempt"] for row in log} == {1}
        assert not {"TEXT_MESSAGE_END", "STEP_FINISHED", "RUN_FINISHED", "RUN_ERROR"} & {
            row["type"] for row in log[len(rows) :]
        }
        (run,) = await stack.runs(thread)
        assert run["status"] == "running"


# --- lost workers ---------------------------------------------------------------------------


async def test_a_lost_run_that_showed_nothing_is_executed_by_another_worker(open_stack: OpenStack) -> None:
    async with (
        open_stack(workers=0) as stack,
        manual_worker(stack.settings) as worker,
        manual_reaper(stack.settings) as reaper,
    ):
        body = stack.run_body("hello")
        thread = body["threadId"]
        async with stack.open_run(body=body) as stream:
            lost = await worker.claim((await stack.runs(thread))[0]["id"])
            assert lost is not None
            await lost.start()
            await stream.until("RUN_STARTED")
            await stack.fetch("UPDATE agent_run SET lease_until = clock_timestamp() - interval '1 second'")
            assert await reaper.reap() == 1
            (run,) = await stack.runs(thread)
            assert (run["status"], run["attempt"], run["worker_id"]) == ("queued", 1, None)

            await stack.start_worker()
            events = await stream.to_end()

        assert events[-1]["outcome"] == {"type": "success"}
        (run,) = await stack.runs(thread)
        assert (run["status"], run["attempt"]) == ("succeeded", 2)
        assert [row["attempt"] for row in await stack.log(thread)] == [1] + [2] * (len(events) - 1)
        await assert_whole(stack, thread)


async def test_a_run_that_kills_its_workers_is_not_tried_for_ever(hands: Hands) -> None:
    thread = hands.stack.new_id("poison")
    run = await hands.claimed(thread)
    for _ in range(hands.stack.settings.worker.max_attempts - 1):
        await hands.expire(run)
        assert await hands.reap() == 1
        again = await hands.worker.claim(run.owned.run_pk)
        assert again is not None
        run = again
    await hands.expire(run)
    assert await hands.reap() == 1

    assert await types(hands.stack, thread) == ["RUN_STARTED", "RUN_ERROR"]
    assert orjson.loads((await hands.stack.log(thread))[-1]["payload"])["code"] == "worker-lost"
    await assert_whole(hands.stack, thread)


async def test_a_lost_run_that_showed_something_ends_with_all_it_opened_closed(hands: Hands) -> None:
    thread = hands.stack.new_id("lost")
    run = await hands.claimed(thread)
    await run.start()
    await run.write(
        StepStarted(name="execution"),
        ReasoningDelta(message_id="r-1", delta="I wonder"),
        TextDelta(message_id="m-1", delta="The answer is "),
        TextDelta(message_id="m-1", delta="fort"),
        ToolCallStarted(tool_call_id="c-1", name="calculate", parent_message_id="m-1"),
        ToolCallArguments(tool_call_id="c-1", delta='{"expression": "6*'),
    )
    async with hands.stack.open_events(thread, run.claimed.run_id) as reader:
        await reader.until("TOOL_CALL_ARGS")
        await hands.expire(run)
        assert await hands.reap() == 1
        events = await reader.to_end()

    closing = [event["type"] for event in events[10:]]
    assert sorted(closing[:-1]) == sorted(
        [
            "REASONING_MESSAGE_END",
            "REASONING_END",
            "TOOL_CALL_ARGS",
            "TOOL_CALL_END",
            "TEXT_MESSAGE_END",
            "STEP_FINISHED",
        ]
    )
    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "worker-lost")
    messages = (await hands.stack.history(thread))["messages"]
    (answer,) = [message for message in messages if message["id"] == "m-1"]
    assert answer["content"] == "The answer is fort"
    assert answer["metadata"]["incomplete"] is True
    assert orjson.loads(answer["toolCalls"][0]["function"]["arguments"])["expression"] == "6*"
    assert await hands.status(run) == "failed"
    await assert_whole(hands.stack, thread)
    with pytest.raises(LeaseLost):
        await run.say("too late")


async def test_reapers_at_once_end_a_run_once(hands: Hands) -> None:
    runs = [await hands.claimed(hands.stack.new_id("contested")) for _ in range(5)]
    for run in runs:
        await run.start()
        await run.say("shown")
        await hands.expire(run)

    async with (
        manual_reaper(hands.stack.settings) as second,
        manual_reaper(hands.stack.settings) as third,
    ):
        touched = await asyncio.gather(hands.reap(), second.reap(), third.reap(), hands.reap())

    assert sum(touched) == len(runs)
    for run in runs:
        assert await hands.status(run) == "failed"
        await assert_whole(hands.stack, run.claimed.thread_id)


async def test_a_reaper_and_the_worker_it_takes_for_dead_end_the_run_once(hands: Hands) -> None:
    runs = [await hands.claimed(hands.stack.new_id("alive-after-all")) for _ in range(8)]
    for run in runs:
        await run.start()
        await run.say("shown")
        await hands.expire(run)

    ends = await asyncio.gather(hands.reap(), *(run.finish() for run in runs), return_exceptions=True)

    assert {type(end) for end in ends[1:]} <= {type(None), LeaseLost}
    finished = sum(end is None for end in ends[1:])
    assert ends[0] == len(runs) - finished
    for run in runs:
        await assert_whole(hands.stack, run.claimed.thread_id)


async def test_a_live_lease_is_left_alone(hands: Hands) -> None:
    run = await hands.claimed(hands.stack.new_id("alive"))
    await run.start()

    assert await hands.reap() == 0
    assert await hands.status(run) == "running"
    await run.finish()


async def test_the_runs_of_a_dead_process_do_not_wait_for_their_leases_and_those_of_others_are_left_alone(
    hands: Hands,
) -> None:
    shown, pristine, tried, other = [
        await hands.claimed(hands.stack.new_id(name)) for name in ("shown", "pristine", "tried", "other")
    ]
    await shown.start()
    await shown.say("the answer is ")
    await pristine.start()
    await hands.set(tried.owned.run_pk, "attempt = 2")
    dead = "host-that-was-killed"
    for run in (shown, pristine, tried):
        await hands.set(run.owned.run_pk, f"worker_id = '{dead}', lease_until = now() + interval '1 day'")

    assert [await hands.reaper.repair_dead(dead) for _ in range(2)] == [3, 0]

    assert [await hands.status(run) for run in (shown, pristine, tried, other)] == [
        "failed",
        "queued",
        "failed",
        "running",
    ]
    assert (
        orjson.loads((await hands.stack.log(shown.claimed.thread_id))[-1]["payload"])["code"] == "worker-lost"
    )
    await assert_whole(hands.stack, shown.claimed.thread_id)
    with pytest.raises(LeaseLost):
        await shown.say("too late")
    again = await hands.worker.claim(pristine.owned.run_pk)
    assert again is not None
    for run in (again, other):
        await run.finish()


async def test_a_row_that_a_last_statement_of_a_dead_process_locks_is_repaired_after_it(hands: Hands) -> None:
    run = await hands.claimed(hands.stack.new_id("locked"))
    dead = "host-with-a-last-statement"
    await hands.set(run.owned.run_pk, f"worker_id = '{dead}'")
    async with hands.worker.engine.begin() as last:
        await last.execute(
            text("SELECT 1 FROM agent_run WHERE id = :pk FOR UPDATE"), {"pk": run.owned.run_pk}
        )
        assert await hands.reaper.repair_dead(dead) == 1
        assert await hands.status(run) == "running"

    assert [await hands.reaper.repair_dead(dead) for _ in range(2)] == [1, 0]
    again = await hands.worker.claim(run.owned.run_pk)
    assert again is not None
    await again.finish()


async def test_a_run_whose_log_cannot_be_read_is_ended_all_the_same_and_keeps_no_other_from_it(
    hands: Hands,
) -> None:
    broken = await hands.claimed(hands.stack.new_id("broken"))
    lost = await hands.claimed(hands.stack.new_id("behind-it"))
    for run in (broken, lost):
        await run.start()
        await run.say("shown")
    await hands.stack.fetch(
        "UPDATE agent_run_event SET payload = 'no JSON' WHERE session_id = $1 AND seq > 1",
        broken.owned.session_id,
    )
    await hands.expire(broken)
    await hands.expire(lost)

    assert await hands.reap() == 2

    assert [await hands.status(run) for run in (lost, broken)] == ["failed", "failed"]
    assert await types(hands.stack, broken.claimed.thread_id) == [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "RUN_ERROR",
    ]
    assert await hands.accept("the thread goes on", thread=broken.claimed.thread_id)


# --- keeping a lease -------------------------------------------------------------------------


async def test_an_append_renews_the_lease(hands: Hands) -> None:
    run = await hands.claimed(hands.stack.new_id("renewed"))
    await run.start()
    await hands.expire(run)
    await run.say("alive")

    assert await hands.reap() == 0
    assert await hands.status(run) == "running"
    await run.finish()


async def test_a_blocked_event_loop_does_not_look_like_a_dead_worker(open_stack: OpenStack) -> None:
    async with open_stack(worker={"lease_seconds": 9}) as stack:
        body = stack.run_body("fail hang")
        thread = body["threadId"]
        url = stack.settings.database.url.get_secret_value()
        async with stack.open_run(body=body) as stream:
            # Once the model has heard: an unread request would meet the end of its connection's idle time.
            await eventually(lambda: _true(len(stack.demo.asked(body["messages"][0]["content"])) >= 1))
            # Nothing in this process but the heartbeat's thread goes on, and whoever watches the lease.
            watching = threading.Thread(target=lambda: asyncio.run(renewed(url, thread, times=2)))
            watching.start()
            watching.join(HUNG_SECONDS)
            assert not watching.is_alive(), "the lease was not renewed"
            await stack.cancel(thread, body["runId"])
            assert (await stream.to_end())[-1]["outcome"] == {"type": "cancelled"}


async def renewed(url: str, thread: str, *, times: int) -> None:
    """Wait until the lease of a thread's run was renewed so many times."""
    connection = await asyncpg.connect(url)
    try:
        seen: set[Any] = set()
        while len(seen) <= times:
            until = await connection.fetchval(
                """SELECT r.lease_until FROM agent_run AS r
                JOIN agent_chat_session AS s ON s.id = r.session_id WHERE s.thread_id = $1""",
                thread,
            )
            seen.add(until)
            await asyncio.sleep(0.05)
    finally:
        await connection.close()


async def test_without_redis_and_between_two_appends_the_heartbeat_sees_a_cancel(
    open_stack: OpenStack,
) -> None:
    async with open_stack(
        redis_url="redis://127.0.0.1:1/0",
        worker={"lease_seconds": 9, "hint_after_seconds": 0.1},
        stream={"patrol_seconds": 0.05},
    ) as stack:
        body = stack.run_body("fail hang")
        async with stack.open_run(body=body) as stream:
            await stream.until("STEP_STARTED", stepName="execution")
            reply = await stack.cancel(body["threadId"], body["runId"])
            assert reply.json["status"] == "running"
            assert (await stream.to_end())[-1]["outcome"] == {"type": "cancelled"}


# --- a reaper's rest ------------------------------------------------------------------------


async def test_a_reaper_rests_after_its_start_and_after_a_failed_contact(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases cannot be renewed during an outage: right after one, every live run looks dead."""
    lease = 1.5
    own = hands.stack.settings.model_copy(
        update={
            "worker": hands.stack.settings.worker.model_copy(
                update={"lease_seconds": lease, "reap_seconds": 0.01}
            )
        }
    )
    monkeypatch.setattr(reaper_module, "PICKUP_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    reaped_at: list[float] = []
    failed_at: list[float] = []
    reaped = asyncio.Event()

    class Watched(Reaper):
        async def pick_up(self) -> int:
            if reaped_at and not failed_at:
                failed_at.append(loop.time())
                reaped.clear()
                raise AWAY
            return 0

        async def reap(self) -> int:
            reaped_at.append(loop.time())
            reaped.set()
            return 0

    hints = HintSender(create_broker(own.redis), hands.worker.redis, own.redis)
    reaper = Watched(hands.worker.engine, hints, hands.worker.bus, own, start_run=lambda *_run: False)
    started_at = loop.time()
    running = asyncio.create_task(reaper.run())
    async with asyncio.timeout(HUNG_SECONDS):
        await reaped.wait()
        assert reaped_at[0] - started_at >= lease / 3

        async def failed() -> bool:
            return bool(failed_at)

        await eventually(failed)
        await reaped.wait()
    running.cancel()
    await asyncio.wait({running})
    assert min(at for at in reaped_at if at > failed_at[0]) - failed_at[0] >= lease


# --- deadlines ------------------------------------------------------------------------------


async def test_a_run_that_no_worker_takes_in_time_ends_so(hands: Hands) -> None:
    thread = hands.stack.new_id("unwanted")
    body = hands.stack.run_body("hello", thread=thread)
    async with hands.stack.open_run(body=body) as stream:
        (run,) = await hands.stack.runs(thread)
        assert await hands.reap() == 0
        await hands.set(run["id"], "queue_deadline_at = clock_timestamp()")
        assert await hands.reap() == 1
        events = await stream.to_end()

    assert [event["type"] for event in events] == ["RUN_STARTED", "RUN_ERROR"]
    assert events[-1]["code"] == "queue-timeout"
    assert await hands.worker.claim(run["id"]) is None
    assert (await hands.stack.history(thread))["messages"] == body["messages"]
    await assert_whole(hands.stack, thread)


async def test_a_run_past_its_time_is_stopped_by_its_worker(open_stack: OpenStack) -> None:
    async with open_stack(limits={"run_seconds": 0.5}) as stack:
        # Wherever it is then, on a slow machine before its first word.
        reply = await stack.stream_run("fail hang")

        assert (reply.end["type"], reply.end["code"]) == ("RUN_ERROR", "run-timeout")
        await assert_whole(stack, reply.events[0]["threadId"])


async def test_what_a_run_showed_until_its_time_was_over_is_kept(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        body = stack.run_body("slowly")
        async with stack.open_run(body=body) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            [stop] = stack.workers[0].worker.executor._stops.values()
            stop.set("deadline")
            events = await stream.to_end()

        assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "run-timeout")
        messages = (await stack.history(body["threadId"]))["messages"]
        assert messages[-1]["metadata"]["incomplete"] is True
        await assert_whole(stack, body["threadId"])


async def test_a_run_far_past_its_time_is_ended_over_its_workers_head(hands: Hands) -> None:
    thread = hands.stack.new_id("overtime")
    run = await hands.claimed(thread)
    await run.start()
    await run.say("still going")
    await hands.set(run.owned.run_pk, "deadline_at = clock_timestamp() - interval '29 seconds'")
    assert await hands.reap() == 0
    await hands.set(run.owned.run_pk, "deadline_at = clock_timestamp() - interval '31 seconds'")
    assert await hands.reap() == 1

    assert orjson.loads((await hands.stack.log(thread))[-1]["payload"])["code"] == "run-timeout"
    with pytest.raises(LeaseLost):
        await run.say("and going")
    await assert_whole(hands.stack, thread)


# --- hints ----------------------------------------------------------------------------------


async def test_a_lost_hint_is_repaired(open_stack: OpenStack) -> None:
    async with open_stack(apis=0, worker={"hint_after_seconds": 0.1}) as stack:
        # An API whose hints go where nobody listens.
        await stack.start_api(redis={"key_prefix": "nowhere"}, stream={"patrol_seconds": 0.1})
        reply = await stack.stream_run("hello")

        assert reply.end["outcome"] == {"type": "success"}


def test_a_worker_looks_for_runs_without_a_hint_well_within_seven_seconds() -> None:
    """The promise, in the figures that ship; ``bench/recovery.py`` measures it."""
    shipped = WorkerSettings()

    assert shipped.hint_after_seconds + reaper_module.PICKUP_SECONDS <= 3.5


# --- shutdown -------------------------------------------------------------------------------


async def test_a_run_gets_the_grace_to_end_by_itself(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        body = stack.run_body("hello there")
        async with stack.open_run(body=body) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            await stack.stop_worker(stack.workers[0], grace_seconds=10)
            events = await stream.to_end()

        assert events[-1]["outcome"] == {"type": "success"}


async def test_a_run_that_shows_something_ends_with_its_worker(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        body = stack.run_body("slowly")
        async with stack.open_run(body=body) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            await stack.stop_worker(stack.workers[0])
            events = await stream.to_end()

        assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "worker-shutdown")
        messages = (await stack.history(body["threadId"]))["messages"]
        assert messages[-1]["metadata"]["incomplete"] is True
        await assert_whole(stack, body["threadId"])


@asynccontextmanager
async def locked(stack: Stack, table: str, row_id: int) -> AsyncIterator[asyncpg.Connection]:
    """Hold a row's lock, so that whoever wants it stands still; given back at the end."""
    connection = await asyncpg.connect(stack.settings.database.url.get_secret_value())
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT 1 FROM {table} WHERE id = $1 FOR UPDATE", row_id)  # noqa: S608
            yield connection
    finally:
        await connection.close()


async def waits_for_lock(stack: Stack) -> bool:
    rows = await stack.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(rows)


async def test_a_run_that_showed_nothing_goes_back_to_the_queue_with_its_worker(
    open_stack: OpenStack,
) -> None:
    async with open_stack(workers=0) as stack:
        body = stack.run_body("hello")
        thread = body["threadId"]
        await stack.post_run(body=body)
        (run,) = await stack.runs(thread)
        async with locked(stack, "agent_run", run["id"]):
            # Its claim is under way when the worker is told to stop.
            worker = await stack.start_worker()
            await eventually(lambda: waits_for_lock(stack))
            stopping = asyncio.create_task(stack.stop_worker(worker))
            await eventually(lambda: _true(worker.worker.executor._draining))
        async with asyncio.timeout(HUNG_SECONDS):
            await stopping
        (run,) = await stack.runs(thread)
        assert (run["status"], run["attempt"], run["worker_id"]) == ("queued", 1, None)
        assert [row["type"] for row in await stack.log(thread)] in ([], ["RUN_STARTED"])

        await stack.start_worker()
        (run,) = await stack.ended(thread)
        # The attempt that was given back is no try, and its number is not given again: it is the fence.
        assert (run["status"], run["attempt"], run["released"]) == ("succeeded", 2, 1)
        await assert_whole(stack, thread)


async def test_a_run_that_was_given_back_has_all_its_tries(hands: Hands) -> None:
    run = await hands.claimed(hands.stack.new_id("given-back"))
    for _ in range(3):
        await hands.set(run.owned.run_pk, "status = 'queued', lease_until = NULL, released = released + 1")
        again = await hands.worker.claim(run.owned.run_pk)
        assert again is not None
        assert again.owned.attempt == run.owned.attempt + 1
        run = again
    await hands.expire(run)
    assert await hands.reap() == 1
    assert await hands.status(run) == "queued"
    last = await hands.worker.claim(run.owned.run_pk)
    assert last is not None
    await last.finish()


async def _true(value: object) -> bool:
    return bool(value)


async def test_a_run_whose_memory_is_asked_for_while_postgres_restarts_ends_as_ever(
    open_stack: OpenStack,
) -> None:
    async with open_stack(workers=0) as stack:
        body = stack.run_body("hello")
        await stack.post_run(body=body)
        connection = await asyncpg.connect(stack.settings.database.url.get_secret_value())
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE agent_state IN ACCESS EXCLUSIVE MODE")
                await stack.start_worker()
                await eventually(lambda: waits_for_lock(stack))
                # What a restart does to a worker: its connections break in the middle of what they do.
                cut = await connection.fetch(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'"""
                )
                assert cut
        finally:
            await connection.close()
        (run,) = await stack.ended(body["threadId"])

        assert (run["status"], run["attempt"]) == ("succeeded", 1)
        await assert_whole(stack, body["threadId"])


# --- cancel, where it meets others ------------------------------------------------------------


async def test_a_cancel_that_meets_the_runs_promotion_is_not_lost(hands: Hands) -> None:
    stack, thread = hands.stack, hands.stack.new_id("promoted")
    first = await hands.claimed(thread)
    waiting = await hands.accept(thread=thread, run="second", forwardedProps={"onBusy": "enqueue"})
    async with locked(stack, "agent_run", waiting) as other:
        cancelling = asyncio.create_task(stack.cancel(thread, "second"))
        await eventually(lambda: waits_for_lock(stack))
        # Its turn comes in the very moment of the cancel.
        await other.execute(
            "UPDATE agent_run SET status = 'failed', ended_at = now(), lease_until = NULL WHERE id = $1",
            first.owned.run_pk,
        )
        await other.execute("UPDATE agent_run SET status = 'queued', ordinal = 2 WHERE id = $1", waiting)
        await other.execute("UPDATE agent_chat_session SET last_ordinal = 2 WHERE thread_id = $1", thread)
    assert (await cancelling).status == 202

    run = next(row for row in await stack.runs(thread) if row["id"] == waiting)
    assert run["status"] == "cancelled" or run["cancel_requested_at"] is not None


async def test_a_cancelled_run_whose_worker_was_lost_before_it_showed_anything_ends_cancelled(
    open_stack: OpenStack,
) -> None:
    async with (
        open_stack(workers=0) as stack,
        manual_worker(stack.settings) as worker,
        manual_reaper(stack.settings) as reaper,
    ):
        body = stack.run_body("hello to nobody")
        thread, run = body["threadId"], body["runId"]
        await stack.post_run(body=body)
        lost = await worker.claim((await stack.runs(thread))[0]["id"])
        assert lost is not None
        assert (await stack.cancel(thread, run)).json["status"] == "running"
        await stack.fetch("UPDATE agent_run SET lease_until = clock_timestamp() - interval '1 second'")
        assert await reaper.reap() == 1
        await stack.start_worker()
        (row,) = await stack.ended(thread)

        assert row["status"] == "cancelled"
        await assert_whole(stack, thread)


# --- limits -----------------------------------------------------------------------------------


async def test_a_full_queue_refuses_runs_until_there_is_room(open_stack: OpenStack) -> None:
    async with open_stack(workers=0, limits={"max_queued_runs": 2, "tenant_queue_share": 1}) as stack:
        bodies = [stack.run_body("hello") for _ in range(3)]
        for body in bodies[:2]:
            assert (await stack.post_run(body=body)).status == 202
        refused = await stack.post_run(body=bodies[2])

        refused.problem(503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        # A repeat is no new run.
        assert (await stack.post_run(body=bodies[0])).status == 202
        await stack.start_worker()
        await stack.ended(bodies[0]["threadId"])
        await stack.ended(bodies[1]["threadId"])
        assert (await stack.post_run(body=bodies[2])).status == 202


async def test_a_queue_that_does_not_move_refuses_runs(open_stack: OpenStack) -> None:
    async with open_stack(workers=0, limits={"max_queue_age_seconds": 60}) as stack:
        await stack.post_run("hello")
        assert (await stack.post_run("hello")).status == 202
        await stack.fetch(
            "UPDATE agent_run SET queue_deadline_at = queue_deadline_at - interval '61 seconds'"
        )

        (await stack.post_run("hello")).problem(503, "overloaded")


async def test_a_run_that_waited_long_behind_another_does_not_refuse_everybody(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as stack, manual_worker(stack.settings) as worker:
        await stack.post_run("hello", thread="long")
        run = await worker.claim((await stack.runs("long"))[0]["id"])
        assert run is not None
        await run.start()
        await stack.post_run("more", thread="long", forwardedProps={"onBusy": "enqueue"})
        await stack.fetch(
            """UPDATE agent_run SET created_at = created_at - interval '10 minutes',
            queue_deadline_at = queue_deadline_at - interval '10 minutes' WHERE status = 'waiting'"""
        )
        await run.finish()

        assert [row["status"] for row in await stack.runs("long")] == ["succeeded", "queued"]
        assert (await stack.post_run("hello", user="eve")).status == 202


async def test_a_run_whose_input_cannot_be_read_is_not_kept_alive(open_stack: OpenStack) -> None:
    async with open_stack(
        worker={"lease_seconds": 1, "reap_seconds": 0.2, "hint_after_seconds": 0.2}
    ) as stack:
        await stack.stop_worker(stack.workers[0])
        body = stack.run_body("hello")
        await stack.post_run(body=body)
        await stack.fetch("UPDATE agent_run SET input = '{\"messages\": 7}'")
        await stack.start_worker()

        [run] = await stack.ended(body["threadId"])
        assert (run["status"], run["error_code"], run["attempt"]) == ("failed", "worker-lost", 2)


async def test_one_user_cannot_take_all_places(open_stack: OpenStack) -> None:
    async with open_stack(workers=0, limits={"max_runs_per_user": 2}) as stack:
        body = stack.run_body("hello")
        await stack.post_run(body=body)
        await stack.post_run("hello")

        refused = await stack.stream_run("hello")
        refused.problem(429, "rate-limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await stack.post_run("hello", user="eve")).status == 202
        await stack.cancel(body["threadId"], body["runId"])
        assert (await stack.post_run("hello")).status == 202


async def test_a_worker_takes_no_more_runs_than_it_may(open_stack: OpenStack) -> None:
    async with open_stack(worker={"concurrency": 2, "user_share": 1, "hint_after_seconds": 0.1}) as stack:
        bodies = [stack.run_body("fail hang") for _ in range(3)]
        for body in bodies:
            await stack.post_run(body=body)

        async def running() -> bool:
            rows = await stack.fetch("SELECT 1 FROM agent_run WHERE status = 'running'")
            return len(rows) == 2

        await eventually(running)
        assert len(await stack.fetch("SELECT 1 FROM agent_run WHERE status = 'queued'")) == 1
        for body in bodies:
            await stack.cancel(body["threadId"], body["runId"])
        for body in bodies:
            await stack.ended(body["threadId"])
        assert (await stack.stream_run("hello")).end["outcome"] == {"type": "success"}


async def test_runs_that_hang_leave_room_for_another_user(open_stack: OpenStack) -> None:
    async with open_stack(worker={"concurrency": 4, "hint_after_seconds": 0.1}) as stack:
        bodies = [stack.run_body("fail hang") for _ in range(10)]
        for body in bodies:
            await stack.post_run(body=body)

        async def running() -> bool:
            rows = await stack.fetch("SELECT 1 FROM agent_run WHERE status = 'running'")
            return len(rows) == 3

        await eventually(running)
        assert (await stack.stream_run("hello", user="eve")).end["outcome"] == {"type": "success"}
        # Even without a hint: the oldest run of each user is looked at first.
        assert await running()
        for body in bodies:
            await stack.cancel(body["threadId"], body["runId"])
        for body in bodies:
            await stack.ended(body["threadId"])


async def test_without_hints_the_oldest_run_of_each_user_is_started_first(hands: Hands) -> None:
    await hands.stack.fetch("UPDATE agent_run SET next_hint_at = 'infinity' WHERE status = 'queued'")
    mine = [await hands.accept() for _ in range(5)]
    reply = await hands.stack.post_run("hello", user="eve")
    (hers,) = await hands.stack.runs(reply.json["threadId"])
    await hands.stack.fetch(
        "UPDATE agent_run SET next_hint_at = now() WHERE id = ANY($1::bigint[])", [*mine, hers["id"]]
    )
    started: list[tuple[int, str]] = []

    def start(run_pk: int, principal: Principal) -> bool:
        started.append((run_pk, principal.user_id))
        return True

    first = Reaper(
        hands.worker.engine, hands.reaper._hints, hands.worker.bus, hands.stack.settings, start_run=start
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reaper_module, "BATCH", 2)
        await first.pick_up()

    assert sorted(started) == [(mine[0], "ada"), (hers["id"], "eve")]


# --- any order of things ------------------------------------------------------------------------


@dataclass
class Parts:
    """The real parts, on an event loop of their own."""

    portal: BlockingPortal
    worker: ManualWorker
    gateway: AgentRunGateway
    reaper: Reaper
    users: Iterator[int] = field(default_factory=itertools.count)

    def run(self, function: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
        return self.portal.call(function, *arguments)


@dataclass
class ModelRun:
    """What a run should be."""

    pk: int
    run_id: str
    thread: ModelThread
    status: str
    front: bool = False
    ordinal: int | None = None
    attempt: int = 0
    seq: int = 0
    cancel_requested: bool = False
    expired: bool = False

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "cancelled", "failed")

    def end(self, status: str, events: int) -> None:
        """End, by so many events besides a missing ``RUN_STARTED``; the next run's turn comes."""
        self.seq += events + (self.seq == 0)
        self.status = status
        self.thread.promote()

    def stop(self) -> None:
        """What a cancel does."""
        if self.status == "queued":
            self.end("cancelled", 1)
        elif not self.ended:
            self.cancel_requested = True


@dataclass
class ModelThread:
    """What a thread should be."""

    thread_id: str
    runs: list[ModelRun] = field(default_factory=list)
    last_ordinal: int = 0

    @property
    def live(self) -> ModelRun | None:
        return next((run for run in self.runs if run.status in ("queued", "running")), None)

    @property
    def waiting(self) -> list[ModelRun]:
        waiting = [run for run in self.runs if run.status == "waiting"]
        return sorted(waiting, key=lambda run: (not run.front, run.pk))

    def queue(self, run: ModelRun) -> None:
        self.last_ordinal += 1
        run.status, run.ordinal = "queued", self.last_ordinal

    def promote(self) -> None:
        while self.live is None and self.waiting:
            run = self.waiting[0]
            self.queue(run)
            if run.cancel_requested:
                run.status, run.seq = "cancelled", 2


@dataclass
class Claim:
    """A claimed run and whether its message is open."""

    run: ModelRun
    manual: ManualRun
    message_open: bool = False

    @property
    def holds(self) -> bool:
        return self.run.status == "running" and self.run.attempt == self.manual.owned.attempt


MAX_ATTEMPTS = 2
MAX_WAITING = 8

_STATE = """
SELECT r.id, r.status, r.ordinal, r.attempt, r.last_seq, r.cancel_requested_at IS NOT NULL AS cancel_requested,
       count(e.seq) AS events, coalesce(max(e.seq), 0) AS top,
       count(*) FILTER (WHERE e.type IN ('RUN_FINISHED', 'RUN_ERROR')) AS terminals,
       count(*) FILTER (WHERE e.type = 'RUN_STARTED') AS starts,
       coalesce(bool_or(e.attempt > r.attempt), false) AS from_the_future
FROM agent_run AS r LEFT JOIN agent_run_event AS e ON e.session_id = r.session_id AND e.ordinal = r.ordinal
WHERE r.user_id = $1 GROUP BY r.id ORDER BY r.id
"""


class Ownership(RuleBasedStateMachine):
    """Requests, workers and reapers in any order over a real database, against a model of plain objects."""

    parts: ClassVar[Parts]

    runs: Bundle[ModelRun] = Bundle("runs")
    claims: Bundle[Claim] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.principal = Principal("machine", f"user-{next(self.parts.users)}")
        self.threads = [ModelThread(f"thread-{place}") for place in range(2)]
        self.ids = itertools.count(1)

    @rule(target=runs, place=st.integers(0, 1), on_busy=st.sampled_from(["reject", "enqueue", "supersede"]))
    def accept(self, place: int, on_busy: str) -> Any:
        thread, number = self.threads[place], next(self.ids)
        live, waits = thread.live, thread.waiting
        if live and (on_busy == "reject" or sum(not run.cancel_requested for run in waits) >= MAX_WAITING):
            with pytest.raises((RunActive, QueueFull)):
                self._accept(thread, number, on_busy)
            return multiple()
        pk = self._accept(thread, number, on_busy)
        run = ModelRun(
            pk, f"run-{number}", thread, "waiting", front=live is not None and on_busy == "supersede"
        )
        thread.runs.append(run)
        if live is None:
            thread.queue(run)
        elif run.front:
            live.stop()
        return run

    @rule(run=runs)
    def repeat_the_request(self, run: ModelRun) -> None:
        place = self.threads.index(run.thread)
        number = int(run.run_id.removeprefix("run-"))
        for on_busy in ("reject", "enqueue", "supersede"):
            try:
                assert self._accept(self.threads[place], number, on_busy) == run.pk
            except IdempotencyMismatch:
                continue

    @rule(target=claims, run=runs)
    def claim(self, run: ModelRun) -> Any:
        manual = self.parts.run(self.parts.worker.claim, run.pk)
        if run.status != "queued" or run.attempt >= MAX_ATTEMPTS:
            assert manual is None
            return multiple()
        assert manual is not None
        run.status, run.expired = "running", False
        run.attempt += 1
        assert manual.owned.attempt == run.attempt
        return Claim(run, manual)

    @rule(claim=claims, words=st.integers(0, 3))
    def append(self, claim: Claim, words: int) -> None:
        run = claim.run
        if not claim.holds:
            with pytest.raises(LeaseLost):
                self.parts.run(claim.manual.say, "late")
            return
        if not words and run.seq:
            return
        self.parts.run(claim.manual.start) if not words else self.parts.run(
            claim.manual.say, *["word"] * words
        )
        run.seq += (run.seq == 0) + (words > 0 and not claim.message_open) + words
        run.expired = False
        claim.message_open = claim.message_open or words > 0

    @rule(claim=claims)
    def finish(self, claim: Claim) -> None:
        if not claim.holds:
            with pytest.raises(LeaseLost):
                self.parts.run(claim.manual.finish)
            return
        self.parts.run(claim.manual.finish)
        claim.run.end("succeeded", 1 + claim.message_open)

    @rule(run=runs)
    def cancel(self, run: ModelRun) -> None:
        if run.status in ("succeeded", "failed"):
            with pytest.raises(RunAlreadyFinished):
                self._cancel(run)
            return
        run.stop()
        self._cancel(run)

    @rule(run=runs)
    def lose_the_worker(self, run: ModelRun) -> None:
        if run.status == "running":
            self.parts.run(
                self._execute,
                "UPDATE agent_run SET lease_until = now() - interval '1 s' WHERE id = $1",
                run.pk,
            )
            run.expired = True

    @rule(reapers=st.integers(1, 3))
    def reap(self, reapers: int) -> None:
        async def at_once() -> None:
            await asyncio.gather(*(self.parts.reaper.reap() for _ in range(reapers)))

        self.parts.run(at_once)
        for thread in self.threads:
            run = thread.live
            if run is None or not run.expired:
                continue
            run.expired = False
            if run.seq <= 1 and run.attempt < MAX_ATTEMPTS:
                run.status = "queued"
            else:
                # The message that was open is closed.
                run.end("failed", 1 + (run.seq > 1))

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        rows = self.parts.run(self._fetch, _STATE, self.principal.user_id)
        runs = sorted((run for thread in self.threads for run in thread.runs), key=lambda run: run.pk)
        assert [
            (
                row["id"],
                row["status"],
                row["ordinal"],
                row["attempt"],
                row["last_seq"],
                row["cancel_requested"],
            )
            for row in rows
        ] == [(run.pk, run.status, run.ordinal, run.attempt, run.seq, run.cancel_requested) for run in runs]
        for row, run in zip(rows, runs, strict=True):
            assert row["events"] == row["top"] == run.seq
            assert row["terminals"] == int(run.ended)
            assert row["starts"] == int(run.seq > 0)
            assert not row["from_the_future"]

    def _accept(self, thread: ModelThread, number: int, on_busy: str) -> int:
        command = RunCommand.model_validate(
            {
                "threadId": thread.thread_id,
                "runId": f"run-{number}",
                "messages": [{"id": f"m-{number}", "role": "user", "content": "hello"}],
                "forwardedProps": {"onBusy": on_busy},
            }
        )

        async def accept() -> int:
            await self.parts.gateway.accept(
                self.principal, command, idempotency_key=f"run-{number}", request_hash=on_busy.encode()
            )
            rows = await self._fetch(
                "SELECT id FROM agent_run WHERE user_id = $1 AND run_id = $2",
                self.principal.user_id,
                f"run-{number}",
            )
            return rows[0]["id"]

        return self.parts.run(accept)

    def _cancel(self, run: ModelRun) -> None:
        self.parts.run(self.parts.gateway.cancel, self.principal, run.thread.thread_id, run.run_id)

    async def _fetch(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        async with self.parts.worker.engine.connect() as connection:
            result = await connection.exec_driver_sql(sql, arguments)
            return [dict(row._mapping) for row in result]

    async def _execute(self, sql: str, *arguments: Any) -> None:
        async with self.parts.worker.engine.begin() as connection:
            await connection.exec_driver_sql(sql, arguments)


@pytest.fixture
def machine_parts(databases: ScratchDatabases, redis_server_url: str) -> Iterator[Parts]:
    with ExitStack() as exits:
        url = exits.enter_context(databases.migrated())
        settings = Settings.model_validate(
            {
                "database": {"url": url},
                "redis": {"url": redis_server_url, "key_prefix": "machine"},
                # Runs that earlier examples left in the queue are none of its business.
                "limits": {"max_queue_age_seconds": 1e6, "max_queued_runs": 10**6},
                "worker": {"max_attempts": MAX_ATTEMPTS},
            }
        )
        portal = exits.enter_context(start_blocking_portal())
        worker = exits.enter_context(portal.wrap_async_context_manager(manual_worker(settings)))
        hints = Unheard(create_broker(settings.redis), worker.redis, settings.redis)
        yield Parts(
            portal,
            worker,
            AgentRunGateway(
                worker.engine,
                hints,
                Unseen(),
                PoolGates.of(settings.database),
                limits=settings.limits,
                worker=settings.worker,
            ),
            Reaper(worker.engine, hints, Unseen(), settings, start_run=lambda *_run: False),
        )


def test_requests_workers_and_reapers_in_any_order_keep_every_promise(machine_parts: Parts) -> None:
    class Machine(Ownership):
        parts: ClassVar[Parts] = machine_parts

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


async def test_a_worker_whose_writer_has_ended_goes(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: GroupCommitWriter) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(GroupCommitWriter, "run", breaks)
    broken = asyncio.Event()
    async with open_stack(apis=0, workers=0) as stack, open_worker(stack.settings, on_broken=broken.set):
        async with asyncio.timeout(HUNG_SECONDS):
            await broken.wait()


@pytest.mark.parametrize("known", [None, ("m-1",), ("m-1", "m-2")], ids=["whole", "first", "both"])
async def test_what_a_lost_run_showed_after_its_checkpoint_is_remembered(
    open_stack: OpenStack, known: tuple[str, ...] | None
) -> None:
    async with (
        open_stack(workers=0) as stack,
        manual_worker(stack.settings) as worker,
        manual_reaper(stack.settings) as reaper,
    ):
        await stack.post_run("hello", thread="lost", run="lost-1")
        run = await worker.claim((await stack.runs("lost"))[0]["id"])
        assert run is not None
        await run.start()
        await run.say("before the checkpoint", message_id="m-1")
        await run.end_message("m-1")
        async with worker.engine.begin() as connection:
            await save_checkpoint(
                connection, run.owned, Checkpoint("0", StoredState("{}", b""), message_ids=known)
            )
        await run.say("after it", message_id="m-2")
        await stack.fetch("UPDATE agent_run SET lease_until = clock_timestamp() - interval '1 second'")
        await reaper.reap()
        await stack.post_run("go on", thread="lost", run="lost-2")
        after = await worker.claim((await stack.runs("lost"))[1]["id"])
        assert after is not None

        memory = await load_memory(worker.engine, after.owned, ["user-lost-2"])

        assert memory.state is not None
        # An end that wrote the checkpoint, and one that knew it all, leave nothing to add.
        assert memory.later_messages == ((("assistant", "after it"),) if known == ("m-1",) else ())
