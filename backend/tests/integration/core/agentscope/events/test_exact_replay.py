"""From any cursor any reader gets exactly the rest, whatever Redis has lost, and wherever it reads."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.limits import HUNG_SECONDS
from tests.support.manual_worker import ManualRun, ManualWorker, Shown, manual_reaper, manual_worker
from tests.support.stack import EventStream, OpenStack, Row, Stack, assert_valid, eventually

from agentroute.embedded.local_valkey import LocalValkey
from core.agentscope.events import retention
from core.agentscope.events.envelope import Envelope
from core.agentscope.events.facade import AgentScopeEventsFacade
from core.agentscope.events.hub import ThreadHub
from core.agentscope.events.owned_run import StreamBatch
from core.agentscope.events.queries.history import HistoryReader
from core.agentscope.events.queries.opening import OpeningReader
from core.agentscope.events.reader import ThreadReader
from core.agentscope.events.redis_bus import stream_key
from core.agentscope.events.store import EventStore, ThreadHead
from core.agentscope.runtime.work import reaper
from core.agentscope.schemas.cursor import Cursor
from core.agentscope.schemas.internal_events import CustomEvent
from core.gate import Gate
from core.identity import Principal

GATE = Gate(5, HUNG_SECONDS)
SHOWN: tuple[Shown, ...] = ("all", "stream", "bell", "nothing")


def frames(rows: Iterable[Row]) -> bytes:
    """Return the bytes a reader gets for rows of the log."""
    return b"".join(
        b"id: %d-%d\ndata: %b\n\n" % (row["ordinal"], row["seq"], row["payload"].encode()) for row in rows
    )


async def assert_exact(stack: Stack, thread: str, *readers: EventStream, after: str = "0-0") -> None:
    """Compare what readers got with the log, byte by byte."""
    start = Cursor.parse(after)
    rows = [row for row in await stack.log(thread) if Cursor(row["ordinal"], row["seq"]) > start]
    for reader in readers:
        assert b"".join(frame.raw for frame in reader.frames) == frames(rows)


@asynccontextmanager
async def two_readers(
    stack: Stack, thread: str, run: str | None, cursor: str | None = None
) -> AsyncIterator[list[EventStream]]:
    """Open the same stream at two API processes."""
    async with AsyncExitStack() as streams:
        yield [
            await streams.enter_async_context(stack.open_events(thread, run, cursor, api=api))
            for api in stack.apis[:2]
        ]


@pytest.fixture(scope="module")
async def two_apis(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """Two API processes and one worker; silent threads are looked after every 50 ms."""
    async with open_stack(apis=2, stream={"patrol_seconds": 0.05}) as stack:
        yield stack


@pytest.fixture(scope="module")
async def by_hand(open_stack: OpenStack) -> AsyncIterator[tuple[Stack, ManualWorker]]:
    """Two API processes and a worker in the test's own hands; small pages and a short tail."""
    async with (
        open_stack(
            apis=2,
            workers=0,
            stream={"patrol_seconds": 0.05, "page_events": 7},
            redis={"tail_entries": 100, "tail_bytes": 1 << 20},
        ) as stack,
        manual_worker(stack.settings) as worker,
    ):
        yield stack, worker


async def claim(stack: Stack, worker: ManualWorker, thread: str) -> ManualRun:
    """Accept a run on a thread and claim it."""
    await stack.post_run("hello", thread=thread)
    run = await worker.claim((await stack.runs(thread))[-1]["id"])
    assert run is not None
    return run


# --- losses of Redis -------------------------------------------------------------------


async def test_a_flush_of_redis_in_mid_stream_is_not_noticed(two_apis: Stack) -> None:
    stack = two_apis
    body = stack.run_body("slowly")
    thread, run = body["threadId"], body["runId"]
    await stack.post_run(body=body)
    async with (
        two_readers(stack, thread, run) as readers,
        Redis.from_url(stack.settings.redis.url.get_secret_value()) as redis,
    ):
        for _ in range(3):
            for reader in readers:
                await reader.until("TEXT_MESSAGE_CONTENT")
            await redis.flushdb()
        for reader in readers:
            await reader.until("TEXT_MESSAGE_CONTENT")
        await stack.cancel(thread, run)
        for reader in readers:
            await reader.to_end()
    await assert_exact(stack, thread, *readers)

    # The queue of hints is made anew.
    after = await stack.stream_run("hello", thread=thread)
    assert after.end["outcome"] == {"type": "success"}


async def test_events_of_any_size_are_replayed_and_the_stream_in_redis_has_a_limit_in_bytes(
    by_hand: tuple[Stack, ManualWorker],
) -> None:
    stack, worker = by_hand
    thread = stack.new_id("large")
    run = await claim(stack, worker, thread)
    async with two_readers(stack, thread, run.claimed.run_id) as readers:
        await run.start()
        for size in (10, 300_000, 10, *[30_000] * 200, 10, 600_000, 10):
            await run.write(CustomEvent(name="large", value="x" * size))
        await run.finish()
        for reader in readers:
            await reader.to_end()
    await assert_exact(stack, thread, *readers)

    key = stream_key(stack.settings.redis, run.owned.session_id)
    async with Redis.from_url(stack.settings.redis.url.get_secret_value()) as redis:
        entries: Any = await redis.xrange(key)
    kept = [len(fields[b"p"]) for _, fields in entries]
    assert sum(kept) < 1.5 * stack.settings.redis.tail_bytes
    assert max(kept) < 256 << 10
    assert kept, "the newest events are kept"


async def test_a_killed_redis_costs_latency_and_no_event(
    open_stack: OpenStack, local_valkey: LocalValkey
) -> None:
    async with open_stack(apis=2, redis_url=local_valkey.start(), stream={"patrol_seconds": 0.1}) as stack:
        body = stack.run_body("slowly")
        thread, run = body["threadId"], body["runId"]
        await stack.post_run(body=body)
        async with two_readers(stack, thread, run) as readers:
            for reader in readers:
                await reader.until("TEXT_MESSAGE_CONTENT")
            local_valkey.kill()
            for reader in readers:
                for _ in range(3):
                    await reader.until("TEXT_MESSAGE_CONTENT")
            # Cancelled without Redis: the next append sees it.
            await stack.cancel(thread, run)
            for reader in readers:
                await reader.to_end()
        await assert_exact(stack, thread, *readers)

        local_valkey.start()
        second = await stack.stream_run("hello", thread=thread)
        assert second.end["outcome"] == {"type": "success"}

        # Hints arrive again: a run starts faster than the pick-up of lost ones could.
        async def hinted() -> bool:
            reply = await stack.stream_run("hello again", thread=thread)
            status = await stack.run_status(thread, reply.events[0]["runId"])
            return status["queueMs"] < 500

        await eventually(hinted)


async def test_without_redis_runs_start_stream_and_replay(
    open_stack: OpenStack, local_valkey: LocalValkey
) -> None:
    nowhere = local_valkey.start()
    local_valkey.stop()
    async with open_stack(
        apis=2,
        redis_url=nowhere,
        stream={"patrol_seconds": 0.1},
        worker={"hint_after_seconds": 0.1},
    ) as stack:
        whole = await stack.stream_run("calculate 6*7")
        thread, run = whole.events[0]["threadId"], whole.events[0]["runId"]

        assert whole.end["outcome"] == {"type": "success"}
        assert whole.raw == frames(await stack.log(thread))
        rests = await asyncio.gather(
            *(stack.read_events(thread, run, cursor, api=stack.apis[1]) for cursor in whole.cursors[:-1])
        )
        for place, rest in enumerate(rests, start=1):
            assert rest.raw == b"".join(frame.raw for frame in whole.frames[place:])
        ready = await stack.apis[0].client("ada").get(f"{stack.apis[0].url}/readyz")
        assert ready.status_code == 200


# --- a tail with holes -------------------------------------------------------------------


@pytest.mark.parametrize("shown", SHOWN)
async def test_readers_get_what_is_durable_whatever_of_it_is_shown(
    by_hand: tuple[Stack, ManualWorker], shown: Shown
) -> None:
    stack, worker = by_hand
    thread = stack.new_id("shown")
    run = await claim(stack, worker, thread)
    await run.start()
    async with two_readers(stack, thread, run.claimed.run_id) as readers:
        for reader in readers:
            await reader.until("RUN_STARTED")
        await run.say("a", "b", shown=shown)
        await run.say("c", shown=shown)
        for reader in readers:
            await reader.until("TEXT_MESSAGE_CONTENT", delta="c")
        await run.finish(shown=shown)
        for reader in readers:
            await reader.to_end()
    await assert_exact(stack, thread, *readers)


async def test_a_reader_behind_a_trimmed_tail_is_served_from_the_log(
    by_hand: tuple[Stack, ManualWorker],
) -> None:
    stack, worker = by_hand
    thread = stack.new_id("trimmed")
    run = await claim(stack, worker, thread)
    await run.start()
    async with two_readers(stack, thread, run.claimed.run_id) as readers:
        for reader in readers:
            await reader.until("RUN_STARTED")
        for flush in range(10):
            await run.say(*(f"{flush}-{place} " for place in range(150)))
        key = stream_key(stack.settings.redis, run.owned.session_id)
        assert await worker.redis.xlen(key) < 500
        await run.finish()
        for reader in readers:
            await reader.to_end()
    await assert_exact(stack, thread, *readers)
    assert len(readers[0].frames) > 1500
    for cursor in ("1-1", "1-700", "1-1400", "1-1503"):
        reply = await stack.read_events(thread, run.claimed.run_id, cursor)
        rows = await stack.log(thread)
        assert reply.raw == frames(rows[Cursor.parse(cursor).seq :])


async def test_a_slow_reader_gets_everything_when_it_reads_on(
    by_hand: tuple[Stack, ManualWorker],
) -> None:
    stack, worker = by_hand
    thread = stack.new_id("slow")
    run = await claim(stack, worker, thread)
    await run.start()
    async with two_readers(stack, thread, run.claimed.run_id) as (slow, quick):
        await slow.until("RUN_STARTED")
        words = [f"{place:04} " + "x" * 4000 for place in range(60)]
        # More than all buffers on the way hold, while the slow one reads nothing.
        for flush in range(20):
            await run.say(*words)
            assert await quick.until("TEXT_MESSAGE_CONTENT", delta=words[-1]), flush
        await run.finish()
        await quick.to_end()
        await slow.to_end()
    await assert_exact(stack, thread, slow, quick)


async def test_a_follower_of_the_thread_sees_runs_that_nobody_showed(
    by_hand: tuple[Stack, ManualWorker],
) -> None:
    stack, worker = by_hand
    thread = stack.new_id("quiet")
    first = await claim(stack, worker, thread)
    await first.start()
    async with two_readers(stack, thread, None, "1-0") as readers:
        for reader in readers:
            await reader.until("RUN_STARTED")
        await first.say("one", shown="nothing")
        await first.finish(shown="nothing")
        for shown in SHOWN:
            run = await claim(stack, worker, thread)
            await run.start(shown)
            await run.say("word", shown=shown)
            await run.finish(shown=shown)
        newest = (await stack.runs(thread))[-1]["run_id"]
        for reader in readers:
            await reader.until("RUN_FINISHED", runId=newest)
    await assert_exact(stack, thread, *readers)
    assert len(await stack.runs(thread)) == 5


async def test_a_late_writers_events_never_reach_a_reader_of_the_tail(
    by_hand: tuple[Stack, ManualWorker],
) -> None:
    """A fenced worker cannot append; what it may still send to Redis is refused there by its ids."""
    stack, worker = by_hand
    thread = stack.new_id("late")
    run = await claim(stack, worker, thread)
    await run.start()
    async with two_readers(stack, thread, run.claimed.run_id) as readers:
        await run.say("true")
        for reader in readers:
            await reader.until("TEXT_MESSAGE_CONTENT")
        false = orjson.dumps({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m-1", "delta": "false"}).decode()
        await worker.show(StreamBatch(run.owned.session_id, run.owned.ordinal, 2, [false, false]))
        await run.say("still true")
        await run.finish()
        for reader in readers:
            await reader.to_end()
    await assert_exact(stack, thread, *readers)


# --- cursors without a suffix ------------------------------------------------------------


async def test_a_cursor_ahead_of_the_log_is_refused_for_run_and_thread(two_apis: Stack) -> None:
    stack = two_apis
    whole = await stack.stream_run("hello")
    thread, run = whole.events[0]["threadId"], whole.events[0]["runId"]
    last = Cursor.parse(whole.cursors[-1])

    for ahead in (replace(last, seq=last.seq + 1), replace(last, ordinal=last.ordinal + 1, seq=0)):
        for named in (run, None):
            (await stack.read_events(thread, named, str(ahead))).problem(400, "cursor-ahead")


async def test_events_past_their_retention_are_gone_and_history_is_not(two_apis: Stack) -> None:
    stack = two_apis
    old = await stack.stream_run("my name is Ada")
    thread, run = old.events[0]["threadId"], old.events[0]["runId"]
    await stack.fetch(
        "UPDATE agent_run SET ended_at = ended_at - interval '8 days' WHERE id = $1",
        (await stack.runs(thread))[0]["id"],
    )
    young = await stack.stream_run("hello", thread=thread)
    before = await stack.history(thread)

    async with manual_reaper(stack.settings) as reaper:
        assert await reaper.prune() == len(old.frames)
        assert await reaper.prune() == 0

    for cursor in (None, "1-0", old.cursors[0], old.cursors[-2]):
        gone = await stack.read_events(thread, run, cursor)
        assert f"threadId={thread}" in gone.problem(410, "events-expired")["historyUrl"]
    (await stack.read_events(thread, None, old.cursors[-2])).problem(410, "events-expired")
    # Who saw the old run to its end has lost nothing.
    assert (await stack.read_events(thread, run, old.cursors[-1])).status == 204
    async with stack.open_events(thread, cursor=old.cursors[-1]) as follower:
        await follower.until("RUN_FINISHED")
    assert b"".join(frame.raw for frame in follower.frames) == young.raw
    assert await stack.history(thread) == before
    after = await stack.stream_run("what is my name?", thread=thread)
    assert "Your name is Ada" in after.text


async def test_who_connects_to_a_thread_past_its_retention_is_told_what_history_says(two_apis: Stack) -> None:
    stack = two_apis
    whole = await stack.stream_run("my name is Ada")
    thread = whole.events[0]["threadId"]
    await stack.fetch(
        "UPDATE agent_run SET ended_at = ended_at - interval '8 days' WHERE id = $1",
        (await stack.runs(thread))[0]["id"],
    )
    async with manual_reaper(stack.settings) as reaper:
        assert await reaper.prune() == len(whole.frames)

    place = {"threadId": thread, "connect": "true"}
    connected = await stack.request("GET", "/events", params=place)

    assert_valid(connected.events)
    started, messages, ended = connected.events
    assert messages["messages"] == (await stack.history(thread))["messages"]
    assert (started["runId"], ended["outcome"]) == (whole.events[0]["runId"], {"type": "success"})
    again = await stack.request("GET", "/events", params=place | {"cursor": connected.cursors[-1]})
    assert again.status == 204


async def test_retention_goes_on_batch_by_batch_until_nothing_old_is_left(
    two_apis: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = two_apis
    monkeypatch.setattr(retention, "PRUNE_ROWS", 3)
    monkeypatch.setattr(reaper, "BATCH", 2)
    old = [(await stack.stream_run("hello")).events[0]["threadId"] for _ in range(5)]
    await stack.fetch(
        """UPDATE agent_run SET ended_at = ended_at - interval '8 days'
        WHERE session_id IN (SELECT id FROM agent_chat_session WHERE thread_id = ANY($1))""",
        old,
    )
    young = await stack.stream_run("hello")

    async with manual_reaper(stack.settings) as by_hand:
        rounds = 0
        while [thread for thread in old if await stack.log(thread)]:
            rounds += 1
            await by_hand.prune()
            # A whole batch of threads: the next round comes without a rest.
            assert by_hand._more_to_prune or rounds > 1
            assert rounds <= 20
    assert rounds > 1
    assert len(await stack.log(young.events[0]["threadId"])) == len(young.frames)


# --- a deploy ----------------------------------------------------------------------------


async def test_a_drain_ends_streams_in_order_and_another_process_continues_them(
    open_stack: OpenStack,
) -> None:
    async with open_stack(apis=2) as stack:
        first, second = stack.apis
        body = stack.run_body("slowly")
        thread, run = body["threadId"], body["runId"]
        async with (
            stack.open_run(body=body, api=first) as stream,
            stack.open_events(thread, cursor="1-0", api=first) as follower,
        ):
            for reader in (stream, follower):
                await reader.until("TEXT_MESSAGE_CONTENT")
            first.drain()
            # A reset would raise: the bodies end as HTTP says, and without a terminal event.
            for reader in (stream, follower):
                await reader.to_end()
                assert reader.events[-1]["type"] == "TEXT_MESSAGE_CONTENT"
        await stack.stop_api(first)

        async with stack.open_events(thread, run, last_event_id=stream.frames[-1].id, api=second) as rest:
            await rest.until("TEXT_MESSAGE_CONTENT")
            await stack.cancel(thread, run, api=second)
            await rest.to_end()
        assert b"".join(frame.raw for frame in (*stream.frames, *rest.frames)) == frames(
            await stack.log(thread)
        )


# --- any log, any loss, any cursor ---------------------------------------------------------


@dataclass
class ReaderParts:
    """What one API process has for its readers, without HTTP."""

    worker: ManualWorker
    store: EventStore
    hub: ThreadHub
    make: Callable[[int, Cursor, frozenset[int] | None], ThreadReader]


@pytest.fixture(scope="module")
async def parts(open_stack: OpenStack) -> AsyncIterator[ReaderParts]:
    async with (
        open_stack(
            apis=0, workers=0, stream={"patrol_seconds": 0.02, "page_events": 3}, redis={"tail_entries": 100}
        ) as stack,
        manual_worker(stack.settings) as worker,
    ):
        store = EventStore(worker.engine, GATE)
        hub = ThreadHub(worker.redis, store.moved, store.floor, stack.settings.redis, stack.settings.stream)
        running = asyncio.create_task(hub.run())

        def make(session_id: int, cursor: Cursor, ordinals: frozenset[int] | None) -> ThreadReader:
            return ThreadReader(
                session_id,
                cursor,
                store=store,
                bus=worker.bus,
                hub=hub,
                settings=stack.settings.stream,
                ordinals=ordinals,
            )

        yield ReaderParts(worker, store, hub, make)
        running.cancel()
        await asyncio.wait({running})


async def test_a_replay_whose_run_is_pruned_meanwhile_ends_without_a_gap(
    by_hand: tuple[Stack, ManualWorker],
) -> None:
    stack, worker = by_hand
    session_id = 0
    for _ in range(2):
        run = await claim(stack, worker, "pruned")
        await run.start()
        for number in range(20):
            await run.say(f"w{number}")
        await run.finish()
        session_id = run.owned.session_id
    store = EventStore(worker.engine, GATE)
    hub = ThreadHub(worker.redis, store.moved, store.floor, stack.settings.redis, stack.settings.stream)
    reader = ThreadReader(
        session_id,
        Cursor(1, 0),
        store=store,
        bus=worker.bus,
        hub=hub,
        settings=stack.settings.stream,
    )
    seen: list[Cursor] = []
    async for batch in reader.read(asyncio.get_running_loop().time() + 30):
        if not seen:
            await retention.prune_events(worker.engine, session_id, 1)
        seen += [envelope.cursor for envelope in batch]

    # The client comes back with its cursor, and is told 410.
    assert seen == [Cursor(1, seq) for seq in range(1, len(seen) + 1)]
    assert 0 < len(seen) < 20
    gone = await stack.read_events("pruned", cursor=str(seen[-1]))
    gone.problem(410, "events-expired")


async def test_a_follower_of_a_thread_whose_run_is_queued_hears_heartbeats_and_is_let_go(
    open_stack: OpenStack,
) -> None:
    stream = {"heartbeat_seconds": 0.1, "max_age_seconds": 1, "patrol_seconds": 0.05}
    async with open_stack(workers=0, stream=stream) as stack, manual_worker(stack.settings) as worker:
        run = await claim(stack, worker, "queued")
        await run.start()
        await run.finish()
        last = (await stack.log("queued"))[-1]
        await stack.post_run("hello again", thread="queued")
        # The patrol tells of the last event there is: a reader may have missed it.
        store, session_id, head = (
            EventStore(worker.engine, GATE),
            run.owned.session_id,
            Cursor(last["ordinal"], last["seq"]),
        )
        before = Cursor(head.ordinal, head.seq - 1)
        assert await store.moved({session_id: before, -1: before}) == {session_id: head, -1: None}
        assert await store.moved({session_id: head}) == {}
        async with stack.open_events("queued", cursor=f"{last['ordinal']}-{last['seq']}") as follower:
            assert await follower.to_end() == []

        assert follower.blocks.count(b": hb") >= 3


class LateStore(EventStore):
    """Somebody writes between its look at a thread and what is read next."""

    async def find_thread(self, principal: Principal, thread_id: str) -> ThreadHead | None:
        thread = await super().find_thread(principal, thread_id)
        if thread is not None:
            await _new_run(self._engine, thread.session_id, thread.head.ordinal + 1)
        return thread


async def test_a_run_whose_turn_comes_between_two_reads_is_followed(parts: ReaderParts) -> None:
    worker, settings = parts.worker, parts.worker.settings
    await _new_thread(worker.engine, "late")
    openings = OpeningReader(worker.engine, HistoryReader(worker.engine), GATE)
    facade = AgentScopeEventsFacade(
        LateStore(worker.engine, GATE), worker.bus, parts.hub, settings.stream, openings
    )

    frames = await facade.follow(Principal("t", "u"), "late", run_id="run-1", cursor=None)

    assert frames is not None


Flush = tuple[int, Shown]
"""How many words a flush brings, and what of it is shown."""

flushes = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(SHOWN)), max_size=4)
logs = st.lists(st.tuples(flushes, st.sampled_from(SHOWN)), min_size=1, max_size=3)
"""Runs: their flushes, and what is shown of their start and end."""

_threads = itertools.count(1)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    log=logs,
    before=st.integers(0, 12),
    cursor=st.floats(0, 1, exclude_max=True),
    lost=st.lists(st.integers(0, 30), max_size=6),
    follow=st.booleans(),
)
async def test_any_reader_gets_the_exact_suffix_of_any_log_after_any_loss(
    parts: ReaderParts,
    log: list[tuple[list[Flush], Shown]],
    before: int,
    cursor: float,
    lost: list[int],
    follow: bool,
) -> None:
    """The reader comes after ``before`` flushes; entries of the tail are ``lost`` while it reads."""
    writer = _write(parts.worker, log, f"any-{next(_threads)}")
    session_id = await anext(writer)
    for _ in range(before):
        await anext(writer, None)
    known = await parts.store.page(session_id, Cursor.START, 5000, 1 << 30)
    places = [Cursor.START, *(envelope.cursor for envelope in known[:-1])]
    start = places[int(cursor * len(places))]
    ordinals = None if follow else frozenset(range(1, len(log) + 1))
    last = (len(log), "terminal")

    async def read() -> list[Envelope]:
        seen: list[Envelope] = []
        loop = asyncio.get_running_loop()
        async for batch in parts.make(session_id, start, ordinals).read(loop.time() + 30):
            seen += batch
            if seen and seen[-1].is_terminal and (seen[-1].ordinal, "terminal") == last:
                break
        return seen

    reading = asyncio.create_task(read())
    key = stream_key(parts.worker.settings.redis, session_id)
    async for _ in writer:
        entries: Any = await parts.worker.redis.xrange(key)
        for place in lost:
            if place < len(entries):
                await parts.worker.redis.xdel(key, entries[place][0])
    async with asyncio.timeout(HUNG_SECONDS):
        seen = await reading

    assert seen == await parts.store.page(session_id, start, 5000, 1 << 30)


async def _write(
    worker: ManualWorker, log: list[tuple[list[Flush], Shown]], thread: str
) -> AsyncIterator[int]:
    """Write a log step by step; yields the thread's row id before the first step and after each."""
    session_id = await _new_thread(worker.engine, thread)
    yield session_id
    for ordinal, (parts, shown) in enumerate(log, start=1):
        run = await worker.claim(await _new_run(worker.engine, session_id, ordinal))
        assert run is not None
        await run.start(shown)
        yield session_id
        for words, part_shown in parts:
            await run.say(*(f"{ordinal}.{place} " for place in range(words)), shown=part_shown)
            yield session_id
        await run.finish(shown=shown)
        yield session_id


async def _new_thread(engine: AsyncEngine, thread: str) -> int:
    async with engine.begin() as connection:
        result = await connection.exec_driver_sql(
            "INSERT INTO agent_chat_session (tenant_id, user_id, thread_id) VALUES ('t', 'u', $1) RETURNING id",
            (thread,),
        )
        return result.scalar_one()


async def _new_run(engine: AsyncEngine, session_id: int, ordinal: int) -> int:
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE agent_chat_session SET last_ordinal = $2 WHERE id = $1", (session_id, ordinal)
        )
        result = await connection.exec_driver_sql(
            """INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key,
                request_hash, input, status, ordinal, next_hint_at, queue_deadline_at)
            VALUES ($1, 't', 'u', $2, 'task', $3, '', '{}', 'queued', $4, now(), now()) RETURNING id""",
            (session_id, f"run-{ordinal}", f"{session_id}-{ordinal}", ordinal),
        )
        return result.scalar_one()
