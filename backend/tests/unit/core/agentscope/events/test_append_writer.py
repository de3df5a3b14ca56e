"""Group commit: every run's events in order, once, whatever happens to Postgres and to other runs."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.memory_append_store import AppendFault, MemoryAppendStore, RecordingPublisher

from core.agentscope.events.append_writer import HEAVY_BYTES, GroupCommitWriter, RunAppender
from core.agentscope.events.pending_events import MAX_DELTA_CHARS, MAX_MERGED_CHARS
from core.agentscope.schemas.agent_runtime import AgUiWireEvent
from core.config import WorkerSettings
from core.errors import LeaseLost, OutputNotStorable, OutputTooLarge, RunFailure, StoreUnavailable

SMALL = WorkerSettings(
    flush_interval_seconds=0.05, max_event_bytes=1 << 16, max_run_bytes=1 << 18, max_flush_bytes=1 << 16
)
SETTINGS = WorkerSettings(flush_interval_seconds=0.05, outage_seconds=10, max_pending_bytes=1 << 16)


def text(delta: str, message_id: str = "m") -> AgUiWireEvent:
    body = {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id, "delta": delta}
    return AgUiWireEvent(body["type"], body)


def thought(delta: str, message_id: str = "m") -> AgUiWireEvent:
    body = {"type": "REASONING_MESSAGE_CONTENT", "messageId": message_id, "delta": delta}
    return AgUiWireEvent(body["type"], body)


def arguments(delta: str, call_id: str = "m") -> AgUiWireEvent:
    body = {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": delta}
    return AgUiWireEvent(body["type"], body)


def step(name: str) -> AgUiWireEvent:
    body = {"type": "STEP_STARTED", "stepName": name}
    return AgUiWireEvent(body["type"], body)


class Worker:
    """A writer at work on the runs of a store."""

    def __init__(self, store: MemoryAppendStore, options: WorkerSettings = SETTINGS) -> None:
        self.store = store
        self.publisher = RecordingPublisher(store)
        self.writer = GroupCommitWriter(store, self.publisher, options)
        self.stopped: list[int] = []
        """Runs that were told to stop, as often as they were told."""

    def open(self, run_pk: int = 1) -> RunAppender:
        return self.writer.open(self.store.owned(run_pk), lambda: self.stopped.append(run_pk))

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Worker]:
        async with asyncio.timeout(3600), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.writer.run())
            yield self
            await self.writer.close()


def merged(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join all adjacent deltas of one message: what a reader makes of them."""
    joined: list[dict[str, Any]] = []
    for event in copy.deepcopy(list(events)):
        same = joined and {**joined[-1], "delta": ""} == {**event, "delta": ""}
        if same and "delta" in event:
            joined[-1]["delta"] += event["delta"]
        else:
            joined.append(event)
    return joined


# --- batches ----------------------------------------------------------------------------


async def test_an_idle_writer_flushes_at_once() -> None:
    loop = asyncio.get_running_loop()
    async with Worker(MemoryAppendStore()).at_work() as worker:
        appender = worker.open()
        began = loop.time()
        appender.append([text("Hi")])
        await appender.durable()

        assert loop.time() == began
        assert (
            worker.publisher.shown[1]
            == worker.store.rows[1].log
            == ['{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"Hi"}']
        )
        assert appender.last_seq == 1


async def test_a_busy_writer_flushes_once_an_interval() -> None:
    async with Worker(MemoryAppendStore()).at_work() as worker:
        appender = worker.open()
        for place in range(10):
            appender.append([step(str(place))])
            await asyncio.sleep(0.012)

    assert [len(batch.types) for (batch,) in worker.store.calls] == [1, 4, 4, 1]


async def test_what_is_urgent_does_not_wait_for_the_interval() -> None:
    loop = asyncio.get_running_loop()
    async with Worker(MemoryAppendStore(), WorkerSettings(flush_interval_seconds=1)).at_work() as worker:
        appender = worker.open()
        appender.append([step("one")])
        await appender.durable()
        began = loop.time()
        appender.append([step("two")], urgent=True)
        await appender.durable()
        assert loop.time() == began


async def test_events_of_all_runs_go_in_one_statement() -> None:
    async with Worker(MemoryAppendStore([1, 2, 3])).at_work() as worker:
        for run_pk in (1, 2, 3):
            worker.open(run_pk).append([step("one"), step("two")])

    assert [[batch.run_pk for batch in call] for call in worker.store.calls] == [[1, 2, 3]]
    assert worker.publisher.shown == {run_pk: row.log for run_pk, row in worker.store.rows.items()}


async def test_a_batch_carries_the_fence_and_the_place_of_its_run() -> None:
    store = MemoryAppendStore()
    store.rows[1].attempt = 4
    store.rows[1].log.append("{}")
    async with Worker(store).at_work() as worker:
        worker.publisher.shown[1] = ["{}"]
        appender = worker.open()
        appender.append([step("one")])
        await appender.durable()

    ((batch,),) = store.calls
    assert (batch.run_pk, batch.session_id, batch.ordinal, batch.attempt, batch.types) == (
        1,
        10,
        3,
        4,
        ["STEP_STARTED"],
    )
    assert appender.last_seq == 2


async def test_events_that_come_during_a_flush_go_with_the_next_one() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        store.hold.clear()
        appender.append([step("one")])
        await store.held.wait()
        appender.append([step("two")])
        store.hold.set()
        await appender.durable()

    assert [event["stepName"] for event in store.rows[1].events] == ["one", "two"]


async def test_an_appender_without_anything_to_write_is_durable() -> None:
    async with Worker(MemoryAppendStore()).at_work() as worker:
        await worker.open().durable()

    assert worker.store.calls == []


async def test_closing_flushes_what_is_left() -> None:
    async with Worker(MemoryAppendStore()).at_work() as worker:
        appender = worker.open()
        appender.append([step("one")])
        await appender.durable()
        appender.append([step("two")])

    assert len(worker.store.rows[1].log) == 2


# --- merging ------------------------------------------------------------------------------

LONG = "x" * (MAX_MERGED_CHARS + 1)
MERGING: dict[str, tuple[list[AgUiWireEvent], list[str]]] = {
    "adjacent deltas of one text": ([text("a"), text("b"), text("c")], ["abc"]),
    "adjacent deltas of one reasoning": ([thought("a"), thought("b")], ["ab"]),
    "adjacent arguments of one call": ([arguments("a"), arguments("b")], ["ab"]),
    "two texts": ([text("a"), text("b", "n"), text("c")], ["a", "b", "c"]),
    "two calls": ([arguments("a"), arguments("b", "n"), arguments("c")], ["a", "b", "c"]),
    "a text and a reasoning of one name": ([text("a"), thought("b"), text("c")], ["a", "b", "c"]),
    "a text and a call of one name": ([text("a"), arguments("b")], ["a", "b"]),
    "anything between": ([text("a"), step("s"), text("b")], ["a", "", "b"]),
    "equal events that are no deltas": ([step("s"), step("s")], ["", ""]),
    "a delta that is long enough": ([text(LONG), text("b")], [LONG, "b"]),
}


@pytest.mark.parametrize("case", MERGING)
async def test_only_adjacent_deltas_of_one_message_merge_while_they_wait(case: str) -> None:
    events, deltas = MERGING[case]
    async with Worker(MemoryAppendStore()).at_work() as worker:
        worker.open().append(copy.deepcopy(events))

    assert [event.get("delta", "") for event in worker.store.rows[1].events] == deltas


async def test_a_delta_never_joins_one_that_is_on_its_way() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        store.hold.clear()
        appender.append([text("a")])
        await store.held.wait()
        appender.append([text("b")])
        store.hold.set()

    assert [event["delta"] for event in store.rows[1].events] == ["a", "b"]


async def test_a_merged_delta_keeps_the_time_of_the_first() -> None:
    first, second = text("a"), text("b")
    first.body["timestamp"], second.body["timestamp"] = 1, 2
    async with Worker(MemoryAppendStore()).at_work() as worker:
        worker.open().append([first, second])

    assert [event["timestamp"] for event in worker.store.rows[1].events] == [1]


# --- fences and cancels ---------------------------------------------------------------------


async def test_a_run_that_another_worker_owns_is_fenced_and_the_others_go_on() -> None:
    store = MemoryAppendStore([1, 2])
    async with Worker(store).at_work() as worker:
        lost, kept = worker.open(1), worker.open(2)
        store.fence(1)
        lost.append([step("lost")])
        kept.append([step("kept")])
        with pytest.raises(LeaseLost):
            await lost.durable()
        await kept.durable()
        with pytest.raises(LeaseLost):
            lost.append([step("more")])
        with pytest.raises(LeaseLost):
            await lost.take()

    assert worker.stopped == [1]
    assert isinstance(lost.failure, LeaseLost)
    assert (store.rows[1].log, worker.publisher.shown) == ([], {2: store.rows[2].log})
    assert len(store.calls) == 1


async def test_a_lost_attempt_and_the_next_one_in_the_same_process_and_flush_are_two() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        lost = worker.open()
        store.fence(1)
        owner = worker.open()
        for appender, name in ((owner, "true"), (lost, "false")):
            appender.append([step(name)])
        with pytest.raises(LeaseLost):
            await lost.durable()
        await owner.durable()

    assert [event["stepName"] for event in store.rows[1].events] == ["true"]
    assert isinstance(lost.failure, LeaseLost)
    assert owner.failure is None
    assert len(store.calls) == 1


async def test_a_run_that_has_ended_is_fenced_too() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        store.rows[1].running = False
        appender.append([step("late")])
        with pytest.raises(LeaseLost):
            await appender.durable()


async def test_a_cancel_that_the_append_sees_stops_the_run_and_loses_nothing() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        store.rows[1].cancel_requested = True
        appender.append([step("one")])
        await appender.durable()
        assert (worker.stopped, appender.failure) == ([1], None)
        appender.append([step("two")])
        await appender.durable()

    assert len(store.rows[1].log) == 2


# --- Postgres away ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost", "unknown", "late"])
async def test_an_unknown_outcome_is_settled_and_nothing_is_lost_or_written_twice(fault: AppendFault) -> None:
    store = MemoryAppendStore()
    store.append_faults.append(fault)
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        appender.append([step("one"), step("two")])
        await appender.durable()
        appender.append([step("three")])
        await appender.durable()

    assert [event["stepName"] for event in store.rows[1].events] == ["one", "two", "three"]
    assert worker.publisher.shown[1] == store.rows[1].log
    assert worker.stopped == []


async def test_an_unforeseen_fault_while_an_outcome_is_settled_ends_no_writer() -> None:
    store = MemoryAppendStore()
    store.append_faults.append("unknown")
    store.odd_settles = 2
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        appender.append([step("one")])
        await appender.durable()

    assert [event["stepName"] for event in store.rows[1].events] == ["one"]
    assert worker.publisher.shown[1] == store.rows[1].log


@pytest.mark.parametrize("fault", ["lost", "unknown"])
async def test_an_unknown_outcome_of_a_run_that_was_taken_meanwhile_is_a_fence(fault: AppendFault) -> None:
    store = MemoryAppendStore([1, 2])
    store.append_faults.append(fault)
    store.settle_faults += [True, True]
    async with Worker(store).at_work() as worker:
        lost, kept = worker.open(1), worker.open(2)
        lost.append([step("lost")])
        kept.append([step("kept")])
        await asyncio.sleep(0.01)
        store.fence(1)
        with pytest.raises(LeaseLost):
            await lost.durable()
        await kept.durable()

    # What was committed before the fence is in the log; readers find it there, and we show nothing of it.
    assert worker.publisher.shown == {2: store.rows[2].log}
    assert len(store.rows[2].log) == 1


async def test_an_outage_is_waited_out_and_events_go_on_to_queue() -> None:
    store = MemoryAppendStore()
    store.go_away(calls=4)
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        appender.append([text("a")])
        await asyncio.sleep(0.5)
        appender.append([text("b")])
        await appender.durable()

    assert [event["delta"] for event in store.rows[1].events] == ["a", "b"]


@pytest.mark.parametrize("readable", [False, True], ids=["gone", "read-only"])
async def test_an_outage_longer_than_a_run_may_wait_fails_the_run(readable: bool) -> None:
    loop = asyncio.get_running_loop()
    store = MemoryAppendStore([1, 2])
    store.go_away(calls=10_000, readable=readable)
    async with Worker(store).at_work() as worker:
        appenders = [worker.open(1), worker.open(2)]
        began = loop.time()
        for appender in appenders:
            appender.append([step("one")])
        for appender in appenders:
            with pytest.raises(StoreUnavailable):
                await appender.durable()
        assert SETTINGS.outage_seconds <= loop.time() - began < SETTINGS.outage_seconds + 3
        with pytest.raises(StoreUnavailable):
            await appenders[0].take()
        store.come_back()

    assert worker.stopped == [1, 2]
    assert worker.publisher.shown == {}


async def test_after_an_outage_the_writer_serves_new_runs() -> None:
    store = MemoryAppendStore([1, 2])
    store.go_away(calls=100)
    async with Worker(store).at_work() as worker:
        failed = worker.open(1)
        failed.append([step("one")])
        with pytest.raises(StoreUnavailable):
            await failed.durable()
        store.come_back()
        appender = worker.open(2)
        appender.append([step("two")])
        await appender.durable()

    assert worker.publisher.shown == {2: store.rows[2].log}


# --- bad batches --------------------------------------------------------------------------------


async def test_events_that_no_database_takes_end_their_run_and_no_other() -> None:
    store = MemoryAppendStore([1, 2, 3])
    store.poisoned.add(2)
    async with Worker(store).at_work() as worker:
        appenders = {run_pk: worker.open(run_pk) for run_pk in (1, 2, 3)}
        for appender in appenders.values():
            appender.append([step("one")])
        await appenders[1].durable()
        await appenders[3].durable()
        with pytest.raises(ValueError, match="not storable"):
            await appenders[2].durable()

    assert worker.stopped == [2]
    assert worker.publisher.shown == {1: store.rows[1].log, 3: store.rows[3].log}


async def test_a_fault_of_ours_is_not_repeated_and_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    store = MemoryAppendStore()
    store.poisoned.add(1)
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        began = loop.time()
        appender.append([step("one")])
        with pytest.raises(ValueError, match="not storable"):
            await appender.durable()

    assert (len(store.calls), loop.time()) == (1, began)


async def test_of_many_runs_only_the_one_at_fault_ends_and_halves_find_it() -> None:
    store = MemoryAppendStore(range(1, 17))
    store.poisoned.add(11)
    async with Worker(store).at_work() as worker:
        appenders = {run_pk: worker.open(run_pk) for run_pk in store.rows}
        for appender in appenders.values():
            appender.append([step("one")])

    assert worker.stopped == [11]
    assert sorted(worker.publisher.shown) == [run_pk for run_pk in store.rows if run_pk != 11]
    assert len(store.calls) == 9, "one for all, then two for each of the four halvings"


# --- bytes ----------------------------------------------------------------------------------------


def custom(value: Any) -> AgUiWireEvent:
    return AgUiWireEvent("CUSTOM", {"type": "CUSTOM", "name": "x", "value": value})


REFUSED: dict[str, tuple[AgUiWireEvent, type[RunFailure], str]] = {
    "no JSON form": (custom(2**70), OutputNotStorable, "no JSON form"),
    "a lone surrogate": (custom("\ud800"), OutputNotStorable, "no JSON form"),
    "one byte too many": (custom("x" * (1 << 16)), OutputTooLarge, "the limit is 65536"),
    "bytes, not characters": (custom("\u20ac" * 22_000), OutputTooLarge, "the limit is 65536"),
    "escapes count": (custom("\x01" * 11_000), OutputTooLarge, "the limit is 65536"),
    "a snapshot of a long thread": (
        AgUiWireEvent(
            "MESSAGES_SNAPSHOT",
            {
                "type": "MESSAGES_SNAPSHOT",
                "messages": [{"id": str(n), "content": "x" * 100} for n in range(700)],
            },
        ),
        OutputTooLarge,
        "MESSAGES_SNAPSHOT",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_an_event_that_cannot_be_stored_is_refused_and_what_came_before_it_is_kept(case: str) -> None:
    event, error, words = REFUSED[case]
    store = MemoryAppendStore([1, 2])
    async with Worker(store, SMALL).at_work() as worker:
        bad, good = worker.open(1), worker.open(2)
        good.append([step("one")])
        with pytest.raises(error, match=words):
            bad.append([step("one"), event, step("never")])
        await bad.durable()
        await good.durable()

    assert [event["stepName"] for event in store.rows[1].events] == ["one"]
    assert (worker.stopped, len(store.rows[2].log)) == ([], 1)


async def test_a_run_may_say_so_much_and_no_more() -> None:
    async with Worker(MemoryAppendStore(), SMALL).at_work() as worker:
        appender = worker.open()
        half = [custom("x" * 1000) for _ in range(SMALL.max_run_bytes // 2000)]
        appender.append(half)
        with pytest.raises(OutputTooLarge, match="more than 262144 bytes"):
            appender.append(half)


async def test_a_delta_of_any_size_is_stored_in_pieces() -> None:
    delta = "".join(chr(0x1F600 + n % 50) for n in range(200_000))
    async with Worker(MemoryAppendStore()).at_work() as worker:
        appender = worker.open()
        appender.append([text("a"), text(delta), text("z")])
        await appender.durable()

    events = worker.store.rows[1].events
    assert "".join(event["delta"] for event in events) == f"a{delta}z"
    assert max(len(event["delta"]) for event in events) <= MAX_DELTA_CHARS + MAX_MERGED_CHARS


async def test_a_flush_is_cut_by_bytes_and_the_rest_follows_at_once() -> None:
    loop = asyncio.get_running_loop()
    store = MemoryAppendStore(range(1, 6))
    async with Worker(store, SMALL).at_work() as worker:
        began = loop.time()
        appenders = [worker.open(run_pk) for run_pk in store.rows]
        for appender in appenders:
            appender.append([custom("x" * 20_000), custom("y" * 20_000)], urgent=True)
        for appender in appenders:
            await appender.durable()
        assert loop.time() == began

    sizes = [sum(len(payload) for batch in call for payload in batch.payloads) for call in store.calls]
    assert max(sizes) <= SMALL.max_flush_bytes
    assert len(sizes) == 4, "three events of 20,000 bytes a flush"
    assert [batch.size for call in store.calls for batch in call] == [
        sum(map(len, batch.payloads)) for call in store.calls for batch in call
    ]
    assert worker.publisher.shown == {run_pk: row.log for run_pk, row in store.rows.items()}


async def test_an_event_larger_than_a_flush_goes_alone() -> None:
    store = MemoryAppendStore([1, 2, 3])
    options = WorkerSettings(flush_interval_seconds=0.05, max_event_bytes=1 << 17, max_flush_bytes=1 << 16)
    async with Worker(store, options).at_work() as worker:
        for run_pk, size in ((1, 10), (2, 100_000), (3, 10)):
            worker.open(run_pk).append([custom("x" * size)])

    assert [[batch.run_pk for batch in call] for call in store.calls] == [[1, 3], [2]]


async def test_events_too_large_for_the_time_limit_of_a_statement_end_their_run_and_no_other() -> None:
    loop = asyncio.get_running_loop()
    store = MemoryAppendStore(range(1, 9))
    store.too_slow.add(3)
    async with Worker(store).at_work() as worker:
        appenders = {run_pk: worker.open(run_pk) for run_pk in store.rows}
        began = loop.time()
        for run_pk, appender in appenders.items():
            appender.append([custom("x" * (HEAVY_BYTES if run_pk == 3 else 10))])
        for run_pk, appender in appenders.items():
            if run_pk != 3:
                await appender.durable()
        with pytest.raises(OutputTooLarge, match="in time"):
            await appenders[3].durable()
        assert loop.time() - began < SETTINGS.outage_seconds / 2

    assert worker.stopped == [3]
    assert sorted(worker.publisher.shown) == [1, 2, 4, 5, 6, 7, 8]


async def test_a_large_batch_waits_for_a_server_that_refuses_all_writes_at_once() -> None:
    # A standby during a failover, a full disk: reads are answered, and size is not the reason.
    store = MemoryAppendStore()
    store.append_faults.extend(("lost", "lost", "lost", "lost", "lost"))
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        appender.append([custom("x" * HEAVY_BYTES)])
        await appender.durable()

    assert len(store.rows[1].log) == 1


# --- the run's end -------------------------------------------------------------------------------


async def test_what_is_taken_is_in_order_and_is_never_flushed() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        appender.append([step("one")])
        await appender.durable()
        appender.append([step("two"), text("a"), text("b")])
        taken = await appender.take()

    assert [event.body.get("stepName", event.body.get("delta")) for event in taken] == ["two", "ab"]
    assert len(store.rows[1].log) == 1


async def test_taking_waits_for_the_flush_under_way() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        store.hold.clear()
        appender.append([step("one")])
        await store.held.wait()
        appender.append([step("two")])
        taking = asyncio.create_task(appender.take())
        await asyncio.sleep(0.01)
        assert not taking.done()
        store.hold.set()

        assert [event.body["stepName"] for event in await taking] == ["two"]
    assert appender.last_seq == len(store.rows[1].log) == 1


async def test_a_run_waits_while_it_holds_more_than_its_share() -> None:
    store = MemoryAppendStore()
    async with Worker(store).at_work() as worker:
        appender = worker.open()
        store.hold.clear()
        appender.append([step("one")])
        await store.held.wait()
        appender.append([text("x" * 1000)])
        await appender.room()
        appender.append([text("x" * SETTINGS.max_pending_bytes)])
        waiting = asyncio.create_task(appender.room())
        await asyncio.sleep(1)
        assert not waiting.done()
        store.hold.set()
        await waiting

    assert appender.last_seq == len(store.rows[1].log)


# --- anything at all --------------------------------------------------------------------------------


@dataclass
class Deed:
    """What happens next to one of the runs."""

    run_pk: int
    events: list[AgUiWireEvent]
    urgent: bool
    pause: float
    wait: bool
    fence: bool


wire_events = st.one_of(
    st.builds(text, st.text(max_size=3), st.sampled_from(["m", "n"])),
    st.builds(thought, st.text(max_size=3), st.sampled_from(["m", "n"])),
    st.builds(arguments, st.text(max_size=3), st.sampled_from(["m", "n"])),
    st.builds(step, st.sampled_from(["intent", "execution"])),
)
deeds = st.builds(
    Deed,
    run_pk=st.sampled_from([1, 2, 3]),
    events=st.lists(wire_events, max_size=4),
    urgent=st.booleans(),
    pause=st.sampled_from([0.0, 0.0, 0.01, 0.2]),
    wait=st.booleans(),
    fence=st.integers(0, 9).map(lambda dice: dice == 0),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(deeds, max_size=25),
    st.lists(st.sampled_from(["none", "none", "lost", "unknown", "late"]), max_size=12),
    st.lists(st.booleans(), max_size=12),
    st.sets(st.sampled_from([1, 2, 3]), max_size=1),
)
async def test_every_run_s_log_is_what_it_said_whatever_happens_to_postgres(
    history: list[Deed], append_faults: list[AppendFault], settle_faults: list[bool], poisoned: set[int]
) -> None:
    store = MemoryAppendStore([1, 2, 3])
    store.append_faults.extend(append_faults)
    store.settle_faults.extend(settle_faults)
    store.poisoned |= poisoned
    said: dict[int, list[dict[str, Any]]] = {1: [], 2: [], 3: []}
    fenced: set[int] = set()
    async with Worker(
        store, WorkerSettings(flush_interval_seconds=0.05, outage_seconds=600)
    ).at_work() as worker:
        appenders = {run_pk: worker.open(run_pk) for run_pk in said}
        for deed in history:
            appender = appenders[deed.run_pk]
            if appender.failure is not None:
                continue
            appender.append(copy.deepcopy(deed.events), urgent=deed.urgent)
            said[deed.run_pk] += [event.body for event in deed.events]
            if deed.fence:
                store.fence(deed.run_pk)
                fenced.add(deed.run_pk)
            if deed.wait and not (fenced | poisoned) & {deed.run_pk}:
                await appender.durable()
                assert merged(store.rows[deed.run_pk].events) == merged(said[deed.run_pk])
            await asyncio.sleep(deed.pause)
        taken = {
            run_pk: await appender.take() if appender.failure is None and run_pk == 1 else []
            for run_pk, appender in appenders.items()
            if run_pk not in fenced | poisoned
        }

    for run_pk, row in store.rows.items():
        rest = [event.body for event in taken.get(run_pk, [])]
        expected, written = merged(said[run_pk]), merged([*row.events, *rest])
        if run_pk in fenced | poisoned:
            assert _begins(written, expected)
            assert (
                worker.publisher.shown.get(run_pk, [])
                == row.log[: len(worker.publisher.shown.get(run_pk, []))]
            )
        else:
            assert written == expected
            assert worker.publisher.shown.get(run_pk, []) == row.log
            assert run_pk not in worker.stopped


def _begins(written: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Tell whether a log is the beginning of what was said, perhaps cut in the middle of a delta."""
    if not written:
        return True
    *whole, last = written
    there = expected[len(whole)] if len(whole) < len(expected) else {}
    return expected[: len(whole)] == whole and (
        last == there
        or (
            {**last, "delta": ""} == {**there, "delta": ""}
            and there.get("delta", "").startswith(last["delta"])
        )
    )
