"""A stream from its first line to its end: read by a task all the time, and left alone wherever it rests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError, ProgrammingError
from structlog.testing import capture_logs
from tests.support import thread_log
from tests.support.thread_log import SESSION, MemoryLog, MemoryTail, QuietHub, event, run

from core.agentscope.events import hub as hub_module
from core.agentscope.events import thread_stream
from core.agentscope.events.envelope import Envelope
from core.agentscope.events.hub import Tail
from core.agentscope.events.peer_version import PeerVersions
from core.agentscope.events.reader import STORE_PATIENCE_SECONDS, ThreadReader
from core.agentscope.events.sse import HEARTBEAT, NO_WORKER, StreamEnd, frame, last_words
from core.agentscope.events.thread_stream import RESTS, ThreadStream
from core.agentscope.schemas.cursor import Cursor
from core.config import StreamSettings
from core.errors import Overloaded

SETTINGS = StreamSettings(page_events=2)
RETRY = b"retry: 2000\n\n"
DRAINED, AGED, DELETED, PRUNED, LOST = (
    last_words(why, 2000)
    for why in (
        StreamEnd.DRAIN,
        StreamEnd.MAX_AGE,
        StreamEnd.THREAD_DELETED,
        StreamEnd.EVENTS_EXPIRED,
        StreamEnd.STORE_UNAVAILABLE,
    )
)
OUTAGE = OperationalError("SELECT", {}, OSError("gone"))


def ids(stream: bytes) -> list[str]:
    return [line[4:].decode() for line in stream.split(b"\n") if line.startswith(b"id: ")]


def retries(stream: bytes) -> list[bytes]:
    return [block for block in stream.split(b"\n\n") if block.startswith(b"retry: ")]


@pytest.fixture(params=[False, True], ids=["in-a-task", "at-rest"], autouse=True)
def may_rest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run each test twice: what a client gets is the same bytes."""
    monkeypatch.setattr(Stream, "may_rest", request.param)
    return bool(request.param)


class Stream:
    """A client that reads a stream, and what it has read when."""

    may_rest = False
    """Whether the stream is left alone as soon as it has nothing to send, as behind our server."""

    def __init__(self, chunks: ThreadStream) -> None:
        self.chunks: list[bytes] = []
        self.times: list[float] = []
        self.rests = 0
        """How often the stream has come to rest."""
        self.reads = True
        """Whether the client keeps up."""
        self._began = asyncio.get_running_loop().time()
        self._woken = asyncio.Event()
        self.source = chunks
        if self.may_rest:
            chunks.attach(self)
        self.task = asyncio.create_task(self._read(chunks))

    async def _read(self, chunks: ThreadStream) -> None:
        async for chunk in chunks:
            if chunk != RESTS:
                self.write(chunk)
                continue
            self.rests += 1
            await self._woken.wait()
            self._woken.clear()

    def write(self, data: bytes) -> bool:
        self.chunks.append(data)
        self.times.append(round(asyncio.get_running_loop().time() - self._began, 1))
        return self.reads

    def go_on(self) -> None:
        assert not self._woken.is_set(), "a stream goes on once"
        self._woken.set()

    @property
    def bytes(self) -> bytes:
        return b"".join(self.chunks)

    async def end(self) -> bytes:
        """Return all bytes once the server has ended the stream."""
        async with asyncio.timeout(7200):
            await self.task
        return self.bytes


async def _speaks_1_0(_ordinal: int) -> str | None:
    return "1.0"


async def _speaks_0_0(_ordinal: int) -> str | None:
    return None


class Thread:
    """A thread that is followed, and what happens in it."""

    def __init__(
        self, log: Sequence[Envelope] = (), redis: Sequence[Envelope] = (), options: StreamSettings = SETTINGS
    ) -> None:
        self.log = MemoryLog(log)
        self.redis = MemoryTail(redis)
        self.hub = QuietHub(options)
        self.options = options
        self.workers = 1

    def open(
        self, cursor: Cursor = Cursor.START, ordinals: frozenset[int] | None = None, *, older: bool = False
    ) -> Stream:
        reader = ThreadReader(
            SESSION,
            cursor,
            store=self.log,
            bus=self.redis,
            hub=self.hub,
            settings=self.options,
            ordinals=ordinals,
        )
        versions = PeerVersions(_speaks_0_0 if older else _speaks_1_0)
        return Stream(ThreadStream(reader, versions, self.options, no_worker=self._no_worker))

    async def _no_worker(self) -> bool:
        return not self.workers

    def commit(self, events: Sequence[Envelope], *, ring: bool = True) -> None:
        """Append events, and ring the doorbell unless it is lost."""
        self.log.events += events
        if ring:
            self.tail.add(list(events))

    @property
    def tail(self) -> Tail:
        return self.hub._tails[SESSION]


def frames(events: Sequence[Envelope]) -> bytes:
    return b"".join(frame(item) for item in events)


async def pause(seconds: float = 1.0) -> None:
    """Let the others run; the clock of these tests jumps."""
    await asyncio.sleep(seconds)


async def test_a_finished_run_is_replayed_and_the_stream_ends() -> None:
    events = run(1, 5)

    assert await Thread(events).open(ordinals=frozenset({1})).end() == RETRY + frames(events)


async def test_replay_begins_right_after_the_cursor() -> None:
    events = run(1, 5)

    stream = Thread(events).open(Cursor(1, 3), frozenset({1}))
    assert await stream.end() == RETRY + frames(events[3:])


async def test_live_events_follow_the_replay_and_the_terminal_one_ends_the_stream() -> None:
    events = run(1, 6)
    thread = Thread(events[:3])
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    assert stream.bytes == RETRY + frames(events[:3])
    reads = len(thread.log.reads)
    thread.commit(events[3:5])
    await pause()
    assert stream.bytes == RETRY + frames(events[:5])
    thread.commit(events[5:])

    assert await stream.end() == RETRY + frames(events)
    assert len(thread.log.reads) == reads, "live events came from the doorbell alone"


async def test_several_events_go_out_in_one_chunk() -> None:
    events = run(1, 4)
    thread = Thread()
    stream = thread.open(Cursor(1, 0), frozenset({1}))
    await pause()
    thread.commit(events)
    await stream.end()

    assert stream.chunks == [RETRY, frames(events)]


async def test_pages_of_the_log_the_doorbell_and_redis_are_cut_by_bytes_and_nothing_is_missing() -> None:
    events = [event(1, seq, text="x" * 1500) for seq in range(1, 31)]
    events.append(event(1, 31, "RUN_FINISHED"))
    options = StreamSettings(page_events=500, page_bytes=4096)
    thread = Thread(events[:10], redis=events[:20], options=options)
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    assert len(thread.log.reads) == 4, "three events a page, and the rest"
    thread.log.events += events[10:20]
    thread.tail.see(events[19].cursor)
    await pause()
    thread.commit(events[20:])

    assert await stream.end() == RETRY + frames(events)
    assert max(map(len, stream.chunks)) < 3 * 1700


async def test_events_of_other_runs_are_passed_over() -> None:
    first, second, third = run(1, 3), run(2, 3), run(3, 3)
    thread = Thread(first)
    stream = thread.open(ordinals=frozenset({1, 3}))
    await pause()
    thread.commit(second)
    await pause()
    thread.commit(third)

    assert await stream.end() == RETRY + frames([*first, *third])


async def test_without_a_run_the_stream_follows_every_run_of_the_thread() -> None:
    first, second = run(1, 2), run(2, 2)
    thread = Thread(first)
    stream = thread.open()
    await pause()
    thread.commit(second)
    await pause()
    assert stream.bytes == RETRY + frames([*first, *second])
    assert not stream.task.done()
    thread.hub.drain()

    assert await stream.end() == RETRY + frames([*first, *second]) + DRAINED


async def test_a_lost_doorbell_is_made_good_by_the_next_patrol() -> None:
    events = run(1, 4)
    thread = Thread(events[:1])
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    thread.commit(events[1:], ring=False)
    await pause()
    assert stream.bytes == RETRY + frames(events[:1])
    thread.tail.see(events[-1].cursor)

    assert await stream.end() == RETRY + frames(events)


async def test_a_gap_is_filled_from_redis_without_asking_postgres() -> None:
    events = run(1, 4)
    thread = Thread(events[:1], redis=events)
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    reads = len(thread.log.reads)
    thread.tail.add(events[3:])

    assert await stream.end() == RETRY + frames(events)
    assert len(thread.log.reads) == reads


async def test_a_hole_in_redis_is_filled_from_postgres() -> None:
    events = run(1, 5)
    thread = Thread(events[:1], redis=[events[1], events[4]])
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    thread.commit(events[1:], ring=False)
    thread.tail.add(events[4:])

    assert await stream.end() == RETRY + frames(events)


async def test_silence_is_broken_by_a_heartbeat_after_its_time_and_not_before() -> None:
    events = run(1, 3)
    thread = Thread(events[:1], options=StreamSettings(heartbeat_seconds=2))
    stream = thread.open(ordinals=frozenset({1}))
    await pause(5)
    thread.commit(events[1:2])
    await pause(2.5)
    thread.commit(events[2:])
    await stream.end()

    assert list(zip(stream.times, stream.chunks, strict=True)) == [
        (0, RETRY),
        (0, frame(events[0])),
        (2, HEARTBEAT),
        (4, HEARTBEAT),
        (5, frame(events[1])),
        (7, HEARTBEAT),
        (7.5, frame(events[2])),
    ]


async def test_a_followed_thread_s_stream_ends_at_its_age_give_or_take_a_fifth() -> None:
    stream = Thread(run(1, 2), options=StreamSettings(max_age_seconds=900, heartbeat_seconds=3600)).open()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await stream.end() == RETRY + frames(run(1, 2)) + AGED

    assert 720 <= loop.time() - began <= 1081


async def test_streams_end_with_the_process() -> None:
    thread = Thread(run(1, 2, ended=False))
    streams = [thread.open(ordinals=frozenset({1})), thread.open()]
    await pause()
    thread.hub.drain()

    assert [await stream.end() for stream in streams] == [RETRY + frames(thread.log.events) + DRAINED] * 2


def test_the_last_words_are_a_comment_and_a_time_in_blocks_that_every_parser_knows() -> None:
    assert DRAINED == b": drain: the process is stopping; reconnect with the last id\n\nretry: 2000\n\n"
    for why in StreamEnd:
        comment, retry, rest = last_words(why, 250).split(b"\n\n")
        assert comment.startswith(b": ")
        assert b"\n" not in comment
        assert (retry, rest) == (b"retry: 250", b"")


async def test_a_stream_whose_run_was_deleted_under_it_says_so() -> None:
    thread = Thread(run(1, 2, ended=False))
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    thread.log.events[:] = run(2, 1)
    thread.tail.see(Cursor(2, 1))

    assert await stream.end() == RETRY + frames(run(1, 2, ended=False)) + PRUNED


async def test_many_streams_that_a_drain_ends_come_back_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "RETURNS_PER_SECOND", 4)
    thread = Thread(run(1, 2, ended=False))
    streams = [thread.open() for _ in range(60)]
    await pause()
    thread.hub.drain()

    ends = [await stream.end() for stream in streams]
    first, last = (
        [int(line[7:]) / 1000 for line in lines] for lines in zip(*map(retries, ends), strict=True)
    )
    # The first stream was alone. Sixty streams at four a second: 15 s, and in no second of it much more than its share.
    assert first[0] == 2
    assert min(last) >= 2
    assert 13 < max(last) <= 17
    assert max(sum(second <= at < second + 1 for at in last) for second in range(17)) < 20
    assert 8 < max(first) <= 17, "streams that a crash ends come back apart, too"


async def test_streams_of_a_deleted_thread_end() -> None:
    thread = Thread(run(1, 2, ended=False))
    stream = thread.open()
    await pause()
    thread.tail.end()

    assert await stream.end() == RETRY + frames(thread.log.events) + DELETED


async def test_a_run_that_no_worker_can_begin_says_so_in_its_heartbeats() -> None:
    events = run(1, 2)
    thread = Thread(options=StreamSettings(heartbeat_seconds=10))
    thread.workers = 0
    stream = thread.open(Cursor(1, 0), frozenset({1}))
    await pause(13)
    thread.commit(events[:1])
    await pause(12)
    thread.commit(events[1:])
    await stream.end()

    # At rest, a heartbeat may come a moment early.
    assert list(zip(map(ceil, stream.times), stream.chunks, strict=True)) == [
        (0, RETRY),
        (2, NO_WORKER),
        (12, NO_WORKER),
        (13, frame(events[0])),
        # The run has begun: what is missing now, its lease tells.
        (23, HEARTBEAT),
        (25, frame(events[1])),
    ]
    assert b"data:" not in NO_WORKER


async def test_a_run_that_waits_for_a_busy_worker_gets_plain_heartbeats() -> None:
    thread = Thread()
    stream = thread.open(Cursor(1, 0), frozenset({1}))
    await pause(3)

    assert stream.chunks == [RETRY, HEARTBEAT]
    thread.commit(run(1, 1))
    await stream.end()


async def test_an_outage_of_postgres_costs_heartbeats_and_no_event() -> None:
    events = run(1, 4)
    thread = Thread(events)
    thread.log.failure = OUTAGE
    stream = thread.open(ordinals=frozenset({1}))
    await pause(20.5)
    assert stream.chunks[0] == RETRY
    assert set(stream.chunks[1:]) == {HEARTBEAT}
    thread.log.failure = None
    thread.tail.see(events[-1].cursor)  # the patrol is back with Postgres

    assert (await stream.end()).replace(HEARTBEAT, b"") == RETRY + frames(events)


async def test_a_stream_waits_while_too_many_streams_read() -> None:
    events = run(1, 4)
    thread = Thread(events)
    thread.log.failure = Overloaded()
    stream = thread.open(ordinals=frozenset({1}))
    await pause(2.5)
    thread.log.failure = None
    thread.tail.see(events[-1].cursor)

    assert (await stream.end()).replace(HEARTBEAT, b"") == RETRY + frames(events)


async def test_an_event_that_is_committed_while_the_log_is_read_comes_at_once() -> None:
    events = run(1, 1)
    thread = Thread()
    page = thread.log.page

    async def ringing_page(session_id: int, after: Cursor, limit: int, max_bytes: int) -> list[Envelope]:
        found = await page(session_id, after, limit, max_bytes)
        if not thread.log.events:
            # After the look, before its answer.
            thread.commit(events)
        return found

    thread.log.page = ringing_page
    stream = thread.open(Cursor(1, 0), frozenset({1}))
    await stream.end()

    assert list(zip(stream.times, stream.chunks, strict=True)) == [(0, RETRY), (0, frame(events[0]))]


async def test_a_stream_whose_next_events_were_deleted_asks_no_more_until_there_are_others() -> None:
    thread = Thread(run(1, 3))
    stream = thread.open(Cursor(1, 3))
    await pause()
    thread.tail.see(Cursor(2, 2))  # deleted before the stream read them
    await pause()
    reads = len(thread.log.reads)
    await pause(60)
    assert len(thread.log.reads) - reads <= 5, "once a heartbeat"
    thread.commit(run(3, 2))
    await pause()

    assert stream.bytes.replace(HEARTBEAT, b"") == RETRY + frames(run(3, 2))


async def test_a_fault_of_ours_ends_a_stream_at_once() -> None:
    thread = Thread(run(1, 4))
    thread.log.failure = ProgrammingError("SELECT", {}, Exception("no such column"))
    stream = thread.open(ordinals=frozenset({1}))
    began = asyncio.get_running_loop().time()

    with pytest.raises(ProgrammingError):
        await stream.end()
    assert asyncio.get_running_loop().time() == began


async def test_a_stream_outlasts_its_patience_with_postgres_only_while_events_come() -> None:
    thread = Thread(run(1, 2, ended=False))
    stream = thread.open(Cursor(1, 2), frozenset({1}))
    await pause()
    thread.log.failure = OUTAGE
    thread.tail.see(Cursor(1, 9))
    began = asyncio.get_running_loop().time()
    assert (await stream.end()).endswith(LOST)

    assert asyncio.get_running_loop().time() - began == pytest.approx(STORE_PATIENCE_SECONDS, abs=3)


async def test_older_clients_get_older_words_under_the_same_ids() -> None:
    events = [event(1, 1), event(1, 2, "RUN_FINISHED", outcome={"type": "cancelled"})]
    stream = await Thread(events).open(ordinals=frozenset({1}), older=True).end()

    assert ids(stream) == ["1-1", "1-2"]
    assert b'{"type":"RUN_ERROR"' in stream


@dataclass
class Weather:
    """A log, what Redis has of it, and what the doorbell says of it when."""

    log: list[Envelope]
    start: Cursor
    redis: list[Envelope]
    committed: int
    bells: list[tuple[float, list[Envelope]]]


@st.composite
def weathers(draw: st.DrawFn) -> Weather:
    log = draw(thread_log.logs(ended=True))
    return Weather(
        log,
        start=draw(st.sampled_from([Cursor.START, *(item.cursor for item in log[:-1])])),
        redis=draw(st.lists(st.sampled_from(log), unique=True)),
        committed=draw(st.integers(0, len(log))),
        bells=[(draw(st.sampled_from([0, 0.01])), bell) for bell in draw(thread_log.bells(log))],
    )


@settings(max_examples=100, deadline=None)
@given(weathers())
async def test_every_reader_gets_the_exact_suffix_whatever_redis_and_the_doorbell_do(
    weather: Weather,
) -> None:
    log = weather.log
    thread = Thread(log[: weather.committed], redis=weather.redis)
    stream = thread.open(weather.start, frozenset(item.ordinal for item in log))
    async with thread.hub.follow(SESSION) as tail:
        for seconds, bell in weather.bells:
            await pause(seconds)
            # What the doorbell tells of, or Redis has, is committed.
            known = max(item.cursor for item in [*bell, *weather.redis])
            thread.log.events += [item for item in log[len(thread.log.events) :] if item.cursor <= known]
            tail.add(list(bell))
        thread.log.events[:] = log
        tail.see(log[-1].cursor)  # the patrol's last round
        chunks = await stream.end()

    expected = frames([item for item in log if item.cursor > weather.start])
    assert chunks.replace(HEARTBEAT, b"") == RETRY + expected


# --- at rest ------------------------------------------------------------------------------


@pytest.fixture
def framed(monkeypatch: pytest.MonkeyPatch) -> list[Envelope]:
    """Return the events that are made into frames."""
    found: list[Envelope] = []

    def note(envelope: Envelope) -> bytes:
        found.append(envelope)
        return frame(envelope)

    monkeypatch.setattr(thread_stream, "frame", note)
    return found


async def test_an_event_is_framed_once_for_all_streams_that_rest_and_wakes_no_task(
    framed: list[Envelope], may_rest: bool
) -> None:
    events = run(1, 4)
    thread = Thread(events[:1])
    streams = [thread.open(ordinals=frozenset({1})) for _ in range(250)]
    await pause()
    framed.clear()
    thread.commit(events[1:2])
    thread.commit(events[2:3])
    await pause()

    if may_rest:
        assert [stream.rests for stream in streams] == [1] * 250
        # Once a round: a crowd is served a hundred at a time.
        assert framed == events[1:3] * 3
    thread.commit(events[3:])
    ends = [await stream.end() for stream in streams]
    assert [end.partition(b"\n\n")[2] for end in ends] == [frames(events)] * 250
    assert {len(stream.chunks) for stream in streams} == {4}, "events of one moment go out together"


async def test_a_client_that_is_behind_is_waited_for_by_a_task(may_rest: bool) -> None:
    events = run(1, 4)
    thread = Thread(events[:1])
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    stream.reads = False
    thread.commit(events[1:2])
    await pause()

    assert stream.rests == (2 if may_rest else 0)
    thread.commit(events[2:])
    assert await stream.end() == RETRY + frames(events)


@pytest.mark.parametrize("fault", ["reading", "writing"])
async def test_a_fault_in_serving_a_stream_that_rests_leaves_the_event_to_a_task(
    fault: str, may_rest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> NoReturn:
        raise ValueError

    def broken_once(data: bytes) -> bool:
        stream.write = write
        raise ValueError(data)

    events = run(1, 3)
    thread = Thread(events[:1])
    stream = thread.open(ordinals=frozenset({1}))
    write = stream.write
    await pause()
    if fault == "reading":
        monkeypatch.setattr(thread_stream, "first_bytes", broken)
    elif may_rest:
        stream.write = broken_once
    with capture_logs() as lines:
        thread.commit(events[1:2])
        await pause()

    assert stream.bytes == RETRY + frames(events[:2])
    assert [line["event"] for line in lines] == (["stream_not_served"] if may_rest else [])
    thread.commit(events[2:])
    assert await stream.end() == RETRY + frames(events)


@pytest.mark.parametrize("may_rest", [True], indirect=True)
async def test_a_heartbeat_that_could_not_be_written_comes_from_a_task() -> None:
    def broken_once(data: bytes) -> bool:
        stream.write = write
        raise ValueError(data)

    thread = Thread(run(1, 1, ended=False))
    stream = thread.open()
    write = stream.write
    await pause()
    stream.write = broken_once
    with capture_logs() as lines:
        await pause(1.5 * SETTINGS.heartbeat_seconds)

    assert [line["event"] for line in lines] == ["stream_not_served"]
    assert stream.bytes.endswith(HEARTBEAT)
    stream.task.cancel()


async def test_a_stream_that_rests_again_after_an_alarm_that_came_early_has_a_new_one(may_rest: bool) -> None:
    events = run(1, 3)
    thread = Thread(events[:1])
    stream = thread.open(ordinals=frozenset({1}))
    await pause()
    if may_rest:
        rounds = thread.hub.rounds
        rounds._slots.clear()
        stream.source._alarm = asyncio.get_running_loop().time() + rounds.slot_seconds / 4
    stream.reads = False
    thread.commit(events[1:2])
    await pause(1.5 * SETTINGS.heartbeat_seconds)

    assert stream.bytes == RETRY + frames(events[:2]) + HEARTBEAT
    thread.commit(events[2:])
    await stream.end()


async def test_streams_that_rest_share_one_timer(may_rest: bool) -> None:
    thread = Thread(run(1, 2, ended=False))
    timers: list[asyncio.TimerHandle] = vars(asyncio.get_running_loop())["_scheduled"]
    streams = [thread.open() for _ in range(100)]
    await pause(40)

    if may_rest:
        assert len([timer for timer in timers if not timer.cancelled()]) <= 1
    assert {stream.chunks.count(HEARTBEAT) for stream in streams} == {2}
    thread.hub.drain()
    for stream in streams:
        await stream.end()


async def test_a_stream_that_is_closed_at_rest_gives_its_thread_back(may_rest: bool) -> None:
    thread = Thread(run(1, 2, ended=False))
    stream = thread.open()
    await pause()
    assert thread.tail.readers == 1
    stream.task.cancel()
    await asyncio.wait({stream.task})
    await stream.source.aclose()
    await pause()

    assert SESSION not in thread.hub._tails
    assert not await anext(stream.source, None)


async def test_an_event_of_an_unknown_client_is_fitted_by_a_task(may_rest: bool) -> None:
    thread = Thread(run(1, 1))
    stream = thread.open(older=True)
    await pause()
    ends = [event(2, 1), event(2, 2, "RUN_FINISHED", outcome={"type": "cancelled"}, usage=[])]
    for end in ends:
        thread.commit([end])
        await pause()
    thread.hub.drain()

    assert b'"RUN_ERROR"' in await stream.end()


async def test_a_rest_that_is_cut_short_ends_at_once_and_not_with_the_next_heartbeat(may_rest: bool) -> None:
    thread = Thread(run(1, 2, ended=False))
    stream = thread.open()
    await pause()
    assert stream.rests == may_rest

    if may_rest:
        stream.source.attach(stream, -math.inf)
        await pause()
        assert stream._woken.is_set() or stream.source._tail is None
    thread.hub.drain()
    assert HEARTBEAT not in await stream.end()
